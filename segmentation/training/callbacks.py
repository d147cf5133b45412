"""Keras' callbacks with their traps handled: what a run writes is whole, and a resumed run goes on as if never cut."""

import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import keras
import numpy as np

from segmentation.configuration import Configuration
from segmentation.files import UNFINISHED, remove_unfinished, replacing
from segmentation.runs.logs.history import read_history
from segmentation.runs.run import BEST, HISTORY, LATEST, write_status
from segmentation.training.precision import single_precision

MONITOR = "val_accuracy"
"""The best epoch is the one with the highest of these, as in the article."""

RANDOM = "random.json"
"""State of the dropout layers' random generators, in a snapshot."""

Handler = Callable[[int, FrameType | None], object] | int | None
"""What answers to a signal."""

STATUS_SECONDS = 5.0
"""A running training says so in status.json about this often."""


class Snapshot(keras.callbacks.BackupAndRestore):
    """`BackupAndRestore` whose backups are whole, and hold history and best model as they were at that epoch.

    Keras writes weights and epoch number one after the other and restores neither the log nor the best model, nor what
    the dropout layers would have drawn next. Here it writes into a folder aside, all that is put beside, and the folder
    takes the last one's place: after a kill at any moment there is one consistent state to go on from.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.latest = run / LATEST
        self.previous = run / f"{LATEST}.previous"
        self.writing = run / f"{LATEST}.writing"
        super().__init__(str(self.writing), delete_checkpoint=False)

    @classmethod
    def restore(cls, run: Path) -> int:
        """Put history and best model of the last snapshot back, ready for `fit`, and return the epochs done.

        Without a snapshot the run starts over: what an unfinished first epoch left is removed.
        """
        snapshot = cls(run)
        if not snapshot.latest.exists() and snapshot.previous.exists():
            snapshot.previous.rename(snapshot.latest)  # killed between the two renames of `on_epoch_end`
        snapshot.tidy()
        if not snapshot.latest.exists():
            for name in (HISTORY, BEST):
                (run / name).unlink(missing_ok=True)
            return 0
        snapshot.writing.mkdir()
        for file in snapshot.latest.iterdir():
            shutil.copyfile(file, snapshot.writing / file.name)
        for name in (HISTORY, BEST):
            with replacing(run / name) as temporary:
                shutil.copyfile(snapshot.writing / name, temporary)
        return json.loads((snapshot.writing / "training_metadata.json").read_text())["epoch"]

    def tidy(self) -> None:
        """Remove what is half written: `BestModel` would move its own into place."""
        shutil.rmtree(self.writing, ignore_errors=True)
        remove_unfinished(self.run)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Load what `restore` has put in place."""
        super().on_train_begin(logs)
        if (self.writing / RANDOM).exists():
            states = json.loads((self.writing / RANDOM).read_text())
            for generator, state in zip(self._random_generators(), states, strict=True):
                generator.assign(state)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the snapshot of this epoch, then let it take the last one's place."""
        # HDF5 crashes the process where a disk is full. Weights and optimizer's state are about as large in both files.
        if shutil.disk_usage(self.run).free < 2 * (self.run / BEST).stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.latest))
        super().on_epoch_end(epoch, logs)
        states = [keras.ops.convert_to_numpy(generator).tolist() for generator in self._random_generators()]
        (self.writing / RANDOM).write_text(json.dumps(states))
        for name in (HISTORY, BEST):
            shutil.copyfile(self.run / name, self.writing / name)
        shutil.rmtree(self.previous, ignore_errors=True)
        if self.latest.exists():
            self.latest.rename(self.previous)
        self.writing.rename(self.latest)
        shutil.rmtree(self.previous, ignore_errors=True)

    def _random_generators(self) -> list[keras.Variable]:
        """Return the states of the model's random generators, which Keras does not count as weights."""
        return [v for v in self.model.non_trainable_variables if v.path.endswith("seed_generator_state")]

    def discard(self) -> None:
        """Remove every snapshot: the run has ended well."""
        for folder in (self.latest, self.previous, self.writing):
            shutil.rmtree(folder, ignore_errors=True)


class BestModel(keras.callbacks.ModelCheckpoint):
    """`ModelCheckpoint` that never lets a reader meet half a file, and after a resume knows the best so far.

    Args:
        run: The run folder.
        best_so_far: The best validation accuracy before a resume.
        average: Where weights are averaged: the callback that puts the average in their place for the validation. What
            was validated is what is saved.
    """

    def __init__(
        self, run: Path, best_so_far: float | None, average: keras.callbacks.SwapEMAWeights | None = None
    ) -> None:
        self.target = run / BEST
        self.average = average
        self.aside = run / f"{UNFINISHED}{BEST}"
        super().__init__(
            str(self.aside), monitor=MONITOR, mode="max", save_best_only=True, initial_value_threshold=best_so_far
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save if this epoch is the best, and move the file into place."""
        if self.average:
            self.average.on_test_begin()
        with single_precision(self.model):
            super().on_epoch_end(epoch, logs)
        if self.average:
            self.average.on_test_end()
        if self.aside.exists():
            self.aside.replace(self.target)


class EarlyStop(keras.callbacks.EarlyStopping):
    """`EarlyStopping` on the validation loss that after a resume remembers how long it has been waiting."""

    def __init__(self, patience: int, losses_so_far: list[float]) -> None:
        super().__init__(monitor="val_loss", mode="min", patience=patience)
        self.losses_so_far = losses_so_far

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Reset, then live through the epochs before the resume again."""
        super().on_train_begin(logs)
        for epoch, loss in enumerate(self.losses_so_far):
            self.on_epoch_end(epoch, {"val_loss": loss})


def stopped_early(run: Path, patience: int | None) -> bool:
    """Tell whether `EarlyStop` has already ended the fit of a run: what was cut then is its evaluation.

    Keras would train one more batch before it obeys a stop that was asked for before the first epoch.
    """
    if patience is None or not (run / HISTORY).exists():
        return False
    losses = read_history(run / HISTORY).table["val_loss"].to_numpy()
    return len(losses) - 1 - losses.argmin() >= patience


class Whole(NamedTuple):
    """What a training is a fold of.

    Args:
        run: The run folder of the whole.
        fold: This one's number, from 0.
        folds: How many there are.
    """

    run: Path
    fold: int
    folds: int

    def write_status(self, progress: float, **details: Any) -> None:  # noqa: ANN401 (as `write_status` takes them)
        """Say in the whole's status.json how far all folds are, when of this one the share `progress` is done."""
        done = round((self.fold + progress) / self.folds, 4)
        write_status(self.run, "running", progress=done, fold=self.fold + 1, folds=self.folds, **details)


class Heartbeat(keras.callbacks.Callback):
    """Keep status.json fresh, so that a page can tell a running training from a dead one, and say when it will end.

    Args:
        run: The run folder.
        epochs: Of the training.
        steps: Of an epoch.
        whole: What the training is a fold of, if of anything.
    """

    def __init__(self, run: Path, epochs: int, steps: int, whole: Whole | None = None) -> None:
        super().__init__()
        self.run, self.epochs, self.steps, self.whole = run, epochs, steps, whole
        self.epoch = 0
        self.next = 0.0
        self.began: tuple[float, float] | None = None  # time and progress after the first step, which is slow

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remember the epoch, counted from 0."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Write the status, unless the last one is fresh enough."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + STATUS_SECONDS
            progress = (self.epoch + (batch + 1) / self.steps) / self.epochs
            seconds = None
            if self.began is None:
                self.began = now, progress
            elif progress > self.began[1]:
                seconds = (now - self.began[0]) / (progress - self.began[1])  # for the whole training
            counted = {"phase": "training", "epoch": self.epoch + 1, "epochs": self.epochs}
            write_status(
                self.run, "running", progress=round(progress, 4), **counted, **self._pace(seconds, 1 - progress)
            )
            if self.whole:
                left = self.whole.folds - self.whole.fold - progress
                self.whole.write_status(progress, **counted, **self._pace(seconds, left))

    def _pace(self, seconds: float | None, left: float) -> dict[str, float]:
        """Return what is known of the time, where a training takes `seconds` and `left` of them are to come."""
        if seconds is None:
            return {}
        return {"seconds_an_epoch": round(seconds / self.epochs, 1), "seconds_left": round(left * seconds, 1)}


class StopBetweenBatches(keras.callbacks.Callback):
    """Ctrl-C and a polite kill stop a fit after the batch under way: amid a backend's code they can crash it.

    Used as a context manager around ``fit``. A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self.before: dict[int, Handler] = {}

    def __enter__(self) -> "StopBetweenBatches":
        """Take the signals over, where that is possible and they are not ignored on purpose."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop here if asked."""
        self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop here if asked."""
        self._stop_if_asked()


class BatchSeed(keras.callbacks.Callback):
    """Let PyTorch's generator begin every batch with a seed of its number.

    Its dropout draws from one generator of the whole process, as do its data loaders, where the other backends' layers
    have their own, which a snapshot holds.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self.epoch = seed, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remember the epoch, counted from 0."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Seed it."""
        import torch

        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch, batch]).generate_state(1)[0]))


def training_callbacks(
    run: Path,
    configuration: Configuration,
    steps: int,
    learning_rate: Callable[[int], float],
    whole: Whole | None = None,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a training in the order that makes a snapshot whole: it comes last.

    Args:
        run: The run folder, after `Snapshot.restore`.
        configuration: Epochs, early stopping, averaging and seed of the run.
        steps: Steps an epoch.
        learning_rate: Function from the epoch, counted from 0, to its learning rate; also writes it to the log.
        whole: What the training is a fold of, if of anything.
    """
    done = read_history(run / HISTORY).table if (run / HISTORY).exists() else None
    best_so_far = None if done is None else float(done[MONITOR].max())
    losses_so_far = [] if done is None else done["val_loss"].tolist()
    average = keras.callbacks.SwapEMAWeights() if configuration.ema else None
    early_stopping = configuration.early_stopping
    return [
        *([BatchSeed(configuration.seed)] if keras.config.backend() == "torch" else []),
        *([average] if average else []),
        keras.callbacks.LearningRateScheduler(learning_rate),
        keras.callbacks.CSVLogger(str(run / HISTORY), append=done is not None),
        BestModel(run, best_so_far, average),
        *([EarlyStop(early_stopping, losses_so_far)] if early_stopping else []),
        Heartbeat(run, configuration.epochs, steps, whole),
        Snapshot(run),
    ]
