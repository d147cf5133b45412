"""The gallery's worst patches, held against the run's table in plain NumPy."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")
ROAD = NAMES.index("Road")

SIDE = 32
"""Of a patch of the small data set, in pixels."""

Open = Callable[..., AppTest]


def write_patches(folder: Path, matrices: np.ndarray, table: pd.DataFrame) -> None:
    """Write a run's patches.csv anew, its scores computed here from confusion matrices (n, 6, 6)."""
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    union = matrices.sum(1) + matrices.sum(2) - diagonal
    iou = np.where(union > 0, diagonal / np.maximum(union, 1), np.nan)
    cells = {f"{NAMES[i]} as {NAMES[j]}": matrices[:, i, j] for i in range(6) for j in range(6)}
    scores = {f"iou_{name}": iou[:, index] for index, name in enumerate(NAMES)}
    table = table.drop(columns=[*cells, *scores]).assign(
        **scores,
        mean_iou=np.nanmean(iou, axis=1),
        classes=np.isfinite(iou).sum(1),
        accuracy=diagonal.sum(1) / matrices.sum((1, 2)),
        pixels=matrices.sum((1, 2)),
        **cells,
    )
    table.round(6).to_csv(folder / "patches.csv", index=False)


def made_up(count: int, seed: int) -> np.ndarray:
    """Confusion matrices of patches of 1,024 px: Land all over; in some stray pixels of Road, in some a missed road."""
    rng = np.random.default_rng(seed)
    matrices = np.zeros((count, 6, 6), int)
    for place, matrix in enumerate(matrices):
        kind = place % 4
        if kind == 0:  # no road, and a few stray pixels of it: an IoU of 0
            matrix[1, ROAD] = rng.integers(1, 10)
        elif kind == 1:  # a road that was not found at all: an IoU of 0 as well
            matrix[ROAD, 1] = rng.integers(20, 300)
        elif kind == 2:  # a road in the wrong place
            matrix[ROAD, 1], matrix[1, ROAD] = rng.integers(20, 200, 2)
            matrix[ROAD, ROAD] = rng.integers(1, 100)
        else:  # no road anywhere
            matrix[0, 1] = rng.integers(0, 300) if place > 3 else 0
        matrix[1, 1] = 1024 - matrix.sum()
    return matrices


@pytest.fixture
def runs(trained: object, tmp_path: Path) -> Path:
    """A folder with a run, all of whose patches are held out and scored as `made_up` says."""
    shutil.copytree(trained.run.folder, tmp_path / "runs" / "strays")
    table = trained.run.patches.assign(part="test")
    write_patches(tmp_path / "runs" / "strays", made_up(len(table), 5), table)
    return tmp_path / "runs"


@pytest.fixture
def open_gallery(open_on: Open, trained: object, runs: Path) -> Open:
    """A function that opens the gallery on that run, with query parameters."""

    def open_(**query: str) -> AppTest:
        at = open_on(trained.dataset, runs, "gallery", run="strays", **query)
        assert not at.exception
        assert not at.error
        return at

    return open_


@pytest.fixture
def table(runs: Path) -> pd.DataFrame:
    """The run's patches, with what was missed and invented of Road and how many pixels are wrong at all."""
    table = pd.read_csv(runs / "strays" / "patches.csv")
    others = [name for name in NAMES if name != "Road"]
    missed = sum(table[f"Road as {name}"] for name in others)
    invented = sum(table[f"{name} as Road"] for name in others)
    wrong = sum(table[f"{one} as {other}"] for one in NAMES for other in NAMES if one != other)
    return table.assign(missed=missed, invented=invented, of_road=missed + invented, wrong_pixels=wrong)


def shown(at: AppTest) -> list[str]:
    return [m.value.split("`")[1] for m in at.markdown if m.value.startswith("**") and ".** `" in m.value]


def words(at: AppTest) -> str:
    return "\n".join(element.value for kind in (at.markdown, at.caption, at.info) for element in kind)


def bold(at: AppTest) -> list[str]:
    """What each card shows in bold of its patch's scores."""
    return [m.value.split("**")[1] for m in at.markdown if m.value.startswith("**") and " · " in m.value]


def ordered(table: pd.DataFrame, *keys: tuple[str, bool]) -> list[str]:
    """Patches by several keys, each (column, rising); what is equal in the table's order."""
    signs = [table[column].to_numpy() * (1 if rising else -1) for column, rising in keys]
    return list(table["patch"].to_numpy()[np.lexsort(signs[::-1])])


def test_a_class_chosen_switches_the_order_to_it_and_real_misses_come_first(
    open_gallery: Open, table: pd.DataFrame
) -> None:
    at = open_gallery()
    at.selectbox(key="class").set_value("Road").run()
    assert at.selectbox(key="by").value == "IoU of the class"
    at.number_input(key="least-wrong")
    held = table[table["iou_Road"].notna() & (table["of_road"] >= 0.01 * SIDE**2)]
    expected = ordered(held, ("iou_Road", True), ("of_road", False))
    assert shown(at) == expected[:8]
    best = table.set_index("patch").loc[expected[0]]
    assert best["iou_Road"] == 0
    assert best["missed"] == held.loc[held["iou_Road"] == 0, "missed"].max()  # the largest miss, not the first by name
    at.selectbox(key="class").set_value(None).run()
    assert at.selectbox(key="by").value == "Mean IoU"


def test_a_link_with_a_class_ranks_by_it(open_gallery: Open, table: pd.DataFrame) -> None:
    held = table[table["iou_Road"].notna() & (table["of_road"] >= 0.01 * SIDE**2)]
    assert shown(open_gallery(**{"class": "Road"})) == ordered(held, ("iou_Road", True), ("of_road", False))[:8]
    by_mean = open_gallery(**{"class": "Road"}, by="Mean IoU")
    assert shown(by_mean) == ordered(held, ("mean_iou", True), ("of_road", False))[:8]


def test_the_number_hidden_is_said_and_the_bound_can_be_chosen(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery(**{"class": "Road"})
    held = table[table["iou_Road"].notna()]
    hidden = (held["of_road"] < 0.01 * SIDE**2).sum()
    assert hidden > 1
    assert f"{hidden} patches with fewer than 10 wrong pixels of Road (1 % of the patch) hidden." in words(at)
    at.number_input(key="least-wrong").set_value(10.0).run()
    hidden = (held["of_road"] < 0.1 * SIDE**2).sum()
    assert f"{hidden} patches with fewer than 102 wrong pixels of Road (10 % of the patch) hidden." in words(at)
    assert f"**{len(held) - hidden}** of {len(table)} patches" in words(at)
    at.number_input(key="least-wrong").set_value(0.0).run()
    assert "hidden" not in words(at)
    assert shown(at) == ordered(held, ("iou_Road", True), ("of_road", False))[:8]


def test_without_a_class_the_bound_is_of_all_wrong_pixels(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery()
    kept = table[table["wrong_pixels"] >= 0.01 * SIDE**2]
    assert shown(at) == ordered(kept, ("mean_iou", True), ("wrong_pixels", False))[:8]
    assert f"{len(table) - len(kept)} patches with fewer than 10 wrong pixels (1 % of the patch) hidden." in words(at)


def test_best_first_hides_none(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery(order="Best first")
    assert shown(at) == ordered(table, ("mean_iou", False), ("wrong_pixels", True))[:8]
    assert f"**{len(table)}** of {len(table)} patches" in words(at)
    assert "hidden" not in words(at)


def test_wrong_pixels_are_an_order_of_their_own(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery(by="Wrong pixels")
    kept = table[table["wrong_pixels"] >= 0.01 * SIDE**2]
    expected = ordered(kept, ("wrong_pixels", False))[:8]
    assert shown(at) == expected
    pixels = table.set_index("patch")["wrong_pixels"]
    assert bold(at) == [f"{pixels[name]:,} wrong pixels" for name in expected]
    at.selectbox(key="class").set_value("Road").run()  # wrong pixels are then that class's
    assert at.selectbox(key="by").value == "Wrong pixels"
    kept = table[table["iou_Road"].notna() & (table["of_road"] >= 0.01 * SIDE**2)]
    assert shown(at) == ordered(kept, ("of_road", False))[:8]


@pytest.mark.parametrize(("errors", "column"), [("Missed", "missed"), ("Invented", "invented")])
def test_missed_and_invented_pixels_are_told_apart_and_filtered(
    open_gallery: Open, table: pd.DataFrame, errors: str, column: str
) -> None:
    at = open_gallery(**{"class": "Road"}, by="Wrong pixels", errors=errors)
    some = table[(table[column] > 0) & table["iou_Road"].notna()]
    kept = some[some[column] >= 0.01 * SIDE**2]
    expected = ordered(kept, (column, False))
    assert shown(at) == expected[:8]
    pixels = table.set_index("patch")[column]
    assert bold(at) == [f"{pixels[name]:,} {errors.lower()} pixels of Road" for name in expected[:8]]
    at.number_input(key="least-wrong").set_value(0.0).run()  # even so only patches that have such pixels
    assert f"**{len(some)}** of {len(table)} patches" in words(at)
    at.selectbox(key="by").set_value("IoU of the class").run()
    assert shown(at) == ordered(some, ("iou_Road", True), (column, False))[:8]


def test_each_card_tells_missed_from_invented(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery(**{"class": "Road"})
    rows = table.set_index("patch")
    for name in shown(at):
        row = rows.loc[name]
        said = f"wrong pixels of Road ({row['missed']:,} missed, {row['invented']:,} invented)"
        assert f"{row['of_road']:,} {said}" in words(at)


@pytest.mark.parametrize(
    ("by", "pattern"),
    [
        ("IoU of the class", r"IoU of Road \d\.\d{3}"),
        ("Mean IoU", r"Mean IoU \d\.\d{3} of \d class(es)?"),
        ("Wrong pixels", r"[\d,]+ wrong pixels of Road \(.*\)"),
        ("Accuracy", r"Accuracy \d\.\d{3}"),
        ("Confidently wrong", r"\d+\.\d % confidently wrong"),
    ],
)
def test_a_card_shows_in_bold_what_it_is_ranked_by(open_gallery: Open, by: str, pattern: str) -> None:
    found = bold(open_gallery(**{"class": "Road"}, by=by))
    assert len(found) == 8
    assert all(re.fullmatch(pattern, text) for text in found), found


def test_scenes_and_tiles_are_ranked_by_wrong_pixels_too(open_gallery: Open, table: pd.DataFrame) -> None:
    at = open_gallery(**{"class": "Road"}, by="Wrong pixels", rank="Scenes")
    frame = next(frame.value for frame in at.dataframe if "patches" in frame.value)
    held = table[table["iou_Road"].notna()]
    for column, of_road in (("wrong", "of_road"), ("missed", "missed"), ("invented", "invented")):
        expected = held.groupby("scene")[of_road].sum()
        assert dict(zip(frame["scene"], frame[column], strict=True)) == expected.to_dict()
    assert frame["wrong"].is_monotonic_decreasing


def test_two_runs_do_not_begin_with_a_handful_of_pixels(
    open_gallery: Open, trained: object, runs: Path, table: pd.DataFrame
) -> None:
    shutil.copytree(runs / "strays", runs / "other")
    matrices = made_up(len(table), 5)
    matrices[3::4, 1, ROAD] += 3  # the other invents three pixels of road where there is none
    matrices[3::4, 1, 1] -= 3
    write_patches(runs / "other", matrices, trained.run.patches.assign(part="test"))
    others = pd.read_csv(runs / "other" / "patches.csv")
    gain = others["mean_iou"] - table["mean_iou"]
    wrong = pd.Series(matrices.sum((1, 2)) - np.trace(matrices, axis1=1, axis2=2))
    most = np.maximum(wrong, table["wrong_pixels"])
    assert (most[gain.nsmallest(1).index] < 0.01 * SIDE**2).all()  # by its gain alone a handful would be the worst
    both = table.assign(gain=gain, most=most)
    at = open_gallery(view="Two runs", **{"with": "other"})
    kept = both[most >= 0.01 * SIDE**2]
    expected = ordered(kept, ("gain", True), ("most", False))[:8]
    assert shown(at) == expected
    assert f"{len(both) - len(kept)} patches with fewer than 10 wrong pixels" in words(at)
    gains = both.set_index("patch")["gain"]
    assert [text.split(":")[0] for text in bold(at)] == [f"{gains[name]:+.3f}" for name in expected]
    at.selectbox(key="class").set_value("Road").run()
    assert not at.exception
    assert "IoU of Road" in bold(at)[0]
