"""The table of runs: what it holds, what is kept of what is typed into it, and what it says where that cannot be."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import Dataset
from segmentation.runs.database import DATABASE
from segmentation.runs.notes import RunNote, change_note, read_notes
from segmentation.runs.run import SHIPPED
from segmentation.runs.speeds import read_speeds
from segmentation.ui.session import KEY

Open = Callable[..., AppTest]

NAMES = ["dubai-best", "dubai-lite0", "dubai-unet", "dubai-unet-plain", "dubai-scene", "dubai-tile", "demo-unet"]
"""The shipped runs by data set, protocol and mean IoU."""


def score(name: str) -> float:
    return json.loads((SHIPPED / name / "metrics.json").read_text())["mean_iou"]


@pytest.fixture
def open_runs(open_on: Open, small_dataset: Dataset, tmp_path: Path) -> Open:
    """A function that opens the table of the shipped runs and those of the test's folder, with query parameters."""
    return partial(open_on, small_dataset, tmp_path, "home", view="runs")


def names(at: AppTest) -> list[str]:
    return at.data_editor[0].value["run"].tolist()


def edit(at: AppTest, name: str, **values: object) -> None:
    """Type into the row of a run."""
    key = at.data_editor[0].key
    said = at.session_state[key]
    rows = {**said.get("edited_rows", {}), names(at).index(name): values}
    at.session_state[key] = {"edited_rows": rows, "added_rows": [], "deleted_rows": []}
    at.run()
    assert not at.exception


def links(at: AppTest) -> dict[str, object]:
    return {link.proto.label: link.proto for link in at.get("page_link")}


def test_every_run_is_a_row_with_its_scores_in_the_order_of_what_they_are_of(open_runs: Open) -> None:
    at = open_runs()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert names(at) == NAMES
    row = at.data_editor[0].value.iloc[0]
    metrics = json.loads((SHIPPED / "dubai-best" / "metrics.json").read_text())
    assert {key: row[key] for key in ("accuracy", "jaccard", "mean_iou")} == {
        key: metrics[key] for key in ("accuracy", "jaccard", "mean_iou")
    }
    low, high = metrics["intervals"]["scores"]["mean_iou"]
    assert row["mean_iou_interval"] == f"{low:.3f} – {high:.3f}"
    assert any("★ The best value" in caption.value for caption in at.caption)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "BEST dubai"}, ["dubai-best"]),
        ({"search": "bright"}, ["dubai-unet"]),
        ({"search": "[.*"}, []),
        ({"tag": "baseline"}, ["dubai-unet", "demo-unet"]),
        ({"protocol": "scene"}, ["dubai-scene"]),
        ({"scored-on": "demo-data"}, ["demo-unet"]),
        ({"sort": "Mean IoU"}, sorted(NAMES, key=lambda name: -score(name))),
        ({"sort": "Name"}, sorted(NAMES)),
        ({"hidden": "true", "sort": "Name"}, ["a-hidden", *sorted(NAMES)]),
    ],
)
def test_a_link_filters_and_sorts(open_runs: Open, tmp_path: Path, query: dict, expected: list[str]) -> None:
    shutil.copytree(SHIPPED / "demo-unet", tmp_path / "a-hidden")
    change_note(tmp_path, "a-hidden", RunNote(), RunNote(hidden=True))
    change_note(tmp_path, "dubai-unet", RunNote(), RunNote("too Bright", ("baseline",)))
    change_note(tmp_path, "demo-unet", RunNote(), RunNote(tags=("baseline", "small")))
    at = open_runs(**query)
    assert not at.exception
    assert (names(at) if at.data_editor else []) == expected
    assert any(f"**{len(expected)}** of 8 runs · 1 hidden" in text.value for text in at.markdown)


def test_what_is_typed_is_kept_and_shown_to_the_next_visitor(open_runs: Open, tmp_path: Path) -> None:
    at = open_runs()
    edit(at, "dubai-tile", note="honest\n<b>figure</b>", tags=["baseline", "tile"])
    assert read_notes(tmp_path) == {"dubai-tile": RunNote("honest <b>figure</b>", ("baseline", "tile"))}
    edit(at, "dubai-best", note="best")
    other = open_runs()
    shown = other.data_editor[0].value.set_index("run")
    assert shown["note"]["dubai-tile"] == "honest <b>figure</b>"
    assert list(shown["tags"]["dubai-tile"]) == ["baseline", "tile"]
    assert shown["note"]["dubai-best"] == "best"


def test_a_run_that_is_hidden_leaves_the_table_and_no_other_gets_its_edits(open_runs: Open, tmp_path: Path) -> None:
    at = open_runs()
    edit(at, "dubai-lite0", hidden=True, note="old")
    assert names(at) == [name for name in NAMES if name != "dubai-lite0"]
    assert set(at.data_editor[0].value["note"]) == {""}
    assert read_notes(tmp_path) == {"dubai-lite0": RunNote("old", hidden=True)}


def test_the_speed_of_the_runs_that_are_ticked_is_measured_and_kept(open_runs: Open, tmp_path: Path) -> None:
    at = open_runs()
    button = next(button for button in at.button if button.label == "Measure the speed")
    assert button.disabled
    edit(at, "demo-unet", ticked=True)
    button = next(button for button in at.button if button.label == "Measure the speed")
    button.click().run(timeout=120)
    assert (list(at.exception), list(at.error)) == ([], [])
    (kept,) = read_speeds(tmp_path).items()
    assert kept[0] == "demo-unet"
    assert kept[1] > 0
    for again in (at, open_runs()):
        shown = again.data_editor[0].value.set_index("run")["seconds"]
        assert shown["demo-unet"] == kept[1]
        assert shown.notna().sum() == 1


def test_what_somebody_else_says_meanwhile_is_not_written_over(open_runs: Open, tmp_path: Path) -> None:
    at = open_runs()
    edit(at, "dubai-best", note="mine")
    change_note(tmp_path, "dubai-best", RunNote("mine"), RunNote("theirs", ("theirs",)))
    edit(at, "dubai-tile", note="another")
    assert read_notes(tmp_path)["dubai-best"] == RunNote("theirs", ("theirs",))


def test_two_runs_that_are_ticked_lead_to_the_gallery_and_up_to_four_to_the_explorer(open_runs: Open) -> None:
    at = open_runs()
    two, side = "Two runs, patch by patch", "Side by side on an image"
    assert links(at)[two].disabled and links(at)[side].disabled
    for name in ("dubai-unet", "dubai-best"):
        edit(at, name, ticked=True)
    assert "view=Two+runs" in links(at)[two].query_string
    assert "run=dubai-unet&" in links(at)[two].query_string  # the first that was ticked
    assert "with=dubai-best" in links(at)[two].query_string
    assert not links(at)[two].disabled and not links(at)[side].disabled
    at.multiselect(key="protocol").set_value(["scene"]).run()  # what was ticked stays so, in sight or not
    edit(at, "dubai-scene", ticked=True)
    assert links(at)[two].disabled and not links(at)[side].disabled
    assert any(
        "To compare: dubai-unet, dubai-best, dubai-scene." in text.value.replace("\\", "") for text in at.caption
    )


def test_the_file_has_what_is_in_sight_and_no_formula(open_runs: Open, tmp_path: Path) -> None:
    change_note(tmp_path, "dubai-tile", RunNote(), RunNote("=1+1", ("b", "a")))
    at = open_runs(protocol="tile: Tile 2")
    (button,) = [button for button in at.get("download_button") if button.proto.label == "Download the table"]
    assert names(at) == ["dubai-tile"]
    assert button.proto.deferred_file_id or button.proto.url


@pytest.mark.parametrize("kind", ["broken", "newer", "pipe", "link"])
def test_where_notes_cannot_be_read_one_sentence_says_so_and_the_table_is_shown(
    open_runs: Open, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / DATABASE
    if kind == "broken":
        file.write_bytes(b"Dear Sir or Madam")
    elif kind == "newer":
        change_note(tmp_path, "dubai-best", RunNote(), RunNote("x"))
        content = bytearray(file.read_bytes())
        content[60:64] = (99).to_bytes(4, "big")  # user_version, by the file format's description
        file.write_bytes(content)
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/etc/passwd")
    at = open_runs()
    assert not at.exception
    assert len(at.error) == 1
    assert names(at) == NAMES
    assert "note" not in at.data_editor[0].value
    edit(at, "dubai-best", ticked=True)  # it can be compared all the same
    assert at.session_state[KEY].runs_ticked == ["dubai-best"]


def test_a_note_that_cannot_be_kept_is_one_sentence(open_runs: Open, tmp_path: Path) -> None:
    at = open_runs()
    (tmp_path / DATABASE).mkdir()
    edit(at, "dubai-best", note="lost?")
    assert {error.value for error in at.error} == {
        f"{DATABASE} is not a file: move it away, so that notes can be kept."
    }
    (tmp_path / DATABASE).rmdir()
    at.run()
    assert not at.error
    assert read_notes(tmp_path) == {"dubai-best": RunNote("lost?")}


@pytest.mark.parametrize("content", [b"", b"{half", b'{"iou": 3}'])
def test_a_run_with_broken_files_is_a_row_without_scores(open_runs: Open, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(SHIPPED / "demo-unet", tmp_path / "hurt")
    for file in ("config.json", "metrics.json", "history.csv", "patches.csv"):
        (tmp_path / "hurt" / file).write_bytes(content)
    at = open_runs()
    assert not at.exception
    row = at.data_editor[0].value.set_index("run").loc["hurt"]
    assert row[["accuracy", "mean_iou", "jaccard", "parameters", "created"]].isna().all()


def test_a_link_to_what_is_not_here_opens(open_runs: Open) -> None:
    at = open_runs(tag="gone", protocol="gone", sort="gone", **{"scored-on": "gone"})
    assert not at.exception
    assert names(at) == NAMES
