"""Where labelled scenes and runs are on this machine, if the user does not say."""

import os
from pathlib import Path

PROJECT = Path(__file__).parents[2]

VARIABLE = "SEGMENTATION_DATA"
"""Environment variable that names the data set's folder."""

RUNS_VARIABLE = "SEGMENTATION_RUNS"
"""Environment variable that names the folder of the runs."""

DEMO_FOLDER = PROJECT / "demo-data"
"""Where the demo set is made on first start."""


def default_folder() -> Path:
    """Return the folder named by ``SEGMENTATION_DATA``, else ``data/`` beside ``app.py``, else the demo set's."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    beside = PROJECT / "data"
    return beside if beside.is_dir() else DEMO_FOLDER


def runs_folder() -> Path:
    """Return the folder that holds this machine's runs: ``SEGMENTATION_RUNS``, else ``runs/`` beside ``app.py``."""
    return Path(os.environ.get(RUNS_VARIABLE) or PROJECT / "runs").expanduser()
