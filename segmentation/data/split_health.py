"""What is wrong with a split: held-out pictures of which copies are trained on, and parts on the same ground."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation.data.copies import TURNS, find_copies
from segmentation.data.footprints import overlaps
from segmentation.data.health import Health

COLUMNS = ["held_out", "trained_on", "turn", "similarity", "patches"]


@dataclass(frozen=True)
class SplitHealth:
    """What was found between the parts of a split.

    Args:
        copies: One row per held-out picture with a copy that is trained on: ``held_out`` and ``trained_on`` (names of
            two scenes or of two patches), ``turn`` (in words), ``similarity`` and ``patches`` (held-out ones that it
            concerns). Whole scenes come first; a patch of such a scene is not told again.
        overlaps: As `segmentation.data.footprints.overlaps` returns them.
        compared: Held-out patches that were looked at.
        plain: Held-out patches that show too little to tell.
        left_out: Held-out patches that were not looked at, since there are too many.
        placed: Scenes that say where they lie.
    """

    copies: pd.DataFrame
    overlaps: pd.DataFrame
    compared: int
    plain: int
    left_out: int
    placed: int

    @property
    def copied_patches(self) -> int:
        """Held-out patches of which something like a copy is trained on."""
        return int(self.copies["patches"].sum())


def examine_split(health: Health, held_out: np.ndarray, trained_on: np.ndarray) -> SplitHealth:
    """Look for copies and overlaps between what is held out and what is trained on.

    Args:
        health: Of the data set, for some size of patches.
        held_out: (patches,) bool of `Health.patches`.
        trained_on: Likewise; a patch may be neither.
    """
    patches = health.patches
    test_scenes, training_scenes = (list(dict.fromkeys(patches["scene"][part])) for part in (held_out, trained_on))
    place = {name: number for number, name in enumerate(health.scenes["scene"])}
    own, others = (np.array([place[name] for name in names], int) for names in (test_scenes, training_scenes))
    pictures, found = health.scene_thumbnails, []
    # A scene with patches of both parts is not its own copy.
    places_there = {number: there for there, number in enumerate(others)}
    same = np.array([places_there.get(number, -1) for number in own], int)
    of_scenes = find_copies(pictures[own], pictures[others], same).pairs
    counts = patches["scene"][held_out].value_counts()
    for pair in of_scenes.itertuples():
        scene = test_scenes[pair.picture]
        found.append((scene, training_scenes[pair.copy], TURNS[pair.turn], pair.similarity, int(counts[scene])))
    told = {scene for scene, *_ in found}
    small = np.concatenate(health.patch_thumbnails) if health.patch_thumbnails else pictures[:0]
    rest = np.flatnonzero(held_out & ~patches["scene"].isin(told).to_numpy())
    training = np.flatnonzero(trained_on)
    of_patches = find_copies(small[rest], small[training])
    names = patches["patch"].to_numpy()
    for pair in of_patches.pairs.itertuples():
        found.append((names[rest[pair.picture]], names[training[pair.copy]], TURNS[pair.turn], pair.similarity, 1))
    left_out = len(rest) - of_patches.compared - of_patches.plain
    return SplitHealth(
        pd.DataFrame(found, columns=COLUMNS),
        overlaps(health.footprints, test_scenes, training_scenes),
        int(held_out.sum()) - left_out - of_patches.plain,
        of_patches.plain,
        left_out,
        len(health.footprints),
    )
