"""A data set in a run's classes: matched by name, whatever their colours and order, or as the user says."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from segmentation.data.drawing import Outlines
from segmentation.data.encodings import Encoding
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import Progress, class_counts
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, ImageFileError

ClassMapping = Mapping[str, str | None]
"""By a data set's class the run's class that it is; None makes it void."""

TO_VOID = ("", "-")
"""What stands for no class of the run in an entry of a mapping."""


def match_classes(palette: Palette, target: Palette, mapping: ClassMapping | None = None) -> tuple[int, ...]:
    """Return the target's class index for each class of a palette, `VOID` for those that it has not.

    Case, spaces, underscores and hyphens of names do not matter, unless only they tell two classes apart.

    Args:
        palette: The classes of a data set.
        target: The classes of a run.
        mapping: Where names differ. Names that one side does not have are passed over, as other data may lack them.
    """
    said = {
        find_class(name, palette.names): find_class(of, target.names) if of else None
        for name, of in (mapping or {}).items()
    }
    found = (said.get(index, find_class(name, target.names)) for index, name in enumerate(palette.names))
    return tuple(VOID if index is None else index for index in found)


def same_classes(palette: Palette, other: Palette) -> bool:
    """Tell whether two palettes have the same classes by name, in whatever order and colours."""
    indices = match_classes(palette, other)
    return len(palette) == len(other) == len(set(indices) - {VOID})


def in_classes_of(dataset: Dataset, target: Palette, mapping: ClassMapping | None = None) -> Dataset | None:
    """Return a data set whose masks are read as a run's classes; None if none of its classes is one of them.

    Args:
        dataset: The scenes.
        target: The run's classes.
        mapping: Where names differ, as for `match_classes`.
    """
    indices = match_classes(dataset.palette, target, mapping)
    if dataset.palette == target and indices == tuple(range(len(target))):
        return dataset
    if set(indices) == {VOID}:
        return None
    encodings = {of: _relabelled(of, dataset.palette, indices) for of in {scene.encoding for scene in dataset.scenes}}
    scenes = tuple(replace(scene, encoding=encodings[scene.encoding]) for scene in dataset.scenes)
    return replace(dataset, palette=target, scenes=scenes)


def read_mapping(entries: Iterable[str], palette: Palette, target: Palette) -> dict[str, str | None]:
    """Read a mapping such as ``Urban=Building``; nothing or ``-`` behind the sign makes a class void.

    Args:
        entries: The data set's class, an equals sign, and the run's class.
        palette: The data set's classes.
        target: The run's classes.

    Returns:
        The run's class of each class named, in the palettes' own spelling.

    Raises:
        ConfigurationError: If an entry is none, or names what a side does not have or a class twice.
    """
    mapping: dict[str, str | None] = {}
    for entry in entries:
        name, of = _read_entry(entry, palette, target)
        if name in mapping:
            raise ConfigurationError(f"{name} is mapped twice: say once which class of the run it is.")
        mapping[name] = of
    return mapping


def _read_entry(entry: str, palette: Palette, target: Palette) -> tuple[str, str | None]:
    """Return the data set's class and the run's that an entry names; None for void."""
    for sign in re.finditer("=", entry):  # a name may hold one, too
        name, of = entry[: sign.start()].strip(), entry[sign.end() :].strip()
        index, other = find_class(name, palette.names), find_class(of, target.names)
        if index is not None and (other is not None or of in TO_VOID):
            return palette.names[index], None if other is None else target.names[other]
    raise ConfigurationError(
        f"Expected a class of the data set, an equals sign and a class of the run. Received: {entry}. "
        f"{both_sides(palette, target)}"
    )


def both_sides(palette: Palette, target: Palette) -> str:
    """Say which classes a data set has, and which a run has."""
    return f"The data set has {', '.join(palette.names)}; the run has {', '.join(target.names)}."


def count_classes(dataset: Dataset, progress: Progress | None = None) -> np.ndarray:
    """Count the pixels of all masks that can be read by the data set's own classes, (classes,) int64.

    Args:
        dataset: The scenes.
        progress: Called after every scene.
    """
    pixels = np.zeros(len(dataset.palette), np.int64)
    for done, scene in enumerate(dataset.scenes, 1):
        with suppress(ImageFileError):  # whoever reads the scene says so
            pixels += class_counts(scene.read_mask(dataset.palette)[None], len(dataset.palette))[0, :-1]
        if progress:
            progress(done, len(dataset.scenes))
    return pixels


def find_class(name: str, names: Sequence[str]) -> int | None:
    """Return the index of the class of a name, as it is or else in any spelling if one class alone is spelt so."""
    if name in names:
        return names.index(name)
    alike = [index for index, other in enumerate(names) if _letters(other) == _letters(name)]
    return alike[0] if len(alike) == 1 else None


def _letters(name: str) -> str:
    """Return what counts of a name: ``Dense_forest`` and ``dense forest`` are the same."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _relabelled(encoding: Encoding | Outlines, palette: Palette, indices: tuple[int, ...]) -> Encoding | Outlines:
    """Return an encoding that gives other class indices in place of a palette's."""
    if isinstance(encoding, Outlines):
        return replace(encoding, becomes=indices)
    if not encoding.keys:
        return replace(encoding, keys=palette.colors, classes=indices)
    return replace(encoding, classes=tuple(indices[index] for index in encoding.classes))
