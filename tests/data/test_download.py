"""The download refuses clearly, and never touches what is there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segmentation.data.download import PAGE, download
from segmentation.errors import DownloadError


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every request to a port of this machine where nobody listens."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("offline")
def test_offline_says_why_and_how_to_do_it_by_hand(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as raised:
        download(tmp_path / "data")
    assert "no connection" in str(raised.value)
    assert PAGE in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DownloadError, match="holds something else"):
        download(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("offline")
def test_a_data_set_that_is_there_is_not_fetched_again(write_dataset: Callable[[Path], Path], tmp_path: Path) -> None:
    assert len(download(write_dataset(tmp_path / "data")).scenes) == 4
