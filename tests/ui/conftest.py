"""Pages driven through Streamlit's own test harness."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset


@pytest.fixture(autouse=True)
def nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a page met an error that is no user's: on the page it is but a sentence."""
    yield
    unexpected = [record for record in caplog.get_records("call") if record.name.startswith("segmentation")]
    assert not [record.exc_text or record for record in unexpected if record.levelno >= logging.ERROR]


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let pages read the tests' own folders."""
    monkeypatch.setenv("SEGMENTATION_ALLOWED", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def pages() -> Mapping[str, str]:
    """The pages' files by a short name."""
    return {
        "home": "app.py",
        "browser": "pages/1_Dataset_browser.py",
        "monitor": "pages/2_Training_monitor.py",
        "explorer": "pages/3_Prediction_explorer.py",
        "gallery": "pages/4_Worst-case_gallery.py",
    }


@pytest.fixture
def open_on(pages: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """A function that opens a page on a data set and a folder of runs, with query parameters."""

    def open_(dataset: Dataset, runs: Path, page: str = "home", **query: str) -> AppTest:
        monkeypatch.setenv("SEGMENTATION_DATA", str(dataset.root))
        monkeypatch.setenv("SEGMENTATION_RUNS", str(runs))
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120)
        if page != "home":
            at = at.switch_page(str(PROJECT / pages[page]))
        for key, value in query.items():
            at.query_params[key] = value
        return at.run()

    return open_


@pytest.fixture
def open_page(open_on: Callable[..., AppTest], trained: object) -> Callable[..., AppTest]:
    """A function that opens a page on the small data set and its run, with query parameters."""
    return partial(open_on, trained.dataset, trained.run.folder.parent)
