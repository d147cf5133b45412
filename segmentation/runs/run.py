"""The run folder: everything about one training run; found, read and written here (no TensorFlow)."""

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np
import pandas as pd

from segmentation.data.class_mapping import ClassMapping, in_classes_of, match_classes
from segmentation.data.locate import check_allowed
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import Protocol
from segmentation.data.scenes import Dataset
from segmentation.data.stretch import Stretch
from segmentation.errors import RunError
from segmentation.files import scratch_folder, write_json, writing
from segmentation.runs.database import DATABASE
from segmentation.runs.logs.history import History, read_history
from segmentation.runs.patch_table import confusion_matrices, read_patches, write_patches
from segmentation.runs.records import DatasetRecord, Metrics, Network, RunConfig, State, Status, read_json

if TYPE_CHECKING:
    from segmentation.runs.recording import Recording

CONFIG = "config.json"

HISTORY = "history.csv"

BEST, NETWORK = "best.keras", "best.onnx"

ADAPTER, FOREIGN = "model.toml", ("model.onnx", "model.keras")
"""What says how a model from elsewhere is applied, and what that model is called."""

METRICS = "metrics.json"

PATCHES = "patches.csv"

STATUS = "status.json"

THRESHOLDS = "thresholds.json"
"""The confidence thresholds that somebody chose for the run."""

FOLDS = "folds"
"""The folder of the runs of k-fold, one for each place that was left out."""

PREDICTIONS = "predictions"
"""The folder of what a run without a model predicts: a PNG file of class indices for each scene."""

LATEST = "latest"

SELECTION = "selection.csv"
"""The patches that the run was trained on, where they were chosen by name."""

SHIPPED = Path(__file__).parents[1] / "pretrained"
"""The runs that come with the project, read only."""

RESERVED = {"log", "reviews", DATABASE}
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


SILENT_SECONDS = 120
"""A running training that has not written its status for so long has stalled."""

GONE_SECONDS = 15
"""After so long a silence, its process is looked for on this machine."""


@dataclass(frozen=True)
class Run:
    """One run folder. Whatever file is missing or broken reads as None, and is named in `problems`."""

    folder: Path

    @staticmethod
    def create(name: str, dataset: Dataset, **how: Any) -> "Recording":  # noqa: ANN401 (as `Recording` takes them)
        """Begin a run of predictions from anywhere: record each scene's, then finish it.

        Args:
            name: Of the run.
            dataset: The scenes that are predicted.
            how: ``runs``, ``protocol``, ``held_out_tile`` and ``patch_size``, as `Recording` takes them.
        """
        from segmentation.runs.recording import Recording

        return Recording(name, dataset, **how)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def config(self) -> RunConfig | None:
        """Hyper-parameters, classes, data set, network and versions."""
        return RunConfig.from_dict(read_json(self.folder / CONFIG))

    @cached_property
    def metrics(self) -> Metrics | None:
        """Scores on the held-out part."""
        metrics = Metrics.from_dict(read_json(self.folder / METRICS))
        of_these_classes = metrics is None or self.palette is None or tuple(metrics.iou) == self.palette.names
        return metrics if of_these_classes else None

    @cached_property
    def history(self) -> History | None:
        """The training's log."""
        try:
            return read_history(self.folder / HISTORY) if (self.folder / HISTORY).is_file() else None
        except RunError:
            return None

    @cached_property
    def patches(self) -> pd.DataFrame | None:
        """One row per patch with its part, scores and statistics, in the columns of `patch_columns`."""
        return read_patches(self.folder / PATCHES, self.palette)

    @property
    def palette(self) -> Palette | None:
        """The classes that the run's model predicts."""
        return self.config.palette if self.config else None

    @cached_property
    def confusion_matrices(self) -> np.ndarray | None:
        """Return each patch's confusion matrix (patches, classes, classes) int64, in `patches`' order.

        None if the run was evaluated before these were kept.
        """
        return None if self.patches is None else confusion_matrices(self.patches, self.palette)

    @property
    def patch_size(self) -> int:
        """Side of the patches that the run was trained on, in pixels; the article's if the run does not say."""
        return (self.config and self.config.configuration.get("patch_size")) or PATCH_SIZE

    @property
    def protocol(self) -> Protocol:
        """The protocol of its training, or of scores of other data; ``scene``, which leaves void out, if unknown."""
        if self.config is None:
            return "scene"
        elsewhere = self.metrics.protocol if self.metrics and self.metrics.dataset else None
        return cast("Protocol", elsewhere or self.config.configuration.get("protocol") or "scene")

    @property
    def is_flattered(self) -> bool:
        """Whether its scores are of the patches on which its epoch was chosen, as trainings in two parts have them.

        Such are those of protocol ``article``, and those before there was a validation part. Of a model from elsewhere
        it is not known.
        """
        trained = self.config.dataset if self.config else None
        elsewhere = self.metrics is not None and self.metrics.dataset is not None
        return trained is not None and bool(trained.held_out) and trained.validated_on is None and not elsewhere

    @property
    def dataset(self) -> DatasetRecord | None:
        """The data set that its scores are of: the one it was trained on, unless its model was scored elsewhere."""
        elsewhere = self.metrics.dataset if self.metrics else None
        return elsewhere or (self.config.dataset if self.config else None)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the data set that its scores are of."""
        return self.dataset.fingerprint if self.dataset else None

    @property
    def left_out(self) -> str:
        """What training and scoring left out of their data, and what is odd there, in words; nothing if all is well."""
        used = {"trained": self.config and self.config.dataset, "scored": self.metrics and self.metrics.dataset}
        return " · ".join(f"{done} {record.remarks}" for done, record in used.items() if record and record.remarks)

    @property
    def mapping(self) -> ClassMapping | None:
        """The run's class of those classes of the data set scored whose names differ."""
        return self.metrics.mapping if self.metrics else None

    @property
    def model_of(self) -> str:
        """The name of the run whose model it has: its own, unless it holds another's scores on other data."""
        return (self.metrics and self.metrics.model_of) or self.name

    def knows(self, palette: Palette) -> bool:
        """Tell whether a class of a data set is one of the run's, by name or as its scores say."""
        return self.palette is not None and set(match_classes(palette, self.palette, self.mapping)) != {VOID}

    def in_its_classes(self, dataset: Dataset) -> Dataset | None:
        """Return a data set in the run's classes; None if it has none of them."""
        return in_classes_of(dataset, self.palette, self.mapping) if self.palette else None

    @property
    def stretch(self) -> Stretch | None:
        """How images of more than 8 bits were shown to the network in training; None if there were none."""
        return self.config.dataset.stretch if self.config else None

    @property
    def architecture(self) -> Network | None:
        """The network, if the run says it."""
        return self.config.architecture if self.config else None

    @property
    def model(self) -> Path | None:
        """Path of what a `Predictor` opens, if there is one: the best epoch's model, or the adapter of another's."""
        return self.trained_model or (self.folder / ADAPTER if self.is_foreign else None)

    @property
    def trained_model(self) -> Path | None:
        """Path of the best epoch's model, if there is one: what can be trained on, and written in other formats."""
        return self.folder / BEST if (self.folder / BEST).is_file() else None

    @property
    def is_foreign(self) -> bool:
        """Whether its model comes from elsewhere, and was not trained here."""
        return (self.folder / ADAPTER).is_file()

    @property
    def predictions(self) -> Path | None:
        """Path of the folder of its predictions, if that is all there is of it: no model."""
        folder = self.folder / PREDICTIONS
        return folder if self.model is None and folder.is_dir() else None

    @cached_property
    def folds(self) -> list["Run"]:
        """The trainings that left out a place each, of a run of k-fold; they have the models."""
        return find_runs(self.folder / FOLDS)

    @property
    def why_no_model(self) -> str:
        """Why there is no model that was trained here, as the rest of a sentence."""
        if self.is_foreign:
            return "its model comes from elsewhere"
        if self.folds:
            return f"its folds have models of their own, such as {self.folds[0].folder}"
        return f"{BEST} {self._fault(BEST)}" if self.predictions is None else "it holds predictions alone"

    @property
    def status(self) -> Status:
        """What status.json says, with the state put right if the process behind it is silent or gone."""
        status = Status.from_dict(read_json(self.folder / STATUS))
        if status is None:
            return Status(state="stopped", reason=f"{STATUS} {self._fault(STATUS)}")
        if status.state != "running":
            return status
        # A heartbeat from the future is as old as it is early: the clock was set back, or is another machine's.
        silence = abs(time.time() - status.heartbeat)
        if silence > SILENT_SECONDS:
            return replace(status, state="stalled", reason="no sign of life for more than two minutes")
        if silence > GONE_SECONDS and not is_alive(status.pid):
            return replace(status, state="stopped", reason="its process is gone")
        return status

    @property
    def problems(self) -> list[str]:
        """One phrase for every file that is missing or cannot be read."""
        contents = {
            CONFIG: self.config,
            HISTORY: self.history,
            BEST: self.trained_model,
            METRICS: self.metrics,
            PATCHES: self.patches,
        }
        if self.is_foreign or self.predictions or self.folds:  # no training here left anything
            del contents[HISTORY], contents[BEST]
        return [f"{name} {self._fault(name)}" for name, content in contents.items() if content is None]

    def _fault(self, name: str) -> str:
        return "cannot be read" if (self.folder / name).exists() else "is missing"


def is_alive(pid: int | None) -> TypeGuard[int]:
    """Tell whether this machine has a process with this id."""
    if pid is None or pid <= 1:  # those below are groups of processes
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
    for fold in run.folds:
        check_run_allowed(fold, folders)


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


def write_status(run: Path, state: State, **details: Any) -> None:  # noqa: ANN401 (as the fields' types say)
    """Write status.json with the state, the time and this process's id, and whatever else of `Status` is known."""
    status = Status(state=state, pid=os.getpid(), heartbeat=time.time(), **details)
    write_json(run / STATUS, status.to_dict())


def write_scores(run: Path, metrics: Metrics, patches: pd.DataFrame) -> None:
    """Write metrics.json and patches.csv, each atomically."""
    write_json(run / METRICS, metrics.to_dict())
    write_patches(run / PATCHES, patches)


def write_elsewhere(run: Run, folder: Path, metrics: Metrics, patches: pd.DataFrame) -> None:
    """Write a new run folder of a run's model with scores of its own, in one step.

    Args:
        run: Whose configuration, log and model it gets.
        folder: The new folder.
        metrics: The scores.
        patches: One row per scored patch.

    Raises:
        StorageError: If it cannot be written, or is there already.
    """
    with writing(folder), scratch_folder(folder.parent) as scratch:
        made = scratch / folder.name
        made.mkdir()
        for name in (CONFIG, HISTORY, BEST, NETWORK, ADAPTER, *FOREIGN):
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, made / name)
        write_scores(made, metrics, patches)
        write_status(made, "finished")
        made.rename(folder)
