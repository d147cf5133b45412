"""The run folder: everything about one training run; found, read and written here (no TensorFlow)."""

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from segmentation.data.locate import check_allowed
from segmentation.data.palette import Palette
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import PROTOCOLS
from segmentation.data.stretch import Stretch
from segmentation.errors import RunError
from segmentation.files import replacing, write_json
from segmentation.runs.history import History, read_history
from segmentation.runs.records import (
    CONFIG_PARTS,
    FURTHER,
    LARGEST_JSON,
    NAMES,
    PARTS,
    PATCH_COLUMNS,
    PLACES,
    SHARES,
    are_scores,
    can_be_shown,
    is_number,
    palette_of,
    read_patch_table,
)

CONFIG = "config.json"

HISTORY = "history.csv"

BEST = "best.keras"

METRICS = "metrics.json"

PATCHES = "patches.csv"

STATUS = "status.json"

LATEST = "latest"

SELECTION = "selection.csv"
"""The patches that the run was trained on, where they were chosen by name."""


State = Literal["running", "finished", "stopped", "failed", "stalled"]

SHIPPED = Path(__file__).parents[1] / "pretrained"
"""The runs that come with the project, read only."""

STATUS_NUMBERS = {"heartbeat", "progress", "epoch", "epochs", "seconds_an_epoch", "seconds_left"}

RESERVED = {"log", "reviews"}
"""What else is kept in a folder of runs."""


def check_run_name(name: str) -> None:
    """Refuse a run's name that is no plain folder's name.

    Raises:
        RunError: If it is empty, begins with a dot, is too long, is taken for something else, or holds a character
            that leads elsewhere.
    """
    if not name.strip():
        raise RunError("A run needs a name: use letters, digits, hyphens and underscores.")
    if name.lower() in RESERVED:
        raise RunError(f"The folder {name} is not for a run: choose another name.")
    if not re.fullmatch(r"\w[\w .+-]{0,99}", name):
        raise RunError(f"{name!r} cannot be a run's name: use up to 100 letters, digits, hyphens and underscores.")


def confusion_column(true: str, predicted: str) -> str:
    """Return the name of the column of patches.csv that counts pixels of one class predicted as another."""
    return f"{true} as {predicted}"


SILENT_SECONDS = 120
"""A running training that has not written its status for so long has stalled."""

GONE_SECONDS = 15
"""After so long a silence, its process is looked for on this machine."""


@dataclass(frozen=True)
class Run:
    """One run folder. Whatever file is missing or broken reads as None, and is named in `problems`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def config(self) -> dict | None:
        """Hyper-parameters (``configuration``), ``palette``, ``dataset``, ``architecture``, ``versions``."""
        config = self._json(CONFIG)
        if config is None or not all(isinstance(config.get(part), dict) for part in CONFIG_PARTS):
            return None
        size, protocol = (config["configuration"].get(key) for key in ("patch_size", "protocol"))
        sound = isinstance(config.get("versions", {}), dict)
        sound &= (size is None or is_number(size, 1, 2**14)) and (protocol is None or protocol in PROTOCOLS)
        return config if sound and palette_of(config) else None

    @cached_property
    def metrics(self) -> dict | None:
        """Scores on the held-out part."""
        metrics = self._json(METRICS)
        return metrics if metrics is not None and are_scores(metrics, self.palette) else None

    @cached_property
    def history(self) -> History | None:
        """The training's log."""
        try:
            return read_history(self.folder / HISTORY) if (self.folder / HISTORY).is_file() else None
        except RunError:
            return None

    @cached_property
    def patches(self) -> pd.DataFrame | None:
        """One row per patch with its part, scores and statistics."""
        names = self.palette.names if self.palette else ()
        by_class = {f"iou_{name}" for name in names}
        cells = {confusion_column(true, predicted) for true in names for predicted in names}
        table = read_patch_table(self.folder / PATCHES, PATCH_COLUMNS | set(FURTHER) | by_class | cells)
        if table is None or not set(table.columns) >= PATCH_COLUMNS | by_class:
            return None
        most = dict.fromkeys(SHARES | by_class, 1) | dict.fromkeys(PLACES, 2**20) | {"classes": len(names) or 255}
        most |= {name: bound for name, bound in FURTHER.items() if name in table}
        try:
            numbers = table[list(most)].astype(float)
        except ValueError:
            return None
        sound = (
            (numbers.isna() | numbers.ge(0) & numbers.le(list(most.values()))),
            numbers[sorted(PLACES)] % 1 == 0,
            numbers[["classes"]].notna(),
            table[sorted(NAMES)].map(lambda name: isinstance(name, str)),
            table[["patch"]].map(lambda name: "/" in str(name)),
            ~table[["patch"]].duplicated().to_frame(),
            table[["part"]].isin(PARTS),
        )
        return table if all(cells.all(axis=None) for cells in sound) else None

    @cached_property
    def palette(self) -> Palette | None:
        """The classes that the run's model predicts."""
        return palette_of(self.config) if self.config else None

    @cached_property
    def confusion_matrices(self) -> np.ndarray | None:
        """Return each patch's confusion matrix (patches, classes, classes) int64, in `patches`' order.

        None if the run was evaluated before these were kept.
        """
        names = self.palette.names if self.palette else ()
        columns = [confusion_column(true, predicted) for true in names for predicted in names]
        if not columns or self.patches is None or not set(columns) <= set(self.patches.columns):
            return None
        cells = self.patches[columns]
        sound = (cells.dtypes == np.int64).all() and (cells >= 0).all(axis=None)
        return cells.to_numpy().reshape(-1, len(names), len(names)) if sound else None

    @property
    def patch_size(self) -> int:
        """Side of the patches that the run was trained on, in pixels; the article's if the run does not say."""
        return self.config["configuration"].get("patch_size", PATCH_SIZE) if self.config else PATCH_SIZE

    @property
    def protocol(self) -> str:
        """The protocol that the run was trained with; ``scene``, which leaves void out, if the run does not say."""
        return self.config["configuration"].get("protocol", "scene") if self.config else "scene"

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the data set that the run was trained on."""
        return self.config["dataset"].get("fingerprint") if self.config else None

    @property
    def left_out(self) -> str:
        """How many of the data set's scenes the training had to leave out, in words; nothing if it left out none."""
        dataset = self.config["dataset"] if self.config else {}
        skipped, scenes = dataset.get("skipped"), dataset.get("scenes")
        if not isinstance(skipped, list) or not skipped or not is_number(scenes, len(skipped)):
            return ""
        return f"trained without {len(skipped):,} of {scenes:,} scenes"

    @property
    def stretch(self) -> Stretch | None:
        """How images of more than 8 bits were shown to the network in training; None if there were none."""
        return Stretch.from_dict(self.config["dataset"].get("stretch")) if self.config else None

    @property
    def architecture(self) -> dict | None:
        """The network as `segmentation.model.diagram.describe` returns it, if the run says it."""
        network = (self.config or {}).get("architecture")
        try:
            shapes = [side for block in network["blocks"] for side in block["shape"]]
            places = [place for skip in network["skips"] for place in skip]
            sound = (
                len(shapes) == 3 * len(network["blocks"]) > 0
                and len(places) == 2 * len(network["skips"])
                and all(is_number(side, 1) for side in shapes)
                and all(place in range(len(network["blocks"])) for place in places)
                and all(is_number(count) for block in network["blocks"] for count in block["layers"].values())
                and is_number(network["parameters"], most=1e12)
            )
            return network if sound and isinstance(network["name"], str) else None
        except (TypeError, KeyError, AttributeError):
            return None

    @property
    def model(self) -> Path | None:
        """Path of the best epoch's model, if there is one."""
        return self.folder / BEST if (self.folder / BEST).is_file() else None

    @property
    def status(self) -> dict:
        """What status.json says, with the state put right if the process behind it is silent or gone."""
        status = self._json(STATUS) or {}
        if status.get("state") not in get_args(State):
            return {"state": "stopped", "reason": f"{STATUS} {self._fault(STATUS)}"}
        status = {key: value for key, value in status.items() if key not in STATUS_NUMBERS or is_number(value)}
        if status["state"] != "running":
            return status
        # A heartbeat from the future is as old as it is early: the clock was set back, or is another machine's.
        silence = abs(time.time() - status.get("heartbeat", 0))
        if silence > SILENT_SECONDS:
            return {**status, "state": "stalled", "reason": "no sign of life for more than two minutes"}
        if silence > GONE_SECONDS and not is_alive(status.get("pid")):
            return {**status, "state": "stopped", "reason": "its process is gone"}
        return status

    @property
    def problems(self) -> list[str]:
        """One phrase for every file that is missing or cannot be read."""
        contents = {
            CONFIG: self.config,
            HISTORY: self.history,
            BEST: self.model,
            METRICS: self.metrics,
            PATCHES: self.patches,
        }
        return [f"{name} {self._fault(name)}" for name, content in contents.items() if content is None]

    def _fault(self, name: str) -> str:
        return "cannot be read" if (self.folder / name).exists() else "is missing"

    def _json(self, name: str) -> dict | None:
        path = self.folder / name
        try:
            if not path.is_file() or path.stat().st_size > LARGEST_JSON:  # a pipe would be waited for
                return None
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) and can_be_shown(content) else None


def is_alive(pid: object) -> bool:
    """Tell whether this machine has a process with this id."""
    if not isinstance(pid, int) or pid <= 1:  # those below are groups of processes, and True is 1
        return False
    if sys.platform == "win32":  # where a signal of any number ends the process: only its silence tells
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's process
    return True


def find_runs(*folders: Path) -> list[Run]:
    """Return every run in the given folders, in their order and by name: any folder with a config or a history."""
    runs = []
    for folder in folders:
        if folder.is_dir():
            children = sorted(child for child in folder.iterdir() if child.is_dir())
            runs += [Run(child) for child in children if (child / CONFIG).exists() or (child / HISTORY).exists()]
    return runs


def check_run_allowed(run: Run, folders: Sequence[Path]) -> None:
    """Refuse a run that is a link out of `folders`, or holds one.

    Raises:
        NotAllowedError: If so.
        RunError: If its folder cannot be read.
    """
    check_allowed(run.folder, folders)
    try:
        with os.scandir(run.folder) as entries:
            links = [Path(entry.path) for entry in entries if entry.is_symlink()]
    except OSError as error:
        raise RunError(f"The folder of {run.name} cannot be read: {error.strerror}.") from error
    for link in links:
        check_allowed(link, folders)


def read_selection(path: Path) -> list[str]:
    """Return the names of patches in a CSV file with a column ``patch``, such as the gallery's rankings.

    Raises:
        RunError: If the file cannot be read as that, or names none.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError
        names = pd.read_csv(path, dtype=str, usecols=["patch"])["patch"].dropna().tolist()
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path.name} is no list of patches: it needs a column named patch.") from error
    if not names:
        raise RunError(f"{path.name} names no patch.")
    return names


def write_status(run: Path, state: State, **details: object) -> None:
    """Write status.json with the state, the time and this process's id, and whatever else is known."""
    write_json(run / STATUS, {"state": state, "pid": os.getpid(), "heartbeat": time.time(), **details})


def write_scores(run: Path, metrics: dict, patches: pd.DataFrame) -> None:
    """Write metrics.json and patches.csv, each atomically."""
    write_json(run / METRICS, metrics)
    with replacing(run / PATCHES) as temporary:
        patches.to_csv(temporary, index=False)
