"""The command that opens the dashboard."""

import os
from pathlib import Path

from segmentation.commands.common import RUNS
from segmentation.data.locate import RUNS_VARIABLE, VARIABLE
from segmentation.errors import DONE, BackendError


def dashboard(
    data: Path | None = None,
    runs: Path = RUNS,
    port: int = 8501,
    address: str = "localhost",
    browser: bool = True,
) -> int:
    """Open the dashboard in the browser. Ctrl-C stops it.

    Args:
        data: Folder of the data set; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        port: Where it listens.
        address: Who is answered: this machine only, or 0.0.0.0 for everybody who can reach it.
        browser: Open the browser.
    """
    try:
        from segmentation.ui.server import serve
    except ImportError as error:
        raise BackendError(
            'The dashboard needs packages that are not installed: pip install "aerial-segmentation[dashboard]"'
        ) from error
    os.environ[RUNS_VARIABLE] = str(runs.absolute())
    if data:
        os.environ[VARIABLE] = str(data.absolute())
    serve(port, address, browser)
    return DONE
