"""Which file of a folder is the prediction of which scene: by names alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segmentation.data.array_files import ARRAY_SUFFIXES
from segmentation.data.layouts.listing import Listing, is_picture, stem_of, suffix_of
from segmentation.data.layouts.names import MASK_ENDINGS, role
from segmentation.data.locate import check_allowed, check_links
from segmentation.data.scenes import Dataset, Scene
from segmentation.errors import RunError

KINDS = ("probabilities", "indices", "", "classes", "colours", "colors")
"""What ends the names of files that predict and the pages write; of one scene's files the earlier counts."""

NOT_PREDICTED = ("confidence", "report", "scores")
"""What ends the names of those that are no predictions."""

WORDS = MASK_ENDINGS | {"pred", "preds", "predicted", "prediction", "predictions", "output", "out", "result", "results"}
"""Words that end the names of predictions, or make the names of their folders."""

NAMED = 5
"""Files that are named one by one in a sentence."""


class PredictedFile(NamedTuple):
    """A file that predicts a scene.

    Args:
        path: Where it is.
        kind: One of `KINDS`; ``probabilities`` of every array.
    """

    path: Path
    kind: str


@dataclass
class Matched:
    """What was found in a folder of predictions.

    Args:
        files: The prediction of each scene that has one, by the scene's name.
        findings: What does not fit, a sentence each.
    """

    files: dict[str, PredictedFile] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def match_files(folder: Path, dataset: Dataset, within: Sequence[Path] | None = None) -> Matched:
    """Find the prediction of each scene below a folder.

    A file is called as the scene's image or mask, alone where that is unique or after its tile or folders, which may be
    folders or parts of the name: ``Tile 1/image_part_001.png``, ``tile-1-image_part_001-indices.png``.

    Args:
        folder: Where the predictions are.
        dataset: The scenes.
        within: Folders that all must lie in, links followed; by default they may lie anywhere.

    Raises:
        NotAllowedError: If something leads out of `within`.
        RunError: If there is no such folder, or no file in it that fits a scene.
    """
    if within is not None:
        check_allowed(folder, within)
    if not folder.is_dir():
        raise RunError(f"There is no folder {folder}: check the path.")
    listing = Listing.of(folder)
    if within is not None:
        check_links(listing.links, within)
    found, names = Matched(findings=list(listing.remarks)), _Names(dataset)
    fitting: dict[str, list[tuple[int, str, str]]] = {}
    strangers = []
    for parent, files in listing.folders.items():
        for name in files:
            if not (is_picture(name) or suffix_of(name) in ARRAY_SUFFIXES):
                continue
            path = f"{parent}/{name}" if parent else name
            scene, kind = names.scene_of(path)
            if scene:
                fitting.setdefault(scene, []).append((KINDS.index(kind), path, kind))
            elif not _key(stem_of(name)).endswith(tuple(f"-{ending}" for ending in NOT_PREDICTED)):
                strangers.append(path)
    for scene, ranked in fitting.items():
        (best, path, kind), *others = sorted(ranked)
        found.files[scene] = PredictedFile(folder / path, kind)
        rivals = [other for rank, other, _ in others if rank == best]
        if rivals:
            found.findings.append(f"{scene}: {path} counts, and {_listed(rivals)} does not, since both are called so")
    if not found.files:
        example = dataset.scenes[0]
        raise RunError(
            f"No file in {folder.name} is called as a scene of {dataset.root.name} is: {_listed(strangers) or 'none'}. "
            f"Call them {example.image.stem}.png, or {example.name.replace('/', '-')}.png where that is not unique."
        )
    if strangers:
        found.findings.append(f"{len(strangers):,} files fit no scene, or several: {_listed(strangers)}")
    return found


class _Names:
    """The names by which scenes are known.

    Args:
        dataset: The scenes.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._scenes: dict[str, set[str]] = {}
        for scene in dataset.scenes:
            for name in _names_of(scene, dataset.root):
                self._scenes.setdefault(_key(name), set()).add(scene.name)

    def scene_of(self, path: str) -> tuple[str | None, str]:
        """Return the scene that a file is called as, None if there is none or several, and the file's kind."""
        suffix, whole = suffix_of(path), stem_of(path)
        kind = next((kind for kind in KINDS if kind and _key(whole).endswith(f"-{kind}")), "")
        for stem in _shortened(PurePosixPath(whole).name):
            for name in _paths(str(PurePosixPath(whole).parent), stem):
                scenes = self._scenes.get(_key(name), ())
                if len(scenes) == 1:
                    return next(iter(scenes)), "probabilities" if suffix in ARRAY_SUFFIXES else kind
        return None, kind


def _names_of(scene: Scene, root: Path) -> Iterator[str]:
    """Yield what a scene may be called: with its tile or all its folders, and alone, by its image and its mask."""
    yield scene.name
    for path in (scene.image, scene.mask):
        yield path.stem
        yield f"{scene.tile}/{path.stem}"
        yield path.relative_to(root).with_suffix("").as_posix()


def _shortened(stem: str) -> Iterator[str]:
    """Yield a name as it is, then without the word that says that it is a prediction."""
    yield stem
    match = re.fullmatch(r"(.+?)[\W_]+([^\W_]+)", stem)
    if match and match[2].casefold() in WORDS.union(KINDS):
        yield match[1]


def _paths(parent: str, stem: str) -> Iterator[str]:
    """Yield a file's name after all of its folders, then after fewer; with and without those that hold predictions."""
    folders = [folder for folder in parent.split("/") if folder != "."]
    told = [folder for folder in folders if not (role(folder) or folder.casefold() in WORDS)]
    for some in (folders, told):
        for first in range(len(some) + 1):
            yield "/".join([*some[first:], stem])


def _key(name: str) -> str:
    """Return what counts of a name: letters and digits, and where others part them."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:NAMED]) + (" …" if len(paths) > NAMED else "")
