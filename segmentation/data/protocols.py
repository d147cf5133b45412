"""Which patches are trained on, validated on and held out: the evaluation protocols."""

import math
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import numpy as np
import pandas as pd

from segmentation.data.layouts.names import SPLITS
from segmentation.data.palette import VOID, Palette
from segmentation.data.scenes import natural_key
from segmentation.errors import ConfigurationError

Protocol = Literal["patch", "scene", "tile", "given", "article", "k-fold", "all"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)

TRAINING_PROTOCOLS = tuple(name for name in PROTOCOLS if name not in ("k-fold", "all"))
"""Those that one training can have: they leave something to train on."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"

PARTS = (TRAIN, VALIDATION, TEST)
"""What a protocol makes of a data set. The last is held out: it is scored once, when the training has ended."""

COUNTING_VOID = ("patch", "article")
"""The protocols under which void counts as Unlabeled, as in the article."""

HELD_OUT_SHARE = 0.1
"""The article holds out one tenth of the patches."""

MANY_TILES = 10
"""Where as many tiles as these are trained on, the tile protocol validates on whole ones."""

DUBAI_TILES, DUBAI_PARTS = range(1, 9), range(1, 10)
"""The Dubai set is eight tiles, each a mosaic of nine scenes."""

DESCRIPTIONS = {
    "patch": "a random tenth of the patches, as in the article; neighbours of a held-out patch are trained on",
    "scene": "whole scenes; no scene is in two parts",
    "tile": "one whole tile: a place never seen",
    "given": "the test split that the data set brings, or else its validation split",
    "article": "a random tenth of the patches, and nothing for validation: as in the article, the epoch is chosen on "
    "what is scored, so that the scores flatter",
    "k-fold": "each place in turn: every scene is predicted by the training that left it out",
    "all": "every scene; nothing of it was trained on, as far as is known",
}
"""What each protocol holds out, in one line for legends and help."""


def held_out(
    table: pd.DataFrame, protocol: Protocol, held_out_tile: str | None = None, seed: int = 42, fold: int = 0
) -> np.ndarray:
    """Tell which patches are held out.

    ``patch`` and ``article`` take the first tenth, rounded up, of a seeded permutation of all patches. ``scene`` takes
    part *t* of tile *t* of the Dubai set, and of any other the first tenth of a seeded permutation of the scenes.
    ``tile`` takes one tile. ``given`` takes the split that the data set calls test, or else its validation split.
    ``all`` takes all patches, to score a model on data that it was not trained on; ``k-fold`` too, since each is left
    out once.

    Args:
        table: One row per patch with columns ``tile`` and ``scene``, and ``split`` where the data set brings splits,
            ordered by tile, scene, row, column.
        protocol: One of `PROTOCOLS`.
        held_out_tile: The tile's name, for ``tile``.
        seed: Seed of the permutation.
        fold: For ``scene``, which group of `scene_groups` is held out.

    Returns:
        (patches,) bool, true where held out.

    Raises:
        ConfigurationError: If the protocol is unknown, the tile or fold does not exist, or nothing would be left to
            train on.
    """
    if protocol in ("all", "k-fold"):
        return np.ones(len(table), bool)
    if protocol in ("patch", "article"):
        chosen = np.zeros(len(table), bool)
        chosen[_tenths(len(table), seed)[0]] = True
    elif protocol == "scene":
        groups = scene_groups(table, seed)
        if not 0 <= fold < len(groups):
            raise ConfigurationError(f"Expected a fold from 0 to {len(groups) - 1}. Received: {fold}")
        chosen = table["scene"].isin(groups[fold]).to_numpy()
    elif protocol == "tile":
        tiles = sorted(set(table["tile"]), key=natural_key)
        if held_out_tile not in tiles:
            raise ConfigurationError(
                f"The tile protocol needs the tile to hold out, one of {', '.join(tiles)}. Received: {held_out_tile}"
            )
        chosen = (table["tile"] == held_out_tile).to_numpy()
    elif protocol == "given":
        chosen = _given(table, _scored_kind(table))
    else:
        raise ConfigurationError(f"Expected a protocol out of {', '.join(PROTOCOLS)}. Received: {protocol!r}")
    if chosen.all():
        raise ConfigurationError(f"The {protocol} protocol would leave nothing to train on: add scenes.")
    return chosen


def assign_parts(
    table: pd.DataFrame,
    protocol: Protocol,
    held_out_tile: str | None = None,
    seed: int = 42,
    fold: int = 0,
    two_parts: bool = False,
) -> np.ndarray:
    """Tell to which part each patch belongs.

    What is held out is as `held_out` says. The validation part is cut from the rest. ``patch`` takes the next tenth of
    the permutation. ``scene`` takes the next group of scenes; of the Dubai set part *t* + 1 of tile *t*. ``tile`` takes
    the scenes of ``scene``'s first group that lie elsewhere, of the Dubai set a scene of each other tile; where many
    tiles are left, a tenth of them. ``given`` takes the data set's validation split, or a tenth of the other scenes if
    it has none, or if that is what is held out. ``article`` has no validation part.

    Args:
        table: As for `held_out`.
        protocol: Likewise.
        held_out_tile: Likewise.
        seed: Likewise.
        fold: Likewise.
        two_parts: Cut no validation part: what an earlier version trained on, or what a model from elsewhere may have
            been trained on. The validation split that a data set brings stays one under ``given``.

    Returns:
        (patches,) of `PARTS`.

    Raises:
        ConfigurationError: As `held_out` does, or if there are too few patches, scenes or tiles for three parts.
    """
    test = held_out(table, protocol, held_out_tile, seed, fold)
    parts = np.where(test, TEST, TRAIN).astype(object)
    if protocol == "given" and _scored_kind(table) == TEST:
        parts[_given(table, VALIDATION)] = VALIDATION
    if two_parts or protocol in ("article", "k-fold", "all"):
        return parts
    if not (parts == VALIDATION).any():
        parts[_validation(table, test, protocol, seed, fold) & ~test] = VALIDATION
    if not {TRAIN, VALIDATION} <= set(parts):
        instead = "choose a smaller patch size" if protocol == "patch" else "choose protocol patch"
        raise ConfigurationError(
            f"There is too little data for the {protocol} protocol's three parts, to train on, to validate on and to "
            f"hold out: add scenes, or {instead}."
        )
    return parts


def _validation(table: pd.DataFrame, test: np.ndarray, protocol: Protocol, seed: int, fold: int) -> np.ndarray:
    """Return which patches are a protocol's validation part, (patches,) bool; some may be held out."""
    if protocol == "patch":
        tenths = _tenths(len(table), seed)
        return np.isin(np.arange(len(table)), tenths[1 % len(tenths)])
    groups = scene_groups(table, seed)
    if protocol == "scene":
        return table["scene"].isin(groups[(fold + 1) % len(groups)]).to_numpy()
    rest = table[~test]
    tiles = sorted(set(rest["tile"]), key=natural_key)
    if protocol == "tile" and len(tiles) >= MANY_TILES:
        return table["tile"].isin([tiles[place] for place in _tenths(len(tiles), seed)[0]]).to_numpy()
    if protocol == "tile" and _is_dubai(set(table["scene"])):
        return table["scene"].isin(groups[0]).to_numpy()
    return table["scene"].isin(scene_groups(rest, seed)[0]).to_numpy()


def scene_groups(table: pd.DataFrame, seed: int = 42) -> list[list[str]]:
    """Return the groups of scenes of which the scene protocol holds one out: each scene is in one of them.

    Of the Dubai set group *g* has part *t* + *g* of each tile *t*, beginning anew after the ninth. Of any other they
    are the tenths of a seeded permutation of the scenes.

    Args:
        table: One row per patch with a column ``scene``, in the order of scenes.
        seed: Seed of the permutation.
    """
    scenes = list(dict.fromkeys(table["scene"]))
    if _is_dubai(there := set(scenes)):
        groups = [[scene for scene in _diagonal(number) if scene in there] for number in range(len(DUBAI_PARTS))]
        return [group for group in groups if group]
    return [[scenes[place] for place in tenth] for tenth in _tenths(len(scenes), seed)]


def _is_dubai(scenes: set[str]) -> bool:
    """Tell whether these are the scenes of the Dubai set; one off the diagonal that cannot be read changes nothing.

    Numbers of other data sets may fit by chance, and mean days or sheets.
    """
    known = {scene for number in range(len(DUBAI_PARTS)) for scene in _diagonal(number)}
    return set(_diagonal(0)) <= scenes <= known


def _diagonal(number: int) -> list[str]:
    """Return part *t* + `number` of each tile *t* of the Dubai set.

    Parts 1 to 9 of a Dubai tile are a square, row by row, so that these are spread over it.
    """
    count = len(DUBAI_PARTS)
    return [f"tile-{tile}/image_part_{(tile - 1 + number) % count + 1:03d}" for tile in DUBAI_TILES]


def _tenths(count: int, seed: int) -> list[np.ndarray]:
    """Cut the seeded permutation that the article's split draws into tenths, rounded up; the last may be smaller."""
    order, size = np.random.RandomState(seed).permutation(count), math.ceil(HELD_OUT_SHARE * count)
    return [order[first : first + size] for first in range(0, count, size or 1)]


def _given(table: pd.DataFrame, kind: str) -> np.ndarray:
    """Return which patches are in a split of this kind that the data set brings, (patches,) bool."""
    if "split" not in table:
        return np.zeros(len(table), bool)
    return table["split"].map(lambda split: SPLITS.get(str(split).lower()) == kind).to_numpy(bool)


def _scored_kind(table: pd.DataFrame) -> str:
    """Return what is scored under ``given``: the test split, or the validation split where there is none.

    Raises:
        ConfigurationError: If the data set brings neither.
    """
    for kind in (TEST, VALIDATION):
        if _given(table, kind).any():
            return kind
    raise ConfigurationError(
        "The given protocol needs a split called test or val: folders of these names, lists of scenes in test.txt and "
        "val.txt, or splits in dataset.toml. This data set brings none."
    )


def touching(table: pd.DataFrame, test: np.ndarray, train: np.ndarray | None = None) -> np.ndarray:
    """Tell which held-out patches touch a training patch of their scene, at a side or a corner: where a split leaks.

    Args:
        table: One row per patch with columns ``scene``, ``row`` and ``column``.
        test: (patches,) bool, true where held out.
        train: (patches,) bool, true where trained on; by default wherever not held out.

    Returns:
        (patches,) bool, false for training patches.
    """
    scene, _ = pd.factorize(table["scene"])
    row, column = table["row"].to_numpy(), table["column"].to_numpy()
    trained_on = np.zeros((scene.max() + 1, row.max() + 3, column.max() + 3), bool)  # a rim of one spares the corners
    trained_on[scene, row + 1, column + 1] = ~test if train is None else train
    around = [trained_on[scene, row + down, column + right] for down in range(3) for right in range(3)]
    return test & np.any(around, axis=0)


def apply_void_policy(masks: np.ndarray, protocol: Protocol | None, palette: Palette) -> np.ndarray:
    """Return class indices as `protocol` counts them.

    The article counts void as Unlabeled; so do ``patch`` and ``article``, if the palette has that class. Under the
    other protocols void stays void and is left out of losses and scores.

    Args:
        masks: (…) uint8 class indices, void 255.
        protocol: One of `PROTOCOLS`; without one, void stays void.
        palette: The classes.

    Returns:
        The same array, or a copy where void was replaced.
    """
    if protocol not in COUNTING_VOID or palette.unlabeled is None:
        return masks
    return np.where(masks == VOID, np.uint8(palette.unlabeled), masks)


@dataclass(frozen=True)
class Fold:
    """Which patches a model is trained on, on which its epoch is chosen, and on which it is scored.

    Args:
        train: (n,) indices of patches.
        test: (m,) indices of patches, none of which is trained on.
        protocol: What holds them out, to be named beside the scores.
        validation: (k,) indices of further patches that are not trained on.
        two_parts: Whether the epoch is chosen on the patches that are scored, whatever is in `validation`.
    """

    train: np.ndarray
    test: np.ndarray
    protocol: Protocol
    validation: np.ndarray = field(default_factory=lambda: np.arange(0))
    two_parts: bool = False

    @classmethod
    def of(cls, parts: np.ndarray, protocol: Protocol, two_parts: bool = False) -> Self:
        """Return the fold of (patches,) `PARTS`, as `assign_parts` returns them."""
        train, validation, test = (np.flatnonzero(parts == part) for part in PARTS)
        return cls(train, test, protocol, validation, two_parts or protocol == "article")

    @property
    def chosen_on(self) -> np.ndarray:
        """Indices of the patches on which the epoch is chosen."""
        return self.test if self.two_parts else self.validation

    def parts(self, count: int) -> np.ndarray:
        """Return the part of each of `count` patches, (patches,) of `PARTS`; what is in none counts as trained on."""
        parts = np.full(count, TRAIN, object)
        parts[self.validation], parts[self.test] = VALIDATION, TEST
        return parts
