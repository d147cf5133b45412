"""The log holds one event per line, whatever names look like, and never stands in the way."""

import json
import logging
from pathlib import Path

import pytest

from segmentation.log import BYTES, FILES, LOG, LONGEST_TRACEBACK, event, incident, start_log


def lines(runs: Path) -> list[dict]:
    return [json.loads(line) for line in (runs / LOG).read_text(encoding="utf-8").splitlines()]


def test_an_event_is_a_line_of_json(tmp_path: Path) -> None:
    assert start_log(tmp_path)
    assert not start_log(tmp_path)
    event("prediction made", run="tiny", pixels=100, seconds=0.5)
    (line,) = lines(tmp_path)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "prediction made", "run": "tiny", "pixels": 100, "seconds": 0.5}


@pytest.mark.parametrize("name", ['a\n{"event": "forged"}', "a\r\nb", "a\u2028b\x85c", "\x1b[31m", "\udcff", '"}\\'])
def test_no_name_forges_a_line(tmp_path: Path, name: str) -> None:
    start_log(tmp_path)
    event("refused", sentence=name)
    (line,) = lines(tmp_path)
    assert line["sentence"] == name
    assert (tmp_path / LOG).read_bytes().isascii()


def test_an_error_is_found_by_its_reference(tmp_path: Path) -> None:
    start_log(tmp_path)
    try:
        raise ValueError("secret " * 10_000)
    except ValueError as error:
        reference = incident(error)
    (line,) = lines(tmp_path)
    assert len(reference) == 8
    assert int(reference, 16) >= 0
    assert (line["level"], line["reference"], line["type"]) == ("error", reference, "ValueError")
    assert len(line["traceback"]) <= LONGEST_TRACEBACK


def test_what_another_logger_calls_an_error_is_in_it_too(tmp_path: Path) -> None:
    start_log(tmp_path, "another.logger")
    logging.getLogger("another.logger").error("it failed", exc_info=OSError("why"))
    (line,) = lines(tmp_path)
    assert line["event"] == "it failed"
    assert "OSError: why" in line["traceback"]


def test_the_file_rotates(tmp_path: Path) -> None:
    start_log(tmp_path)
    for _ in range(BYTES // 1000 * (FILES + 2)):
        event("filling", text="x" * 1000)
    files = sorted((tmp_path / "log").iterdir())
    assert len(files) == FILES + 1
    assert all(file.stat().st_size <= BYTES for file in files)


def test_a_log_that_cannot_be_written_breaks_nothing(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    start_log(tmp_path)
    event("still here", name="a\nb")
    reference = incident(ValueError("why"))
    said = capfd.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in said] == ["still here", "error"]
    assert json.loads(said[1])["reference"] == reference
