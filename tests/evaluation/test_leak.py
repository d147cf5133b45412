"""Scores by distance equal those of ten lines, and a leak is called shown where there is one, and only there."""

import math

import numpy as np
import pandas as pd
import pytest

from segmentation.data.palette import DUBAI, Palette
from segmentation.evaluation.leak import (
    compare_parts,
    distance_to_training,
    find_leak,
    trained_surroundings,
)
from segmentation.intervals import find_intervals
from segmentation.runs.run import SHIPPED, Run

TWO = Palette(("Bare", "Roof"), ((0, 0, 0), (255, 0, 0)))


def grid_of(parts: list[str], scene: str = "a") -> pd.DataFrame:
    """Patches of a scene: a line of text per row, t for train, h for held out, v for validation, or a blank."""
    names = {"t": "train", "h": "test", "v": "validation"}
    places = [(r, c, names[p]) for r, line in enumerate(parts) for c, p in enumerate(line) if p != " "]
    table = pd.DataFrame(places, columns=["row", "column", "part"])
    return table.assign(scene=scene, tile="T", patch=[f"{scene}/{place}" for place in range(len(table))])


def matrices_of(accuracies: np.ndarray, pixels: int = 1000) -> np.ndarray:
    """Confusion matrices of two classes with these shares of right pixels."""
    right = np.rint(np.asarray(accuracies) * pixels / 2).astype(np.int64)
    wrong = pixels // 2 - right
    return np.stack([np.stack([right, wrong], -1), np.stack([wrong, right], -1)], -2)


def test_distances_are_from_edge_to_edge() -> None:
    table = grid_of(["thh  h", "      ", "     h"])
    far = 160 * math.hypot(4, 1)
    np.testing.assert_allclose(distance_to_training(table, 160), [np.nan, 0, 160, 640, far])


def test_distances_and_surroundings_equal_a_search_through_all_patches() -> None:
    rng = np.random.default_rng(5)
    table = pd.concat(
        [
            grid_of(["".join(row) for row in rng.choice(list("hhhhhtv "), (9, 13))], scene).assign(first=first)
            for scene, first in (("a", 0), ("b", 40))
        ],
        ignore_index=True,
    )
    table["row"] += table["first"]
    table = table.sample(frac=1, random_state=1, ignore_index=True)
    distance, around = distance_to_training(table, 100), trained_surroundings(table)
    for place, patch in enumerate(table.itertuples()):
        if patch.part != "test":
            assert np.isnan(distance[place])
            assert np.isnan(around[place])
            continue
        near = table[(table["scene"] == patch.scene) & (table["part"] == "train")]
        apart = (near[["row", "column"]] - [patch.row, patch.column]).abs()
        assert distance[place] == pytest.approx(100 * np.hypot(*(apart - 1).clip(lower=0).to_numpy().T).min())
        assert around[place] == (apart.max(axis=1) == 1).sum()


def test_nothing_is_near_in_a_scene_of_which_nothing_was_trained_on() -> None:
    table = pd.concat([grid_of(["th"]), grid_of(["hv"], "b")], ignore_index=True)
    np.testing.assert_array_equal(distance_to_training(table, 10), [np.nan, 0, np.inf, np.nan])


def test_a_grid_that_makes_no_sense_is_left_out_and_counted() -> None:
    table = pd.concat([grid_of(["tth"]), grid_of(["th"], "b")], ignore_index=True)
    table.loc[4, ["row", "column"]] = 1 << 20, 1 << 20
    assert np.isnan(distance_to_training(table, 10)[4])
    assert find_leak(table, matrices_of(np.ones(5)), TWO, 10).unplaced == 1


def test_bins_hold_the_scores_of_their_patches() -> None:
    rng = np.random.default_rng(2)
    lines = ["tthhhhhhhhhhhh"] * 3
    table = pd.concat([grid_of(lines, f"s{n}") for n in range(8)] + [grid_of(["hh"], "new")], ignore_index=True)
    matrices = matrices_of(rng.uniform(0.5, 1, len(table)))
    leak = find_leak(table, matrices, TWO, 160)
    assert leak.by == "distance"
    held_out = leak.held_out
    assert held_out["to"].tolist() == [0, 160, 320, 640, 1280, np.inf, np.inf]
    assert held_out["from"].tolist() == [0, 0, 160, 320, 640, 1280, np.inf]
    assert held_out["patches"].tolist() == [24, 24, 24, 48, 96, 72, 2]
    distance = distance_to_training(table, 160)
    for row in held_out.itertuples():
        chosen = (distance == 0) if row.to == 0 else (distance > row[2]) & (distance <= row.to)
        chosen = np.isinf(distance) if np.isinf(row[2]) else chosen & np.isfinite(distance)
        whole = matrices[chosen].sum(0)
        assert row.accuracy == pytest.approx(np.trace(whole) / whole.sum())
        between = find_intervals(table[chosen], matrices[chosen], TWO)
        if between:
            assert (row.accuracy_low, row.accuracy_high) == between.by_name["accuracy"]
        else:
            assert math.isnan(row.accuracy_low)
    trained_on = leak.bins.iloc[0]
    assert (trained_on["trained_on"], trained_on["patches"]) == (True, 48)


def leaking(drop: float, scenes: int = 20) -> tuple[pd.DataFrame, np.ndarray]:
    """Scenes of which patches far from trained-on ones are worse by `drop`."""
    rng = np.random.default_rng(4)
    table = pd.concat([grid_of(["thhhhhh"] * 4, f"s{n}") for n in range(scenes)], ignore_index=True)
    level = rng.uniform(0.75, 0.9, scenes).repeat(28) + rng.normal(0, 0.02, len(table))
    far = np.nan_to_num(distance_to_training(table, 1)) >= 4
    return table, matrices_of((level - drop * far).clip(0, 1))


def test_a_leak_is_shown_where_there_is_one() -> None:
    gain = find_leak(*leaking(0.05), TWO, 160).gains["accuracy"]
    assert gain.real
    assert gain.interval.low < -0.05 < gain.interval.high
    assert (gain.unit, gain.units) == ("scene", 20)


def test_no_leak_is_shown_where_there_is_none_or_too_little_to_tell() -> None:
    assert not find_leak(*leaking(0.0), TWO, 160).gains["accuracy"].real
    assert not find_leak(*leaking(0.05, scenes=3), TWO, 160).gains["accuracy"].real


def test_where_nothing_is_trained_on_or_held_out_there_is_no_leak() -> None:
    for line in ("hhh", "ttt", "vvt"):
        table = grid_of([line])
        assert find_leak(table, matrices_of(np.ones(len(table))), TWO, 10) is None


@pytest.mark.parametrize("name", ["dubai-best", "demo-unet"])
def test_under_protocol_patch_all_touch_and_their_surroundings_differ(name: str) -> None:
    run = Run(SHIPPED / name)
    leak = find_leak(run.patches, run.confusion_matrices, run.palette, run.patch_size)
    assert leak.by == "surroundings"
    assert leak.held_out["to"].tolist() == [8, 7, 6, 4]
    assert leak.held_out["patches"].sum() == run.metrics.patches
    mean = (leak.held_out["accuracy"] * leak.held_out["patches"]).sum() / run.metrics.patches
    assert mean == pytest.approx(run.metrics.accuracy, abs=1e-5)
    assert not leak.gains["accuracy"].real


def test_whole_scenes_held_out_are_in_no_training_scene() -> None:
    run = Run(SHIPPED / "dubai-scene")
    leak = find_leak(run.patches, run.confusion_matrices, DUBAI, 160)
    assert leak.in_other_scenes
    assert leak.gains == {}
    assert leak.held_out["accuracy"].item() == pytest.approx(run.metrics.accuracy, abs=1e-5)


def test_what_a_new_place_scores_less_is_shown_and_eight_scenes_do_not_show_a_hundredth() -> None:
    best, scene, tile = (Run(SHIPPED / name) for name in ("dubai-best", "dubai-scene", "dubai-tile"))
    pairs = [(run.patches, run.confusion_matrices) for run in (best, scene, tile)]
    of_scenes, of_a_tile = compare_parts(pairs[0], pairs[1], DUBAI), compare_parts(pairs[0], pairs[2], DUBAI)
    assert of_scenes["accuracy"].gain == pytest.approx(scene.metrics.accuracy - best.metrics.accuracy, abs=1e-5)
    assert not of_scenes["accuracy"].real
    assert of_a_tile["accuracy"].real


def test_parts_that_are_drawn_on_their_own_spread_as_both_together() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        table = pd.concat([grid_of(["h"], f"s{n}") for n in range(60)], ignore_index=True)
        parts.append((table, matrices_of(rng.uniform(0.6, 1, 60))))
    gain = compare_parts(*parts, TWO)["accuracy"]
    spread = [np.trace(matrices, axis1=1, axis2=2).std() / 1000 / 60**0.5 for _, matrices in parts]
    assert (gain.interval.high - gain.interval.low) / (2 * 1.96) == pytest.approx(math.hypot(*spread), rel=0.1)
