"""The ways in for a hostile file or run: the pages and the command line, each watched for what it leaves behind."""

import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.__main__ import main
from segmentation.data.locate import PROJECT

GROWTH = 400
"""Megabytes that no file may make the process grow by, not even for a moment."""

PATIENCE = 60
"""Seconds after which a file counts as one that hangs."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases there were."""
    outcomes = {
        outcome: sum("corpus" in report.keywords for report in terminalreporter.getreports(outcome))
        for outcome in ("passed", "failed")
    }
    if sum(outcomes.values()):
        terminalreporter.section("corpus")
        terminalreporter.line(
            f"{sum(outcomes.values())} cases: {outcomes['passed']} passed, {outcomes['failed']} failed"
        )


@pytest.fixture(scope="session")
def loaded(trained: object) -> object:
    """The trained run, once TensorFlow has taken what memory it takes."""
    from segmentation.inference.folder import _predictor

    _predictor(trained.run.model, False).scene(np.zeros((64, 64, 3), np.uint8))
    return trained


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """A context in which memory grows little, nothing hangs, and no temporary file is left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError

    @contextmanager
    def watch() -> Iterator[None]:
        before = signal.signal(signal.SIGALRM, give_up)
        signal.alarm(PATIENCE)
        start = reset_peak()
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        assert memory("VmHWM") - start < GROWTH
        assert list(scratch.iterdir()) == []

    return watch


def reset_peak() -> float:
    """Let the kernel forget the process's peak of memory, and return what it takes now, in megabytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return float("inf")  # not on Linux: no figure, no bound
    return memory("VmRSS")


def memory(kind: str) -> float:
    status = Path("/proc/self/status")
    return int(re.search(rf"{kind}:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else 0.0


@pytest.fixture(scope="module")
def explorer(loaded: object) -> Iterator[AppTest]:
    """The prediction explorer, ready for uploads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMENTATION_DATA", str(loaded.dataset.root))
        patch.setenv("SEGMENTATION_RUNS", str(loaded.run.folder.parent))
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=PATIENCE)
        at.switch_page(str(PROJECT / "pages" / "3_Prediction_explorer.py"))
        at.query_params["source"] = "Upload"
        yield at.run()


class Shown(NamedTuple):
    """What the page shows of an upload: its exceptions, its errors and warnings, and its words, as they are read."""

    exceptions: list
    errors: list[str]
    warnings: list[str]
    words: str


@pytest.fixture
def upload(explorer: AppTest, watched: Callable) -> Callable[..., Shown]:
    """A function that uploads an image, or an image and a mask, each as (name, bytes)."""

    def upload_(image: tuple[str, bytes], mask: tuple[str, bytes] | None = None, nearest: bool = False) -> Shown:
        explorer.session_state["explorer_uploads"] = {}
        explorer.session_state["nearest"] = nearest
        for role, file in (("image", image), ("mask", mask)):
            explorer.file_uploader(key=f"upload-{role}").set_value(file and (*file, "image/png"))
        with watched():
            at = explorer.run()
        return what_is_shown(at)

    return upload_


def what_is_shown(at: AppTest) -> Shown:
    kinds = (at.caption, at.markdown, at.info, at.warning, at.error)
    return Shown(
        list(at.exception),
        [read(element.value) for element in at.error],
        [read(element.value) for element in at.warning],
        "\n".join(read(element.value) for kind in kinds for element in kind),
    )


def read(markdown: str) -> str:
    """What a reader sees of Markdown without its escapes."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


class Done(NamedTuple):
    """What the command leaves: its exit code, what it printed, the rows of its table, and the files beside that."""

    code: int
    out: str
    err: list[str]
    table: pd.DataFrame
    files: set[str]


@pytest.fixture
def predict(
    loaded: object,
    watched: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> Callable[..., Done]:
    """A function that writes images and masks into folders, and runs the command ``predict`` on them."""

    def predict_(images: Mapping[str, bytes], masks: Mapping[str, bytes] | None = None, *options: str) -> Done:
        output = tmp_path / "out"
        command = ["predict", tmp_path / "images", "--run", "tiny", "--runs", loaded.run.folder.parent]
        command += ["--output", output, *options]
        if masks:
            command += ["--masks", tmp_path / "masks"]
        for folder, files in (("images", images), ("masks", masks or {})):
            for name, content in files.items():
                (tmp_path / folder).mkdir(exist_ok=True)
                (tmp_path / folder / name).write_bytes(content)
        monkeypatch.setattr(sys, "argv", ["segmentation", *map(str, command)])
        on_kill = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        with warnings.catch_warnings(record=True) as caught, watched():
            warnings.simplefilter("always")
            code = main()
        signal.signal(signal.SIGTERM, on_kill)
        captured = capfd.readouterr()
        table = pd.read_csv(output / "results.csv", encoding_errors="surrogateescape", keep_default_na=False)
        return Done(
            code,
            captured.out,
            # What a user would see of a warning stands on standard error.
            [*captured.err.splitlines(), *(str(warning.message) for warning in caught)],
            table,
            {path.name for path in output.iterdir()} - {"results.csv"},
        )

    return predict_


PAGES = {
    "home": "app.py",
    "monitor": "pages/2_Training_monitor.py",
    "explorer": "pages/3_Prediction_explorer.py",
    "gallery": "pages/4_Worst-case_gallery.py",
}


@pytest.fixture
def hostile(loaded: object, tmp_path: Path) -> Path:
    """The folder of a run that is to be made hostile, beside the whole run it is a copy of."""
    shutil.copytree(loaded.run.folder, tmp_path / "runs" / "tiny")
    return shutil.copytree(loaded.run.folder, tmp_path / "runs" / "hostile")


@pytest.fixture
def look(
    loaded: object, hostile: Path, watched: Callable, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Shown, list[str]]]:
    """A function that opens a page on the hostile run, and returns what it shows and the runs that can be chosen."""

    def look_(page: str, **query: str) -> tuple[Shown, list[str]]:
        monkeypatch.setenv("SEGMENTATION_DATA", str(loaded.dataset.root))
        monkeypatch.setenv("SEGMENTATION_RUNS", str(hostile.parent))
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=PATIENCE)
        if page != "home":
            at.switch_page(str(PROJECT / PAGES[page]))
        for key, value in ({"run": "hostile"} | query).items():
            at.query_params[key] = value
        with watched():
            at.run()
        return what_is_shown(at), at.selectbox(key="run").options

    return look_


@pytest.fixture
def command(
    loaded: object, hostile: Path, watched: Callable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> Callable[..., tuple[int, list[str]]]:
    """A function that runs a command on the hostile run, and returns its exit code and its lines on standard error."""

    def command_(*words: object) -> tuple[int, list[str]]:
        arguments = [*words, "--run", "hostile", "--runs", hostile.parent]
        monkeypatch.setattr(sys, "argv", ["segmentation", *map(str, arguments)])
        monkeypatch.setenv("SEGMENTATION_DATA", str(loaded.dataset.root))
        on_kill = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        with watched():
            code = main()
        signal.signal(signal.SIGTERM, on_kill)
        return code, capfd.readouterr().err.splitlines()

    return command_
