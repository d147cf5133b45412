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
    Fold,
    apply_void_policy,
    assign_parts,
    held_out,
    scene_groups,
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
    assert set(DESCRIPTIONS) == set(PROTOCOLS) == {"patch", "scene", "tile", "given", "article", "k-fold", "all"}


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
            unit = "patch" if protocol == "article" else protocol
            assert table[unit].nunique() == 1  # all there is would be held out
        return
    held, trained_on = table[test], table[~test]
    assert len(held) > 0 < len(trained_on)
    assert sorted([*held["patch"], *trained_on["patch"]]) == sorted(table["patch"])
    kept_together = {"given": "split", "article": "patch"}.get(protocol, protocol)
    assert set(held[kept_together]).isdisjoint(trained_on[kept_together])
    assert np.array_equal(test, held_out(table, protocol, tile, seed))
    try:
        parts = assign_parts(table, protocol, tile, seed)
    except ConfigurationError as error:
        assert "three parts" in str(error)
        assert table["patch" if protocol == "patch" else "scene"].nunique() < 12
        return
    assert np.array_equal(parts == "test", test)
    if protocol == "article":
        assert set(parts) == {"train", "test"}
        return
    assert set(parts) == {"train", "validation", "test"}
    unit = "patch" if protocol == "patch" else "scene"
    assert set(table[unit][parts == "validation"]).isdisjoint(table[unit][parts != "validation"])


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
    with pytest.raises(
        ConfigurationError, match=r"out of patch, scene, tile, given, article, k-fold, all\. Received: 'random'"
    ):
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


def test_the_validation_part_of_patch_is_the_next_tenth_of_the_permutation(real_table: pd.DataFrame) -> None:
    order = np.random.RandomState(42).permutation(3483)
    parts = assign_parts(real_table, "patch")
    assert set(np.flatnonzero(parts == "test")) == set(order[:349])
    assert set(np.flatnonzero(parts == "validation")) == set(order[349:698])
    assert (parts == "train").sum() == 3483 - 698


def test_the_article_has_the_test_part_of_patch_and_trains_on_all_the_rest(real_table: pd.DataFrame) -> None:
    parts = assign_parts(real_table, "article")
    assert np.array_equal(parts == "test", held_out(real_table, "patch"))
    assert (parts == "train").sum() == 3483 - 349
    assert Fold.of(parts, "article").chosen_on.tolist() == np.flatnonzero(parts == "test").tolist()


def names_of(tiles: Iterable[int], further: int) -> set[str]:
    """Part t + `further` of each tile t, beginning anew after the ninth."""
    return {f"tile-{tile}/image_part_{(tile + further - 1) % 9 + 1:03d}" for tile in tiles}


def test_dubai_validates_on_the_part_after_the_one_held_out() -> None:
    parts = assign_parts(NUMBERED, "scene")
    assert set(NUMBERED["scene"][parts == "test"]) == names_of(range(1, 9), 0)
    assert set(NUMBERED["scene"][parts == "validation"]) == names_of(range(1, 9), 1)


def test_each_fold_of_dubai_holds_out_another_part_of_each_tile() -> None:
    groups = scene_groups(NUMBERED)
    assert [set(group) for group in groups] == [names_of(range(1, 9), number) for number in range(9)]
    last = assign_parts(NUMBERED, "scene", fold=8)
    assert set(NUMBERED["scene"][last == "test"]) == names_of(range(1, 9), 8)
    assert set(NUMBERED["scene"][last == "validation"]) == names_of(range(1, 9), 0)


def test_a_tile_of_dubai_is_validated_on_the_diagonal_of_the_others() -> None:
    parts = assign_parts(NUMBERED, "tile", "tile-2")
    assert set(NUMBERED["scene"][parts == "validation"]) == names_of([1, 3, 4, 5, 6, 7, 8], 0)


def test_where_tiles_are_many_a_tile_is_validated_on_whole_ones() -> None:
    table = table_of({f"town-{tile}/{part}": 2 for tile in range(15) for part in "ab"})
    parts = assign_parts(table, "tile", "town-3")
    validated = set(table["tile"][parts == "validation"])
    assert len(validated) == 2  # a tenth of fourteen, rounded up
    assert validated.isdisjoint(table["tile"][parts != "validation"])


def test_where_tiles_are_few_a_tile_is_validated_on_scenes_of_the_others() -> None:
    parts = assign_parts(OTHERS, "tile", "south")
    validated = OTHERS[parts == "validation"]
    assert (set(validated["tile"]), validated["scene"].nunique()) == ({"north"}, 2)  # a tenth of twelve, rounded up
    assert set(validated["scene"]).isdisjoint(OTHERS["scene"][parts == "train"])


def with_splits(**scenes: str) -> pd.DataFrame:
    """Three patches of each scene, which is in the split of this name."""
    table = table_of({f"t/{scene}": 3 for names in scenes.values() for scene in names})
    split = {f"t/{scene}": word for word, names in scenes.items() for scene in names}
    return table.assign(split=table["scene"].map(split))


@pytest.mark.parametrize(
    ("table", "two_parts", "expected"),
    [
        (with_splits(train="abc", val="d", test="e"), False, {"test": "e", "validation": "d", "train": "abc"}),
        (with_splits(train="abc", val="d", test="e"), True, {"test": "e", "validation": "d", "train": "abc"}),
        (with_splits(train="abc", val="d"), True, {"test": "d", "validation": "", "train": "abc"}),
    ],
    ids=["three", "in two parts", "no test split, in two parts"],
)
def test_given_takes_the_splits_of_the_set(table: pd.DataFrame, two_parts: bool, expected: dict[str, str]) -> None:
    parts = assign_parts(table, "given", two_parts=two_parts)
    for part, scenes in expected.items():
        assert set(table["scene"][parts == part]) == {f"t/{scene}" for scene in scenes}


@pytest.mark.parametrize("table", [with_splits(train="abc", val="d"), with_splits(train="abc", test="d")])
def test_given_cuts_the_validation_part_that_the_set_does_not_bring(table: pd.DataFrame) -> None:
    parts = assign_parts(table, "given")
    assert set(table["scene"][parts == "test"]) == {"t/d"}
    (validated,) = set(table["scene"][parts == "validation"])
    assert set(table["scene"][parts == "train"]) == {"t/a", "t/b", "t/c"} - {validated}


@pytest.mark.parametrize("protocol", ["all", "k-fold"])
def test_what_is_scored_as_a_whole_has_one_part(protocol: str) -> None:
    assert set(assign_parts(OTHERS, protocol)) == {"test"}


@pytest.mark.parametrize(
    ("table", "protocol", "tile", "advice"),
    [
        (table_of({"t/s": 2}), "patch", None, "choose a smaller patch size"),
        (table_of({"t/s": 5, "t/r": 5}), "scene", None, "choose protocol patch"),
        (table_of({"t/s": 5, "u/r": 5}), "tile", "t", "choose protocol patch"),
        (with_splits(train="a", test="b"), "given", None, "choose protocol patch"),
    ],
)
def test_too_little_for_three_parts_is_said_with_what_to_do(
    table: pd.DataFrame, protocol: str, tile: str | None, advice: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=f"too little data for the {protocol} protocol's three parts.*{advice}"
    ):
        assign_parts(table, protocol, tile)
    assert set(assign_parts(table, protocol, tile, two_parts=True)) == {"train", "test"}


def test_a_fold_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Expected a fold from 0 to 7\. Received: 8"):
        held_out(OTHERS, "scene", fold=8)


def test_a_fold_names_the_part_of_every_patch() -> None:
    parts = assign_parts(OTHERS, "scene")
    fold = Fold.of(parts, "scene")
    assert fold.parts(len(OTHERS)).tolist() == parts.tolist()
    assert fold.chosen_on.tolist() == np.flatnonzero(parts == "validation").tolist()


MASK = np.array([[0, 5, VOID]], np.uint8)


@pytest.mark.parametrize("protocol", ["patch", "article"])
def test_the_article_counts_void_as_unlabeled(protocol: str) -> None:
    settled = apply_void_policy(MASK, protocol, DUBAI)
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
