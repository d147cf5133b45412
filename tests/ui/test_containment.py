"""Pages read what whoever started the dashboard allowed, and nothing else; what fails is in the log."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import find_dataset
from segmentation.log import LOG
from segmentation.ui.shell.access import is_private

Open = Callable[..., AppTest]

REFUSED = "does not lie in a folder that pages may read"


@pytest.fixture
def outside(write_dataset: Callable[[Path], Path], trained: object, tmp_path: Path) -> Path:
    """A folder that no page may read, with a data set, a run and a log in it."""
    write_dataset(tmp_path / "outside" / "city")
    shutil.copytree(trained.run.folder, tmp_path / "outside" / "run")
    return tmp_path / "outside"


@pytest.fixture
def inside(write_dataset: Callable[[Path], Path], trained: object, tmp_path: Path) -> Path:
    """The only folder that is allowed, with a data set and a folder of runs in it."""
    write_dataset(tmp_path / "inside" / "city")
    shutil.copytree(trained.run.folder, tmp_path / "inside" / "runs" / "mine")
    return tmp_path / "inside"


@pytest.fixture
def open_inside(open_on: Open, inside: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A function that opens a page where only `inside` may be read."""
    monkeypatch.setenv("SEGMENTATION_ALLOWED", str(inside))
    dataset = find_dataset(inside / "city")
    return lambda page="home", **query: open_on(dataset, inside / "runs", page, **query)


def events(runs: Path) -> list[dict]:
    return [json.loads(line) for line in (runs / LOG).read_text(encoding="utf-8").splitlines()]


def paths_out(inside: Path, outside: Path, name: str) -> list[str]:
    """Ways to write a path out of the folder that is allowed."""
    link = inside / "link"
    link.symlink_to(outside, target_is_directory=True)
    return [
        str(outside / name),
        f"{inside}/../outside/{name}",
        str(link / name),
        f"{link}/../outside/{name}",
        "/etc",
        "~nobody-at-all",
        f"{inside}\0",
    ]


def test_a_data_set_outside_is_refused_however_its_path_is_written(
    open_inside: Open, inside: Path, outside: Path
) -> None:
    at = open_inside()
    for path in paths_out(inside, outside, "city"):
        at.text_input[0].input(path)
        at.button[0].click().run()
        assert len(at.error) == 1
        assert REFUSED in at.error[0].value
        assert at.selectbox(key="data").options == ["city", "Demo city"]
    assert {"NotAllowedError"} == {line["kind"] for line in events(inside / "runs") if line["event"] == "refused"}


def test_a_log_or_a_run_outside_is_refused_however_its_path_is_written(
    open_inside: Open, inside: Path, outside: Path
) -> None:
    at = open_inside("monitor")
    for path in [*paths_out(inside, outside, "run"), str(outside / "run" / "history.csv"), "/etc/passwd"]:
        at.text_input(key="log-path").input(path).run()
        assert len(at.error) == 1
        assert REFUSED in at.error[0].value
    (inside / "runs" / "mine" / "history.csv").unlink()
    (inside / "runs" / "mine" / "history.csv").symlink_to(outside / "run" / "history.csv")
    at.text_input(key="log-path").input(str(inside / "runs")).run()
    assert REFUSED in at.error[-1].value


@pytest.mark.parametrize("page", ["home", "browser", "monitor", "explorer", "gallery"])
def test_a_run_that_is_a_link_out_is_not_there_on_any_page(
    open_inside: Open, inside: Path, outside: Path, page: str
) -> None:
    (inside / "runs" / "theirs").symlink_to(outside / "run")
    at = open_inside(page, run="theirs")
    assert not at.exception
    if page == "browser":  # shows no run
        return
    assert [REFUSED in error.value for error in at.error] == [True]
    assert "theirs" not in at.selectbox(key="run").options
    assert any("There is no run theirs here" in warning.value for warning in at.warning)


@pytest.mark.parametrize("page", ["home", "browser", "monitor", "explorer", "gallery"])
def test_a_data_set_with_a_link_out_is_refused_on_every_page(
    open_inside: Open, inside: Path, outside: Path, page: str
) -> None:
    image = inside / "city" / "Tile 1" / "images" / "image_part_001.jpg"
    image.unlink()
    image.symlink_to(outside / "city" / "Tile 1" / "images" / "image_part_001.jpg")
    at = open_inside(page)
    assert not at.exception
    assert [REFUSED in warning.value for warning in at.warning] == [True]
    assert not at.get("imgs")


@pytest.mark.parametrize("name", ["../../outside/city", "/etc", "city/../../outside", "<b>x</b>"])
@pytest.mark.parametrize(
    ("page", "key", "kind"),
    [
        ("home", "data", "data set"),
        ("home", "run", "run"),
        ("monitor", "with", "run"),
        ("browser", "scene", "scene"),
        ("explorer", "scene", "scene"),
    ],
)
def test_a_path_in_the_address_is_no_name(open_inside: Open, page: str, key: str, kind: str, name: str) -> None:
    view = {"view": "One scene"} if page == "browser" else {}
    at = open_inside(page, **{key: name}, **view)
    assert not at.exception
    assert not at.error
    said = [re.sub(r"\\(.)", r"\1", warning.value) for warning in at.warning]
    assert said == [f"There is no {kind} {name} here: choose another one."]


def test_a_link_to_what_is_here_is_not_complained_of(open_inside: Open) -> None:
    at = open_inside("explorer", data="city", run="mine", scene="tile-1/image_part_002")
    assert not at.warning
    assert at.selectbox(key="scene").value == "tile-1/image_part_002"


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "-x", "<b>x</b>", "a;b", "$(x)", "log"])
def test_no_training_is_started_under_a_name_that_leads_elsewhere(open_inside: Open, inside: Path, name: str) -> None:
    at = open_inside("monitor")
    at.text_input(key="train-name").input(name)
    next(button for button in at.button if button.label == "Start the training").click().run()
    assert len(at.error) == 1
    assert {path.name for path in (inside / "runs").iterdir()} == {"mine", "log"}


@pytest.mark.parametrize(
    ("address", "headers", "private"),
    [
        ("localhost", {"Origin": "http://localhost:8501"}, True),
        ("127.0.0.1", {"Origin": "http://127.0.0.1:8501"}, True),
        ("::1", {"Origin": "http://[::1]:8501"}, True),
        ("192.0.2.7", {"Origin": "http://localhost:8501"}, False),
        (None, {"Origin": "http://localhost:8501"}, False),
        ("localhost", {"Origin": "https://lab.example"}, False),
        ("localhost", {"Origin": "http://localhost.example"}, False),
        ("localhost", {"Origin": "http://localhost:8501", "X-Forwarded-For": "192.0.2.1"}, False),
        ("localhost", {}, False),
    ],
)
def test_home_is_for_whoever_sits_at_the_machine(address: str | None, headers: dict[str, str], private: bool) -> None:
    assert is_private(address, headers) is private


def test_the_log_tells_what_was_opened_and_predicted(open_inside: Open, inside: Path) -> None:
    at = open_inside("explorer")
    at.run()
    by_event = {line.pop("event"): line for line in events(inside / "runs")}
    assert list(by_event) == ["server start", "data set opened", "model loaded", "prediction made"]
    assert by_event["data set opened"]["scenes"] == 4
    assert by_event["prediction made"]["pixels"] == 65 * 97
    assert by_event["prediction made"]["run"] == "mine"


def test_a_refused_upload_is_logged_once(open_inside: Open, inside: Path) -> None:
    at = open_inside("explorer", source="Upload")
    at.file_uploader(key="upload-image").upload("a\nb.png", b"no image", "image/png").run()
    at.run()
    refused = [line for line in events(inside / "runs") if line["event"] == "refused"]
    assert [(line["kind"], line["sentence"][:7]) for line in refused] == [
        ("ImageFileError", "a\N{REPLACEMENT CHARACTER}b.png")
    ]


@pytest.mark.parametrize("page", ["home", "browser", "monitor", "explorer", "gallery"])
def test_what_nobody_expected_is_a_sentence_with_a_reference_to_the_log(
    open_inside: Open,
    inside: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    page: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("why\nforged")

    # In the monitor's fragment, else on the page.
    monkeypatch.setattr(st, "markdown" if page == "monitor" else "container", fail)
    at = open_inside(page)
    assert not at.exception
    shown = at.error[0].value
    reference = re.search(r"Something went wrong \(reference ([0-9a-f]{8})\)", shown)[1]
    assert "runs/log/dashboard.log" in shown
    assert "forged" not in shown
    (line,) = (line for line in events(inside / "runs") if line.get("reference") == reference)
    assert line["type"] == "ZeroDivisionError"
    assert "segmentation/ui/" in line["traceback"]
    caplog.clear()  # it was expected here


def test_a_log_that_cannot_be_written_breaks_no_page(open_inside: Open, inside: Path) -> None:
    (inside / "runs" / "log").write_text("a file where the folder should be")
    at = open_inside()
    assert not at.exception
    assert not at.error
