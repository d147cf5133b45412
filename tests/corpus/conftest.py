"""The ways in for a hostile file or run: pages and the command line, each watched for what it leaves behind."""

import base64
import io
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
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.__main__ import main
from segmentation.data.locate import PROJECT
from segmentation.ui.session import KEY
from tests.corpus.trap import Trap, set_trap, write_files
from tests.memory import memory, reset_peak

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
    from segmentation.inference.model_file import sha256_of
    from segmentation.inference.predictor import kept_predictor

    kept_predictor(trained.run.model, sha256_of(trained.run.model), False).scene(np.zeros((64, 64, 3), np.uint8))
    return trained


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """A context in which memory grows little, nothing hangs, and no temporary file is left but those that it names."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError

    @contextmanager
    def watch(left: str = "") -> Iterator[None]:
        before, here = signal.signal(signal.SIGALRM, give_up), set(scratch.iterdir())
        signal.alarm(PATIENCE)
        start = reset_peak()
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        assert memory("VmHWM") - start < GROWTH
        assert [path for path in set(scratch.iterdir()) - here if not (left and path.match(left))] == []

    return watch


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
        explorer.session_state[KEY].pictures.clear()
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


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder beside the data set and the runs that pages may read."""
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="module")
def orthophotos(loaded: object, allowed: Path) -> Iterator[AppTest]:
    """The explorer's view of orthophotos, with the map drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMENTATION_DATA", str(loaded.dataset.root))
        patch.setenv("SEGMENTATION_RUNS", str(loaded.run.folder.parent))
        patch.setenv("SEGMENTATION_ALLOWED", str(allowed))
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=PATIENCE)
        at.switch_page(str(PROJECT / "pages" / "3_Prediction_explorer.py"))
        at.query_params["source"] = "Orthophoto"
        at.query_params["map"] = "true"
        yield at.run()


class Seen(NamedTuple):
    """What the page shows of an orthophoto.

    Args:
        shown: Its words.
        pictures: The viewer's, in its order: the orthophoto, and if it was predicted its prediction, its confidence
            and the classes.
        sent: All that the browser gets.
    """

    shown: Shown
    pictures: list[np.ndarray]
    sent: bytes


@pytest.fixture
def view(orthophotos: AppTest, allowed: Path, watched: Callable, tmp_path: Path) -> Callable[..., Seen]:
    """A function that shows a GeoTIFF that is uploaded, or one by its path, and predicts it if asked to."""

    def press(button: str) -> None:
        if not orthophotos.exception and button in {button.key for button in orthophotos.button}:
            with watched():
                orthophotos.button(key=button).click().run()

    def view_(image: bytes, beside: Mapping[str, bytes | None] | None = None, predicted: bool = False) -> Seen:
        uploaded = beside is None
        path = allowed / tmp_path.name / "a.tif"
        if not uploaded:
            write_files(path.parent, {path.name: image, **beside})
        orthophotos.file_uploader(key="upload-orthophoto").set_value(
            ("a.tif", image, "image/tiff") if uploaded else None
        )
        orthophotos.text_input(key="orthophoto").set_value("" if uploaded else str(path))
        # The folder of a session's uploads stays as long as the session.
        with watched(left="orthophoto-*"):
            orthophotos.run()
        if predicted:
            press("predict-orthophoto")
            press("make-polygons")
        sent = b"".join(element.proto.SerializeToString() for element in orthophotos.main if element.proto)
        viewers = [element.proto.SerializeToString() for element in orthophotos.get("bidi_component")]
        return Seen(what_is_shown(orthophotos), [picture for viewer in viewers for picture in pictures(viewer)], sent)

    return view_


def pictures(sent: bytes) -> list[np.ndarray]:
    """The pixels of every picture that is in what a browser gets."""
    encoded = re.findall(rb"data:image/\w+;base64,([A-Za-z0-9+/=]+)", sent)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))) for picture in encoded]


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """Secrets of this server."""
    with set_trap(tmp_path / "private") as trap:
        yield trap


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
    """A function that writes images and masks into folders, and runs ``predict`` on them; None is a pipe."""

    def predict_(images: Mapping[str, bytes | None], masks: Mapping[str, bytes] | None = None, *options: str) -> Done:
        output = tmp_path / "out"
        command = ["predict", tmp_path / "images", "--run", "tiny", "--runs", loaded.run.folder.parent]
        command += ["--output", output, *options]
        write_files(tmp_path / "images", images)
        if masks:
            command += ["--masks", tmp_path / "masks"]
            write_files(tmp_path / "masks", masks)
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
