"""Writes that a reader can never meet half done."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the place of `path` in one step.

    The temporary name keeps the suffix, since Keras and Pillow choose the format by it. If the block raises, the
    temporary file is removed and whatever stood at `path` is left as it was.

    Args:
        path: The file to write. Its folder is made if it is missing.

    Yields:
        The path to write to, in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 (anything JSON can hold)
    """Write `content` as indented JSON to `path`, atomically.

    NaN has no place in JSON: scores that do not exist are to be given as ``None``.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
