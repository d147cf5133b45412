"""Which patches are held out: the evaluation protocols."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from segmentation.data.layouts.names import SPLITS
from segmentation.data.palette import VOID, Palette
from segmentation.data.scenes import natural_key
from segmentation.errors import ConfigurationError

Protocol = Literal["patch", "scene", "tile", "given", "all"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)

TRAINING_PROTOCOLS = tuple(name for name in PROTOCOLS if name != "all")
"""Those that leave something to train on."""

HELD_OUT_SHARE = 0.1
"""The article holds out one tenth of the patches."""

DUBAI_TILES, DUBAI_PARTS = range(1, 9), range(1, 10)
"""The Dubai set is eight tiles, each a mosaic of nine scenes."""

DESCRIPTIONS = {
    "patch": "a random tenth of the patches, as in the article; neighbours of a held-out patch are trained on",
    "scene": "whole scenes; no scene is in both parts",
    "tile": "one whole tile: a place never seen",
    "given": "the test split that the data set brings, or else its validation split",
    "all": "every scene; nothing of it was trained on, as far as is known",
}
"""What each protocol holds out, in one line for legends and help."""


def held_out(table: pd.DataFrame, protocol: Protocol, held_out_tile: str | None = None, seed: int = 42) -> np.ndarray:
    """Tell which patches are held out.

    ``patch`` takes the first tenth, rounded up, of a seeded permutation of all patches. ``scene`` takes part *t* of
    tile *t* of the Dubai set, and of any other the first tenth of a seeded permutation of the scenes. ``tile`` takes
    one tile. ``given`` takes the split that the data set calls test, or else its validation split. ``all`` takes all
    patches, to score a model on data that it was not trained on.

    Args:
        table: One row per patch with columns ``tile`` and ``scene``, and ``split`` where the data set brings splits,
            ordered by tile, scene, row, column.
        protocol: One of `PROTOCOLS`.
        held_out_tile: The tile's name, for ``tile``.
        seed: Seed of the permutation.

    Returns:
        (patches,) bool, true where held out.

    Raises:
        ConfigurationError: If the protocol is unknown, the tile does not exist, or nothing would be left to train on.
    """
    if protocol == "all":
        return np.ones(len(table), bool)
    if protocol == "patch":
        chosen = np.zeros(len(table), bool)
        chosen[_first_tenth(len(table), seed)] = True
    elif protocol == "scene":
        scenes = list(dict.fromkeys(table["scene"]))
        diagonal = _diagonal_scenes(scenes)
        chosen = table["scene"].isin(diagonal or [scenes[i] for i in _first_tenth(len(scenes), seed)]).to_numpy()
    elif protocol == "tile":
        tiles = sorted(set(table["tile"]), key=natural_key)
        if held_out_tile not in tiles:
            raise ConfigurationError(
                f"The tile protocol needs the tile to hold out, one of {', '.join(tiles)}. Received: {held_out_tile}"
            )
        chosen = (table["tile"] == held_out_tile).to_numpy()
    elif protocol == "given":
        chosen = (
            table["scene"].isin(_scored(dict(zip(table["scene"], table.get("split", ()), strict=False)))).to_numpy()
        )
    else:
        raise ConfigurationError(f"Expected a protocol out of {', '.join(PROTOCOLS)}. Received: {protocol!r}")
    if chosen.all():
        raise ConfigurationError(f"The {protocol} protocol would leave nothing to train on: add scenes.")
    return chosen


def _scored(splits: Mapping[str, str]) -> list[str]:
    """Return the scenes that are scored under ``given``.

    Raises:
        ConfigurationError: If the data set brings no split to score.
    """
    for kind in ("test", "validation"):
        if scenes := [scene for scene, split in splits.items() if SPLITS.get(split.lower()) == kind]:
            return scenes
    raise ConfigurationError(
        "The given protocol needs a split called test or val: folders of these names, lists of scenes in test.txt and "
        "val.txt, or splits in dataset.toml. This data set brings none."
    )


def passed_over(splits: Mapping[str, str], protocol: Protocol | None) -> set[str]:
    """Return the scenes that `protocol` neither trains on nor scores: under ``given`` a validation split beside a test.

    Args:
        splits: The split of each scene, in the data set's own word.
        protocol: One of `PROTOCOLS`.
    """
    kinds = {scene: SPLITS.get(split.lower()) for scene, split in splits.items()}
    if protocol != "given" or "test" not in kinds.values():
        return set()
    return {scene for scene, kind in kinds.items() if kind == "validation"}


def _first_tenth(count: int, seed: int) -> np.ndarray:
    """Indices of the first tenth, rounded up, of the seeded permutation that the article's split draws."""
    return np.random.RandomState(seed).permutation(count)[: math.ceil(HELD_OUT_SHARE * count)]


def _diagonal_scenes(scenes: list[str]) -> list[str]:
    """Part *t* of tile *t* of the Dubai set, or nothing if these are not its eight mosaics of nine parts.

    Parts 1 to 9 of a Dubai tile are a square, row by row, so that the diagonal is spread over it. Numbers of other data
    sets may fit by chance, and mean days or sheets. A Dubai scene that cannot be read changes nothing.
    """
    diagonal = [f"tile-{number}/image_part_{number:03d}" for number in DUBAI_TILES]
    known = {f"tile-{tile}/image_part_{part:03d}" for tile in DUBAI_TILES for part in DUBAI_PARTS}
    return diagonal if set(diagonal) <= set(scenes) <= known else []


def touching(table: pd.DataFrame, test: np.ndarray) -> np.ndarray:
    """Tell which held-out patches touch a training patch of their scene, at a side or a corner: where a split leaks.

    Args:
        table: One row per patch with columns ``scene``, ``row`` and ``column``.
        test: (patches,) bool, true where held out.

    Returns:
        (patches,) bool, false for training patches.
    """
    scene, _ = pd.factorize(table["scene"])
    row, column = table["row"].to_numpy(), table["column"].to_numpy()
    trained_on = np.zeros((scene.max() + 1, row.max() + 3, column.max() + 3), bool)  # a rim of one spares the corners
    trained_on[scene, row + 1, column + 1] = ~test
    around = [trained_on[scene, row + down, column + right] for down in range(3) for right in range(3)]
    return test & np.any(around, axis=0)


def apply_void_policy(masks: np.ndarray, protocol: Protocol | None, palette: Palette) -> np.ndarray:
    """Return class indices as `protocol` counts them.

    The article counts void as Unlabeled; so does ``patch``, if the palette has that class. Under the other protocols
    void stays void and is left out of losses and scores.

    Args:
        masks: (…) uint8 class indices, void 255.
        protocol: One of `PROTOCOLS`; without one, void stays void.
        palette: The classes.

    Returns:
        The same array, or a copy where void was replaced.
    """
    if protocol != "patch" or palette.unlabeled is None:
        return masks
    return np.where(masks == VOID, np.uint8(palette.unlabeled), masks)


@dataclass(frozen=True)
class Fold:
    """Which patches a model is trained on, and which it is scored on.

    Args:
        train: (n,) indices of patches.
        test: (m,) indices of patches, none of which is trained on.
        protocol: What holds them out, to be named beside the scores.
    """

    train: np.ndarray
    test: np.ndarray
    protocol: Protocol
