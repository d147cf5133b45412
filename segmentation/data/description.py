"""What was found in a data set's folder, in plain words and as numbers."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from segmentation.data.class_table import found_classes, spoken
from segmentation.data.declaration import DECLARATION, Declaration, DeclaredClass, own_declaration
from segmentation.data.drawing import Outlines
from segmentation.data.health import Health
from segmentation.data.layouts import Listing
from segmentation.data.palette import VOID_NAME
from segmentation.data.scenes import Dataset
from segmentation.errors import DeclarationError, StorageError
from segmentation.files import replacing, writing

LISTED = 12
"""Classes that are named in one line."""

OLD = ".old"
"""Ending of what a ``dataset.toml`` is kept as that another one replaces."""


def described(dataset: Dataset) -> Iterator[str]:
    """Yield what was found in a folder, a line each."""
    yield f"Found: {len(dataset.scenes):,} scenes in {dataset.root}"
    yield f"  pairs     {dataset.layout}"
    if dataset.splits:
        yield f"  splits    {', '.join(f'{name} {count:,}' for name, count in dataset.splits.items())}"
    names = ", ".join(dataset.palette.names[:LISTED]) + (" …" if len(dataset.palette) > LISTED else "")
    yield f"  masks     {dataset.encoding}"
    yield f"  classes   {names}{' (nothing names them)' if dataset.guessed else ''}"
    stretch = dataset.stretch
    if stretch and dataset.bands:
        trained_on = ", ".join(map(str, dataset.bands))
        shown = ", ".join(str(dataset.bands[channel]) for channel in stretch.shown_channels)
        yield f"  bands     {trained_on} are trained on, {shown} are shown"
    if stretch:
        limits = ", ".join(f"{low:,.6g}–{high:,.6g}" for low, high in zip(stretch.low, stretch.high, strict=True))
        yield f"  stretch   {limits} in each band become 0–255, the same in all scenes"
    if dataset.unpaired:
        yield f"  unpaired  {len(dataset.unpaired):,} images or masks have no partner; the health report names them"
    for remark in dataset.remarks:
        yield f"  note      {remark}"


def write_declaration(dataset: Dataset) -> Path:
    """Write what was found as ``dataset.toml`` into the data set's folder, to be corrected there, and return its path.

    Raises:
        StorageError: If there is one, or it cannot be written.
    """
    path = dataset.root / DECLARATION
    if path.exists():
        raise StorageError(f"{path} is there already: correct it, or remove it to have it written anew.")
    _write(path, "\n".join(declared(dataset)) + "\n")
    return path


def save_declaration(dataset: Dataset, said: Declaration) -> Path:
    """Save how a data set is to be read as its ``dataset.toml``, or in our own folder where nobody may write in its.

    A ``dataset.toml`` that was there before is kept as ``dataset.toml.old``.

    Args:
        dataset: The scenes, found as `said` says.
        said: How they are to be read.

    Returns:
        The file's path.

    Raises:
        StorageError: If it can be written nowhere, or a ``dataset.toml`` that cannot be replaced would win over it.
    """
    beside, own = dataset.root / DECLARATION, own_declaration(dataset.root)
    text = "\n".join(declared(dataset, said)) + "\n"
    try:
        _replace(beside, text)
    except StorageError:
        if beside.exists():
            raise
        _replace(own, text)
        return own
    with suppress(OSError):  # what is beside the data wins anyway
        own.unlink(missing_ok=True)
    return beside


def _replace(path: Path, text: str) -> None:
    if path.is_file():
        with writing(path):
            before = path.read_bytes()
        with replacing(path.with_name(path.name + OLD)) as kept:
            kept.write_bytes(before)
    _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise StorageError(f"{path} cannot be written: a name in it is no text; rename that file or folder.") from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def declared(dataset: Dataset, said: Declaration | None = None) -> Iterator[str]:
    """Yield the lines of a ``dataset.toml``.

    Args:
        dataset: The scenes.
        said: How they are to be read; by default as they were found.
    """
    yield "# How this data set is read. What stands here wins over what would be found; docs/data.md explains it."
    yield ""
    yield "# Which image belongs to which mask: {split}, {tile} and {stem} are the same in both, * is anything."
    sound = _say_the_same(dataset)
    for kind, pattern in zip(("images", "masks"), dataset.patterns, strict=True):
        yield f"{'' if sound else '# '}{kind} = {_quoted(pattern or kind + '/{stem}.*')}"
    yield ""
    encoding = dataset.scenes[0].encoding
    if isinstance(encoding, Outlines):
        yield "# The attribute that names the class of a polygon."
        yield f"{'' if encoding.attribute else '# '}attribute = {_quoted(encoding.attribute or 'class')}"
    else:
        yield "# Whether pixels of other values or colours count as the nearest class's."
        yield f"nearest = {str(encoding.nearest).lower()}"
        yield from ["palette_numbers = true"] if encoding.raw else []
    yield ""
    stretch = dataset.stretch
    yield "# The bands to train on, counted from 1; which are red, green and blue; what becomes 0 and 255 in each band."
    yield f"{'' if dataset.bands else '# '}bands = {list(dataset.bands or (1, 2, 3))}"
    yield f"{'' if dataset.shown else '# '}show_bands = {list(dataset.shown or (1, 2, 3))}"
    limits = [list(pair) for pair in zip(stretch.low, stretch.high, strict=True)] if stretch else [[0, 255]] * 3
    yield f"{'' if stretch else '# '}stretch = {limits}"
    yield ""
    yield "# Lists of names, or names, with * for anything. Without them folders called train, val and test tell."
    splits = said.splits if said else ()
    named = ", ".join(f"{_quoted(split)} = {_quoted(names)}" for split, names in splits)
    yield f"splits = {{{named}}}" if named else '# splits = {train = "train.txt", val = "val.txt", test = ["area7_*"]}'
    yield ""
    yield '# Classes. ignore = true makes one void, merge = "Name" makes it part of another, show how it is drawn.'
    for of in (said and said.classes) or found_classes(dataset):
        yield from _of_class(of)


def _of_class(of: DeclaredClass) -> Iterator[str]:
    keys = [spoken(key) for key in of.keys]
    in_color = isinstance(of.keys[0], tuple) if of.keys else False
    yield "[[classes]]"
    yield f"name = {_quoted(of.name)}"
    if keys:
        yield f"{'color' if in_color else 'value'} = {_quoted(keys[0] if len(keys) == 1 else keys)}"
    if of.show and of.keys[:1] != (of.show,):
        yield f"show = {_quoted(spoken(of.show))}"
    if of.merge:
        yield f"merge = {_quoted(of.merge)}"
    if of.ignore:
        yield "ignore = true"
    yield ""


def declared_for(dataset: Dataset, splits: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a ``dataset.toml`` for the same scenes elsewhere: bands, stretch and splits, if it has any.

    Args:
        dataset: The scenes.
        splits: The split of each image there, by its path without its ending.
    """
    if dataset.bands:
        yield f"bands = {list(dataset.bands)}"
    if dataset.shown:
        yield f"show_bands = {list(dataset.shown)}"
    if dataset.limits:
        yield f"stretch = {[list(limits) for limits in dataset.limits]}"
    if dataset.splits:
        yield "[splits]"
    for split in dataset.splits:
        yield f"{_quoted(split)} = [{', '.join(_quoted(path) for path, of in splits.items() if of == split)}]"


def _quoted(content: str | int | Sequence[str | int]) -> str:
    """Return texts and numbers as TOML holds them."""
    return json.dumps(content, ensure_ascii=False).replace("\x7f", "\\u007f")


def _say_the_same(dataset: Dataset) -> bool:
    """Tell whether the patterns find the scenes that were found."""
    try:
        found = Declaration(*dataset.patterns).find(Listing.of(dataset.root))
    except DeclarationError:
        return False
    if found is None:
        return False
    pairs = {(dataset.root / pair.image, dataset.root / pair.label) for pair in found.pairs}
    same = pairs == {(scene.image, scene.mask) for scene in dataset.scenes}
    return same and len({pair.tile for pair in found.pairs}) == len(dataset.tiles)


def summarized(dataset: Dataset, health: Health) -> dict:
    """Return scenes, pixels by class, void, splits and what was skipped, ready for JSON; of readable scenes only."""
    encoding, pixels = dataset.scenes[0].encoding, health.scenes[[*dataset.palette.names, VOID_NAME]].sum()
    classes = []
    for index, name in enumerate(dataset.palette.names):
        key = encoding.keys_of(index, dataset.palette)[0]
        said = "color" if isinstance(key, tuple) else "value"
        classes.append({"name": name, said: spoken(key), "pixels": int(pixels[name])})
    readable = set(health.scenes["scene"])
    splits = Counter(scene.split for scene in dataset.scenes if scene.split and scene.name in readable)
    unread = health.findings[health.findings["kind"].isin(["unreadable", "unpaired"])]
    skipped = [f"{finding.scene or finding.file}: {finding.detail}" for finding in unread.itertuples()]
    void = int(pixels[VOID_NAME])
    return {"scenes": len(readable), "classes": classes, "void": void, "splits": dict(splits), "skipped": skipped}
