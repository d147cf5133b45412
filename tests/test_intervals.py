"""Intervals equal a bootstrap of ten lines, hold the truth as often as they say, and tell what is real from chance."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segmentation import scores
from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI, Palette
from segmentation.intervals import (
    DRAWS,
    FEW,
    LEAST,
    Intervals,
    draw,
    find_gains,
    find_intervals,
    interval,
    share_outside,
)
from segmentation.runs.run import SHIPPED, Run

THREE = Palette(("Bare", "Roof", "Tree"), ((0, 0, 0), (255, 0, 0), (0, 255, 0)))

Patches = tuple[pd.DataFrame, np.ndarray]


def scenes_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return (count, 3, 3) confusion matrices of scenes: some are larger, some are harder."""
    shares = rng.dirichlet([2, 2, 1], count) * rng.integers(20_000, 60_000, count)[:, None]
    right = shares * rng.beta(8, 2, (count, 3))
    matrices = ((shares - right) / 2)[:, :, None] * (1 - np.eye(3))
    matrices[:, range(3), range(3)] = right
    return matrices.astype(np.int64)


def table_of(scenes: list[str], tile: str = "Tile 1") -> pd.DataFrame:
    """Return a row per patch, of which `scenes` names the scene of each."""
    return pd.DataFrame(
        {"patch": [f"{scene}/{row}" for row, scene in enumerate(scenes)], "scene": scenes, "tile": tile}
    )


def held_out(name: str) -> Patches:
    """Return the held-out patches of a shipped run with their confusion matrices."""
    run = Run(SHIPPED / name)
    test = (run.patches["part"] == "test").to_numpy()
    return run.patches[test], run.confusion_matrices[test]


def naive(table: pd.DataFrame, matrices: np.ndarray) -> np.ndarray:
    """Draw scenes and add up their patches, one by one: (draws, 2 + classes) accuracy, mean IoU and IoU by class."""
    names = list(dict.fromkeys(table["scene"]))
    sums = [matrices[(table["scene"] == name).to_numpy()].sum(0) for name in names]
    rng, rows = np.random.default_rng(0), []
    for _ in range(DRAWS):
        total = sum(sums[place] for place in rng.integers(len(names), size=len(names)))
        hit, seen = np.diag(total), total.sum(0) + total.sum(1) - np.diag(total)
        ious = [h / s if s else np.nan for h, s in zip(hit, seen, strict=True)]
        rows.append([hit.sum() / total.sum(), np.nanmean(ious), *ious])
    return np.array(rows)


@pytest.mark.parametrize("name", ["dubai-best", "dubai-scene"])
def test_intervals_are_those_of_a_bootstrap_of_ten_lines(name: str) -> None:
    table, matrices = held_out(name)
    found = find_intervals(table, matrices, DUBAI)
    assert (found.unit, found.units) == ("scene", table["scene"].nunique())
    tail = stats.norm.cdf(-stats.t.ppf(0.975, found.units - 1) * (found.units / (found.units - 1)) ** 0.5)
    low, high = np.nanquantile(naive(table, matrices), (tail, 1 - tail), axis=0)
    shown = [found.by_name["accuracy"], found.by_name["mean_iou"], *found.iou.values()]
    np.testing.assert_allclose(shown, np.column_stack([low, high]), atol=5e-4)
    truth = scores.accuracy(matrices.sum(0))
    assert found.by_name["accuracy"].low < truth < found.by_name["accuracy"].high


def test_of_200_sets_of_30_scenes_about_95_per_cent_of_the_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    world = scenes_of(rng, 100_000).sum(0)

    def measure(matrix: np.ndarray) -> np.ndarray:
        return np.column_stack([scores.accuracy(matrix), scores.mean_iou(matrix), scores.iou(matrix)])

    truth, hits = measure(world[None])[0], []
    for _ in range(200):
        drawn = np.concatenate([measure(sums) for sums in draw(scenes_of(rng, 30))])
        hits.append([low <= value <= high for (low, high), value in zip(interval(drawn, 30), truth, strict=True)])
    held = np.mean(hits, axis=0)
    assert ((held >= 0.90) & (held <= 0.98)).all(), held


@pytest.mark.parametrize("groups", [6, 10, 30, 1000])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_few_groups_widen_an_interval_as_students_t_does(groups: int, confidence: float) -> None:
    outside = share_outside(groups, confidence)
    t = -stats.norm.ppf(outside) * ((groups - 1) / groups) ** 0.5
    assert t == pytest.approx(stats.t.ppf((1 + confidence) / 2, groups - 1), rel=0.01)
    assert outside < (1 - confidence) / 2


def test_tiles_are_drawn_where_there_are_enough() -> None:
    matrices = scenes_of(np.random.default_rng(2), 2 * FEW)
    table = table_of([f"scene {place}" for place in range(2 * FEW)])
    table["tile"] = [f"tile {place // 2}" for place in range(2 * FEW)]
    by_tile = find_intervals(table, matrices, THREE)
    assert (by_tile.unit, by_tile.units) == ("tile", FEW)
    as_scenes = table.assign(scene=table["tile"], tile="Tile 1")
    assert find_intervals(as_scenes, matrices, THREE).by_name == by_tile.by_name


def test_five_scenes_have_no_interval_and_those_of_void_alone_do_not_count() -> None:
    matrices = scenes_of(np.random.default_rng(3), LEAST)
    scenes = table_of(list("abcdef"))
    assert find_intervals(scenes, matrices, THREE).units == LEAST
    assert find_gains((scenes, matrices), (scenes, matrices), THREE) is not None
    assert find_intervals(table_of(list("aabcde")), matrices, THREE) is None
    matrices[1] = 0
    assert find_intervals(scenes, matrices, THREE) is None
    assert find_gains((scenes, matrices), (scenes, matrices), THREE) is None
    none = table_of([])
    assert find_intervals(none, matrices[:0], THREE) is None


def test_a_class_that_is_nowhere_has_no_interval_and_the_others_theirs() -> None:
    matrices = scenes_of(np.random.default_rng(4), 20)
    matrices[:, 2], matrices[:, :, 2] = 0, 0
    found = find_intervals(table_of([f"scene {place}" for place in range(20)]), matrices, THREE)
    assert np.isnan(found.iou["Tree"]).all()
    assert found.iou["Roof"].low < scores.iou(matrices.sum(0))[1] < found.iou["Roof"].high


def test_intervals_are_kept_and_whatever_else_a_file_holds_are_none() -> None:
    matrices = scenes_of(np.random.default_rng(4), 20)
    matrices[:, 2], matrices[:, :, 2] = 0, 0
    found = find_intervals(table_of([f"scene {place}" for place in range(20)]), matrices, THREE)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["iou"]["Tree"] is None
    assert Intervals.from_dict(content).to_dict() == found.to_dict()
    for broken in (
        *(None, [], "scene", {}, content | {"unit": "patch"}, content | {"units": 1}, content | {"units": "9"}),
        *(content | {"iou": {"Roof": ends}} for ends in ([0.1], [0.2, 0.1], [0, 2], ["a", "b"], 0.5, [None, None])),
    ):
        assert Intervals.from_dict(broken) is None, broken


def test_a_run_with_one_in_a_hundred_patches_spoilt_is_really_worse() -> None:
    table, matrices = held_out("dubai-best")
    spoilt = matrices.copy()
    for place in np.random.default_rng(5).permutation(len(table))[: len(table) // 100 + 3]:
        spoilt[place] = np.roll(matrices[place], 1, axis=1)  # every class is predicted as the next
    by_name, _ = find_gains((table, matrices), (table, spoilt), DUBAI)
    gain = by_name["accuracy"]
    assert gain.gain == pytest.approx(scores.accuracy(spoilt.sum(0)) - scores.accuracy(matrices.sum(0)))
    assert gain.gain < 0
    assert gain.real


def test_patches_are_matched_by_name_whatever_their_order() -> None:
    one, other = held_out("dubai-unet"), held_out("dubai-best")
    order = np.random.default_rng(6).permutation(len(other[0]))[:300]
    by_name, by_class = find_gains(one, (other[0].iloc[order], other[1][order]), DUBAI)
    both = one[0]["patch"].isin(other[0]["patch"].iloc[order]).to_numpy()
    expected = scores.iou(other[1][order].sum(0)) - scores.iou(one[1][both].sum(0))
    np.testing.assert_allclose([gain.gain for gain in by_class.values()], expected)
    assert by_name["accuracy"].real
    assert by_name["accuracy"].interval.low > 0


def test_chance_alone_is_not_shown_and_the_number_of_scenes_that_would_is_said() -> None:
    rng = np.random.default_rng(7)
    real = 0
    for _ in range(100):  # two runs that are equally good, and fail in other places
        scenes = table_of([f"scene {place}" for place in range(30)])
        by_name, _ = find_gains((scenes, scenes_of(rng, 30)), (scenes, scenes_of(rng, 30)), THREE)
        gain = by_name["accuracy"]
        real += gain.real
        assert gain.real or gain.units_needed >= gain.units
    assert real <= 11


def test_six_scenes_call_chance_real_as_seldom_as_many_do() -> None:
    rng, real, of_a_class = np.random.default_rng(9), 0, 0
    scenes = table_of([f"scene {place}" for place in range(6)])
    for _ in range(300):
        by_name, by_class = find_gains((scenes, scenes_of(rng, 6)), (scenes, scenes_of(rng, 6)), THREE)
        real += by_name["accuracy"].real
        of_a_class += any(gain.real for gain in by_class.values())
    assert max(real, of_a_class) <= 0.05 * 300 + 8  # two standard deviations of what chance may do


def test_a_run_is_not_better_than_itself() -> None:
    by_name, by_class = find_gains(held_out("dubai-best"), held_out("dubai-best"), DUBAI)
    assert not any(gain.real or gain.gain for gain in [*by_name.values(), *by_class.values()])


def test_255_classes_take_little_memory() -> None:
    from tests.memory import memory, reset_peak

    names = tuple(f"class {number}" for number in range(255))
    palette = Palette(names, tuple((number, 0, 1) for number in range(255)))
    matrices = np.random.default_rng(8).integers(0, 9, (12, 255, 255))
    before = reset_peak()
    assert len(find_intervals(table_of([f"scene {place}" for place in range(12)]), matrices, palette).iou) == 255
    assert memory("VmHWM") - before < 300


@pytest.mark.parametrize("names", [("dubai-unet-plain", "dubai-unet"), ("dubai-lite0", "dubai-best")], ids="-".join)
def test_results_say_which_run_is_really_better(names: tuple[str, str]) -> None:
    gain = find_gains(*map(held_out, names), DUBAI)[0]["accuracy"]
    said = f"`{names[1]}` than `{names[0]}` by {gain.gain:.3f}"
    between = f"({gain.interval.low:.3f} to {gain.interval.high:.3f})"
    text = " ".join((PROJECT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert gain.real
    assert re.search(rf"{re.escape(said)}( of accuracy)? {re.escape(between)}", text)
