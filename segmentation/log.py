"""The dashboard's log: one event per line, as JSON, in a file that rotates; neither pictures nor what files hold."""

import json
import logging
import secrets
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Lock

LOG = Path("log") / "dashboard.log"
"""In the folder of the runs."""

BYTES, FILES = 2_000_000, 5
"""A full file is moved on to ``dashboard.log.1`` and so on; so many are kept beside the one that is written."""

LONGEST = 1_000
"""Characters kept of a detail: names and sentences come from people, and may be of any length."""

LONGEST_TRACEBACK = 8_000

_logger = logging.getLogger("segmentation.dashboard")
_lock = Lock()
_handlers: dict[Path, logging.Handler] = {}
"""The file that is written, by its path: one at most."""


class _JsonLines(logging.Formatter):
    """One JSON object an event. No name can forge a line: JSON writes a line break as two characters."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, int | float | str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage()[:LONGEST],
        }
        for name, value in getattr(record, "details", {}).items():
            line[name] = value if isinstance(value, int | float) else str(value)[:LONGEST]
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-LONGEST_TRACEBACK:]
        return json.dumps(line)


def start_log(runs: Path, *others: str) -> bool:
    """Write the log below a folder of runs from now on; what cannot be written breaks nothing.

    Args:
        runs: The folder.
        others: Names of loggers whose errors belong into this log too.

    Returns:
        Whether the log was not written there already.
    """
    path = runs.absolute() / LOG
    with _lock:
        if path in _handlers:
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler: logging.Handler = RotatingFileHandler(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8")
        except OSError:
            handler = logging.StreamHandler()  # the server's output
        handler.setFormatter(_JsonLines())
        _logger.setLevel(logging.INFO)
        for logger in (_logger, *map(logging.getLogger, others)):
            for before in _handlers.values():
                logger.removeHandler(before)
            logger.addHandler(handler)
        for before in _handlers.values():
            before.close()
        _handlers.clear()
        _handlers[path] = handler
        return True


def event(what: str, **details: object) -> None:
    """Write one line: what happened, and the details of it. Nothing is written before `start_log`."""
    _logger.info(what, extra={"details": details})


def incident(error: BaseException) -> str:
    """Write an error that nobody expected with its traceback; return the reference by which its line is found."""
    reference = secrets.token_hex(4)
    _logger.error("error", exc_info=error, extra={"details": {"reference": reference, "type": type(error).__name__}})
    return reference
