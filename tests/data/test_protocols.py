"""Which patches are held out."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.data.images import read_size
from segmentation.data.palette import DUBAI, VOID, Palette
from segmentation.data.patches import grid, patch_table
from segmentation.data.protocols import (
    DESCRIPTIONS,
    PROTOCOLS,
    TRAINING_PROTOCOLS,
    apply_void_policy,
    held_out,
    touching,
)
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError


def table_of(scenes: dict[str, int]) -> pd.DataFrame:
    """A table with so many patches of each scene; the scene's name begins with its tile's."""
    tables = [patch_table(scene, scene.split("/")[0], 1, patches) for scene, patches in scenes.items()]
    return pd.concat(tables, ignore_index=True)


def numbered(tiles: Iterable[int], parts: Iterable[int]) -> pd.DataFrame:
    """A table of scenes named as the Dubai set's are."""
    return table_of({f"tile-{tile}/image_part_{part:03d}": tile + part for tile in tiles for part in parts})


NUMBERED = numbered(range(1, 9), range(1, 10))
OTHERS = table_of({f"{tile}/{part}": 3 for tile in ("north", "south") for part in "abcdefghijkl"})


@pytest.fixture(scope="module")
def real_table(real_dataset: Dataset) -> pd.DataFrame:
    """The patches of the real set, from the headers of its files."""
    tables = [patch_table(scene.name, scene.tile, *grid(*read_size(scene.image), 160)) for scene in real_dataset.scenes]
    return pd.concat(tables, ignore_index=True)


def test_every_protocol_is_described() -> None:
    assert set(DESCRIPTIONS) == set(PROTOCOLS) == {"patch", "scene", "tile", "given", "all"}


def test_the_articles_split_holds_out_349_of_3483_patches(real_table: pd.DataFrame) -> None:
    chosen = held_out(real_table, "patch")
    assert (len(chosen), chosen.sum()) == (3483, 349)


def test_the_articles_split_is_the_first_tenth_of_permutation_42(real_table: pd.DataFrame) -> None:
    expected = np.random.RandomState(42).permutation(3483)[:349]
    assert set(np.flatnonzero(held_out(real_table, "patch"))) == set(expected)


@pytest.mark.parametrize("count", [2, 9, 10, 11, 30, 100, 101])
def test_a_tenth_is_rounded_up(count: int) -> None:
    assert held_out(table_of({"t/s": count}), "patch").sum() == math.ceil(count / 10)


@pytest.mark.parametrize("protocol", ["patch", "scene"])
def test_the_same_seed_gives_the_same_split(protocol: str) -> None:
    assert np.array_equal(held_out(OTHERS, protocol, seed=3), held_out(OTHERS, protocol, seed=3))


@pytest.mark.parametrize("protocol", ["patch", "scene"])
def test_another_seed_gives_another_split(protocol: str) -> None:
    splits = {tuple(held_out(OTHERS, protocol, seed=seed)) for seed in range(5)}
    assert len(splits) > 1


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    held_out(OTHERS, "patch")
    assert np.random.random() == expected


def test_part_t_of_tile_t_is_held_out_of_the_real_set(real_table: pd.DataFrame) -> None:
    scenes = set(real_table["scene"][held_out(real_table, "scene")])
    assert scenes == {f"tile-{number}/image_part_{number:03d}" for number in range(1, 9)}


def test_the_scene_protocol_holds_out_all_patches_of_its_scenes() -> None:
    chosen = held_out(NUMBERED, "scene")
    diagonal = [f"tile-{number}/image_part_{number:03d}" for number in range(1, 9)]
    assert chosen.tolist() == NUMBERED["scene"].isin(diagonal).tolist()


def test_the_seed_does_not_move_numbered_scenes() -> None:
    assert np.array_equal(held_out(NUMBERED, "scene", seed=1), held_out(NUMBERED, "scene", seed=2))


def test_scenes_that_are_not_numbered_are_drawn() -> None:
    scenes = list(dict.fromkeys(OTHERS["scene"]))
    expected = {scenes[i] for i in np.random.RandomState(42).permutation(24)[:3]}
    assert set(OTHERS["scene"][held_out(OTHERS, "scene")]) == expected


@pytest.mark.parametrize(
    ("tiles", "parts"), [((1, 2, 3), (1, 2, 3)), (range(1, 10), range(1, 10)), (range(1, 9), range(1, 13))], ids=str
)
def test_scenes_whose_numbers_fit_but_are_not_the_dubai_mosaics_are_drawn(
    tiles: Iterable[int], parts: Iterable[int]
) -> None:
    table = numbered(tiles, parts)
    scenes = list(dict.fromkeys(table["scene"]))
    first_tenth = np.random.RandomState(42).permutation(len(scenes))[: math.ceil(len(scenes) / 10)]
    assert set(table["scene"][held_out(table, "scene")]) == {scenes[place] for place in first_tenth}


def test_scenes_are_drawn_where_a_tile_lacks_its_part() -> None:
    table = NUMBERED[NUMBERED["scene"] != "tile-2/image_part_002"].reset_index(drop=True)
    chosen = held_out(table, "scene")
    first_tenth = np.random.RandomState(42).permutation(71)[:8]
    assert set(table["scene"][chosen]) == {table["scene"].unique()[place] for place in first_tenth}


def test_a_dubai_scene_that_cannot_be_read_moves_no_other() -> None:
    table = NUMBERED[NUMBERED["scene"] != "tile-2/image_part_007"].reset_index(drop=True)
    diagonal = {f"tile-{number}/image_part_{number:03d}" for number in range(1, 9)}
    assert set(table["scene"][held_out(table, "scene")]) == diagonal


@pytest.mark.parametrize("table", [NUMBERED, OTHERS], ids=["numbered", "drawn"])
def test_no_scene_is_in_both_parts(table: pd.DataFrame) -> None:
    chosen = held_out(table, "scene")
    assert set(table["scene"][chosen]).isdisjoint(table["scene"][~chosen])
    assert 0 < chosen.sum() < len(table)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """The patches of some tiles with some scenes each, those of the real set among them."""
    if draw(st.booleans()):
        return NUMBERED
    tiles = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5, unique=True).map(sorted))
    name = "tile-{}/image_part_{:03d}" if draw(st.booleans()) else "area-{}/{}"
    parts = {tile: range(1, 1 + draw(st.integers(1, 12))) for tile in tiles}
    table = table_of({name.format(tile, part): draw(st.integers(1, 6)) for tile in tiles for part in parts[tile]})
    split = {scene: draw(st.sampled_from(["train", "val", "Test", ""])) for scene in table["scene"].unique()}
    return table.assign(split=table["scene"].map(split))


@given(tables(), st.sampled_from(TRAINING_PROTOCOLS), st.integers(0, 2**32 - 1), st.data())
def test_any_split_parts_all_patches_by_what_its_protocol_keeps_together(
    table: pd.DataFrame, protocol: str, seed: int, data: st.DataObject
) -> None:
    tile = data.draw(st.sampled_from(sorted(set(table["tile"])))) if protocol == "tile" else None
    try:
        test = held_out(table, protocol, tile, seed)
    except ConfigurationError:
        if protocol == "given":
            words = set(table.get("split", ()))
            assert not words & {"val", "Test"} or words in ({"val"}, {"Test"})
        else:
            assert table[protocol].nunique() == 1  # all there is would be held out
        return
    held, trained_on = table[test], table[~test]
    assert len(held) > 0 < len(trained_on)
    assert sorted([*held["patch"], *trained_on["patch"]]) == sorted(table["patch"])
    kept_together = "split" if protocol == "given" else protocol
    assert set(held[kept_together]).isdisjoint(trained_on[kept_together])
    assert np.array_equal(test, held_out(table, protocol, tile, seed))


def test_one_tile_is_held_out_whole() -> None:
    assert held_out(OTHERS, "tile", "south").tolist() == (OTHERS["tile"] == "south").tolist()


@pytest.mark.parametrize("tile", [None, "east"])
def test_a_tile_that_does_not_exist_is_refused_with_those_that_do(tile: str | None) -> None:
    with pytest.raises(ConfigurationError, match=f"one of north, south. Received: {tile}"):
        held_out(OTHERS, "tile", tile)


def test_all_holds_out_every_patch_of_any_data_set() -> None:
    assert held_out(table_of({"t/s": 1}), "all").tolist() == [True]
    assert held_out(OTHERS, "all").all()


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"out of patch, scene, tile, given, all\. Received: 'random'"):
        held_out(OTHERS, "random")


@pytest.mark.parametrize(
    ("table", "protocol", "tile"),
    [
        (table_of({"t/s": 1}), "patch", None),
        (table_of({"t/s": 5}), "scene", None),
        (table_of({"t/s": 5, "t/r": 5}), "tile", "t"),
        (table_of({"tile-1/image_part_001": 5}), "scene", None),
    ],
    ids=["one patch", "one scene", "one tile", "one numbered scene"],
)
def test_holding_out_everything_is_refused(table: pd.DataFrame, protocol: str, tile: str | None) -> None:
    with pytest.raises(ConfigurationError, match="nothing to train on"):
        held_out(table, protocol, tile)


MASK = np.array([[0, 5, VOID]], np.uint8)


def test_the_article_counts_void_as_unlabeled() -> None:
    settled = apply_void_policy(MASK, "patch", DUBAI)
    assert (settled.tolist(), settled.dtype) == ([[0, 5, 5]], np.uint8)


@pytest.mark.parametrize("protocol", ["scene", "tile"])
def test_elsewhere_void_stays_void(protocol: str) -> None:
    assert apply_void_policy(MASK, protocol, DUBAI).tolist() == [[0, 5, VOID]]


def test_void_stays_void_where_no_class_is_unlabeled() -> None:
    palette = Palette(("A", "B"), ((1, 1, 1), (2, 2, 2)))
    assert apply_void_policy(np.array([[1, VOID]], np.uint8), "patch", palette).tolist() == [[1, VOID]]


def test_settling_void_does_not_change_the_masks_given() -> None:
    mask = MASK.copy()
    apply_void_policy(mask, "patch", DUBAI)
    assert np.array_equal(mask, MASK)


def test_patches_that_touch_a_training_patch_are_those_with_one_around_them() -> None:
    table = patch_table("a", "tile", 4, 4)
    test = np.zeros(16, bool)
    test[[0, 1, 4, 5, 15]] = True  # the corner of two by two, and the opposite corner
    assert np.flatnonzero(touching(table, test)).tolist() == [1, 4, 5, 15]


def test_patches_of_other_scenes_do_not_touch() -> None:
    table = pd.concat([patch_table(name, "tile", 1, 2) for name in "ab"], ignore_index=True)
    assert not touching(table, np.array([True, True, False, False])).any()
