"""Train a network into a run folder, from the first epoch to the evaluation, and go on where a run was cut."""

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from segmentation.backend import has_accelerator
from segmentation.configuration import Configuration
from segmentation.data.labels import nothing_labelled, shows_a_class
from segmentation.data.palette import Palette
from segmentation.data.patches import Patches, Progress, load_patches
from segmentation.data.protocols import TRAIN, Fold, assign_parts
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, RunError, StorageError
from segmentation.evaluation.evaluate import evaluate
from segmentation.files import locked, replacing, write_json, writing
from segmentation.inference.model_file import load_keras_model
from segmentation.inference.onnx_file import write_onnx
from segmentation.inference.onnx_graph import UnknownNetworkError
from segmentation.inference.predictor import Predictor
from segmentation.model.losses import SegmentationLoss
from segmentation.model.metrics import training_metrics
from segmentation.model.registry import build
from segmentation.runs.run import (
    BEST,
    CONFIG,
    SELECTION,
    SHIPPED,
    Run,
    find_runs,
    read_selection,
    write_scores,
    write_status,
)
from segmentation.training.callbacks import (
    STATUS_SECONDS,
    Snapshot,
    StopBetweenBatches,
    Whole,
    stopped_early,
    training_callbacks,
)
from segmentation.training.distribution import data_parallel
from segmentation.training.on_device import fits
from segmentation.training.pipeline import Share, feed, held_out_batches, steps_an_epoch, training_batches
from segmentation.training.precision import use_mixed_precision
from segmentation.training.run_config import check_same_run, run_config


def train(
    dataset: Dataset,
    configuration: Configuration,
    folder: Path | str,
    resume: bool = False,
    progress: Progress | None = None,
    verbose: int | str = "auto",
    selection: Sequence[str] = (),
    tell: Callable[[str], None] = print,
    devices: int | None = None,
    patches: Patches | None = None,
    whole: Whole | None = None,
) -> Run:
    """Train, keep the best epoch, evaluate it, and leave a complete run folder.

    Args:
        dataset: The labelled scenes.
        configuration: The hyper-parameters.
        folder: The run folder. It must not exist, unless `resume`.
        resume: Go on where an earlier training of the same configuration and data was cut; start if there is none.
        progress: Called with (done, total) while patches are prepared and evaluated.
        verbose: Keras' ``fit`` output.
        selection: Names of the patches to train on, as far as they are neither held out nor for validation; all by
            default. The run folder keeps them, so that a resumed training need not be told again.
        tell: Called with a sentence for what of the data set is left out, before the first epoch.
        devices: Train on so many devices at once, as `data_parallel` says; by default on one.
        patches: Those of the data set, as the protocol counts void, where they have been read before.
        whole: What the training is a fold of, if of anything.

    Raises:
        RunError: If the folder exists and `resume` is off, it holds a run of other data or hyper-parameters, or
            another process trains it.
        ConfigurationError: If configuration, network and data do not fit together.
        StorageError: If the run cannot be written; what was written can be resumed.
        KeyboardInterrupt: If stopped; the run folder says so and can be resumed.
    """
    folder = Path(folder)
    with data_parallel(devices) as share, folder_to_write(folder, resume, share) as own:
        runs = folder.parent
        _train(dataset, configuration, own, runs, progress, verbose, selection, tell, share, patches, whole)
    return Run(folder)


@contextmanager
def folder_to_write(folder: Path, resume: bool, share: Share) -> Iterator[Path]:
    """Give the run folder to one process alone; to each that trains along with it, a copy that nobody keeps."""
    if share.process:
        with tempfile.TemporaryDirectory() as private:
            copy = Path(private) / folder.name
            if folder.exists():
                shutil.copytree(folder, copy)
            yield copy
        return
    with locked(folder.with_name(f".{folder.name}.lock")) as mine:
        if not mine:
            raise RunError(
                f"{folder.name} is being trained by another process: wait until it ends, or choose another name."
            )
        if folder.exists() and not resume:
            raise RunError(f"There is a run {folder.name} already: choose another name, or resume it.")
        yield folder


def _train(
    dataset: Dataset,
    configuration: Configuration,
    folder: Path,
    runs: Path,
    progress: Progress | None,
    verbose: int | str,
    selection: Sequence[str],
    tell: Callable[[str], None],
    share: Share,
    patches: Patches | None,
    whole: Whole | None,
) -> None:
    """Train, or go on, as the only process that writes `folder`; a run to start from may be in `runs`."""
    keras.utils.set_random_seed(configuration.seed)
    model = build(configuration.architecture, configuration.patch_size, len(dataset.palette), dataset.channels)
    if configuration.class_weights and len(configuration.class_weights) != len(dataset.palette):
        raise ConfigurationError(
            f"Expected a class weight for each of the {len(dataset.palette)} classes. "
            f"Received: {configuration.class_weights}"
        )
    first = _run_to_start_from(configuration.start_from, runs) if configuration.start_from else None
    if first:
        _start_from(model, first)
    patches = patches or load_patches(dataset, configuration.patch_size, progress, configuration.protocol)
    fold = _fold(patches, configuration, Run(folder))
    _check_labels(dataset, patches, fold)
    for remark in patches.remarks(dataset, configuration.protocol):
        tell(remark)
    part = _selected(fold.train, patches, selection, folder)
    if first and configuration.worst_share < 1:
        part = worst_patches(part, patches, first, configuration.worst_share)
    fold = replace(fold, train=part)
    config = run_config(dataset, configuration, patches, fold, model)
    check_same_run(Run(folder), config)
    if first and (seen := _seen_before(first, config.dataset.fingerprint, patches, fold)):
        tell(seen)
    if Run(folder).status.state == "finished":
        return
    if Run(folder).config is None:
        write_json(folder / CONFIG, config.to_dict())
    if selection:
        with replacing(folder / SELECTION) as temporary:
            patches.table["patch"].iloc[fold.train].to_csv(temporary, index=False)
    with told_by_the_status(folder):
        with writing(folder):
            _fit(model, patches, fold, configuration, folder, verbose, share, whole)
        if not share.process:
            keras.distribution.set_distribution(None)  # the others have gone: nobody would answer
            _finish(folder, patches, fold, dataset.palette, progress)


def _fold(patches: Patches, configuration: Configuration, run: Run) -> Fold:
    """Return what the patches are used for: in two parts for a run that an earlier version has begun so."""
    two_parts = run.config is not None and run.config.dataset.validated_on is None
    protocol, tile = configuration.protocol, configuration.held_out_tile
    parts = assign_parts(patches.table, protocol, tile, configuration.seed, configuration.fold, two_parts)
    return Fold.of(parts, protocol, two_parts)


def _check_labels(dataset: Dataset, patches: Patches, fold: Fold) -> None:
    """Refuse to train on masks without a class, or to choose an epoch on such."""

    def show_a_class(part: np.ndarray) -> bool:
        return any(shows_a_class(patches.masks[index], dataset.palette.unlabeled) for index in part)

    if not show_a_class(fold.train):
        raise nothing_labelled(dataset, "the masks to train on")
    if not (fold.two_parts or show_a_class(fold.validation)):
        raise ConfigurationError(
            "No mask of the validation part holds a class, so that no epoch can be chosen: label more scenes, or "
            "choose another protocol or seed."
        )


def _seen_before(first: Run, fingerprint: str | None, patches: Patches, fold: Fold) -> str:
    """Say how much of what a fold does not train on the run to start from was trained on; nothing if none of it."""
    if first.patches is None or first.fingerprint != fingerprint:
        return ""
    trained_on = first.patches["patch"][first.patches["part"] == TRAIN]
    names = patches.table["patch"]
    parts = {"validation": fold.validation, "held-out": fold.test}
    seen = {name: names.iloc[part].isin(trained_on).sum() for name, part in parts.items()}
    if not any(seen.values()):
        return ""
    counts = " and ".join(
        f"{count:,} of the {len(parts[name]):,} {name} patches" for name, count in seen.items() if count
    )
    return f"{first.name} was trained on {counts}: scores of those flatter"


@contextmanager
def told_by_the_status(folder: Path) -> Iterator[None]:
    """Say in status.json that a training starts, and how it has ended, whatever ends it."""
    try:
        write_status(folder, "running", phase="starting", progress=0.0)
        yield
    except KeyboardInterrupt:
        with suppress(StorageError):
            _write_network(folder)
        write_status(folder, "stopped", reason="stopped by the user")
        raise
    except Exception as error:
        cause = error.__cause__ or error
        Snapshot(folder).tidy()  # a full disk needs the room to say so
        with suppress(StorageError):
            write_status(folder, "failed", reason=f"{type(cause).__name__}: {cause}"[:500])
        raise
    write_status(folder, "finished")
    Snapshot(folder).discard()


def _run_to_start_from(name: str, runs: Path) -> Run:
    """Return the run called `name`, which is in `runs` or comes with the project."""
    run = next((run for run in find_runs(runs, SHIPPED) if run.name == name and run.trained_model), None)
    if run is None:
        raise RunError(f"There is no run {name} with a model to start from in {runs.name} or among the shipped ones.")
    return run


def _start_from(model: keras.Model, run: Run) -> None:
    """Give the network the weights of a run."""
    weights = load_keras_model(run.folder / BEST).get_weights()
    if [array.shape for array in weights] != [array.shape for array in model.get_weights()]:
        raise ConfigurationError(
            f"{run.name} is another network or has another number of classes or bands: start from a run with the same "
            "architecture, classes and bands."
        )
    model.set_weights(weights)


def _selected(part: np.ndarray, patches: Patches, selection: Sequence[str], folder: Path) -> np.ndarray:
    """Return those of `part`, indices of training patches, that are asked for now or were when the run began."""
    if (folder / SELECTION).exists():
        kept = read_selection(folder / SELECTION)
        if selection and set(selection) != set(kept):
            raise RunError(f"{folder.name} was started on other patches: use the same to resume, or another name.")
        selection = kept
    if not selection:
        return part
    names = patches.table["patch"]
    unknown = set(selection) - set(names)
    if unknown:
        raise ConfigurationError(
            f"{len(unknown)} of the {len(set(selection))} patches to train on are not in the data set at this patch "
            f"size, such as {sorted(unknown)[0]}."
        )
    chosen = part[names.iloc[part].isin(set(selection))]
    if not len(chosen):
        raise ConfigurationError("All the patches to train on are held out, or for validation: choose others.")
    return chosen


def worst_patches(part: np.ndarray, patches: Patches, run: Run, share: float) -> np.ndarray:
    """Return the share of the patches on which a run does worst: the subset that the article would fine-tune on.

    Args:
        part: (n,) indices of the patches to choose from.
        patches: All patches.
        run: An evaluated run.
        share: How many of `part` to return, above 0 and up to 1.

    Returns:
        Their indices in the patches' order: those with the lowest mean IoU.

    Raises:
        RunError: If the run has not been evaluated.
    """
    if run.patches is None:
        raise RunError(f"{run.name} has not been evaluated: python -m segmentation evaluate --run {run.name} --save")
    scores = run.patches.set_index("patch")["mean_iou"].reindex(patches.table["patch"].iloc[part]).to_numpy()
    return np.sort(part[np.argsort(scores, kind="stable")[: math.ceil(share * len(part))]])  # without a score: last


def _fit(
    model: keras.Model,
    patches: Patches,
    fold: Fold,
    configuration: Configuration,
    folder: Path,
    verbose: int | str,
    share: Share,
    whole: Whole | None,
) -> None:
    """Compile and fit on the patches of a fold, from the last snapshot if there is one."""
    first_epoch = Snapshot.restore(folder)
    compile_model(model, configuration)
    if first_epoch >= configuration.epochs or stopped_early(folder, configuration.early_stopping):
        return
    steps = steps_an_epoch(fold.train, configuration)
    callbacks = training_callbacks(
        folder, configuration, steps, lambda epoch: learning_rate(configuration, epoch), whole
    )
    on_device = has_accelerator() and share.devices == 1 and fits(patches)
    with StopBetweenBatches() as stop:
        model.fit(
            feed(training_batches(patches, fold.train, configuration, first_epoch, share, on_device)),
            validation_data=feed(held_out_batches(patches, fold.chosen_on, configuration, share)),
            epochs=configuration.epochs,
            steps_per_epoch=steps,
            callbacks=[*callbacks, stop],
            shuffle=False,  # the pipeline does it, epoch by epoch
            verbose=verbose,
        )


def compile_model(model: keras.Model, configuration: Configuration) -> None:
    """Give a network the optimizer, loss and metrics of a configuration."""
    use_mixed_precision(model, configuration.mixed_precision)
    classes = model.output_shape[-1]
    model.compile(
        _optimizer(configuration),
        loss=SegmentationLoss(configuration.loss_terms, configuration.class_weights or [1.0] * classes),
        metrics=training_metrics(classes),
    )
    # Otherwise the first step makes its variables, and TensorFlow traces the step twice: seconds for a deep network.
    model.optimizer.build(model.trainable_variables)


def _optimizer(configuration: Configuration) -> keras.optimizers.Optimizer:
    """Return Adam, with decoupled weight decay (Loshchilov and Hutter, 2019) and averaged weights where asked for."""
    optimizer = keras.optimizers.Adam(
        configuration.learning_rate,
        weight_decay=configuration.weight_decay or None,
        use_ema=configuration.ema > 0,
        ema_momentum=configuration.ema,
    )
    if configuration.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learning_rate(configuration: Configuration, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0."""
    warming = min(1.0, (epoch + 1) / (configuration.warm_up + 1))
    if configuration.schedule == "constant":
        return configuration.learning_rate * warming
    return configuration.learning_rate * warming * 0.5 * (1 + math.cos(math.pi * epoch / configuration.epochs))


def _finish(folder: Path, patches: Patches, fold: Fold, palette: Palette, progress: Progress | None) -> None:
    """Strip the optimizer's state from the best model and write its scores."""
    due = 0.0

    def evaluated(done: int, total: int) -> None:
        nonlocal due
        if done in (0, total) or time.monotonic() >= due:  # every batch would write it hundreds of times
            due = time.monotonic() + STATUS_SECONDS
            write_status(folder, "running", phase="evaluation", progress=1.0)
        if progress:
            progress(done, total)

    evaluated(0, len(patches.masks))
    with replacing(folder / BEST) as temporary:
        keras.saving.load_model(folder / BEST, compile=False).save(temporary)
    _write_network(folder)
    write_scores(folder, *evaluate(Predictor(folder / BEST), patches, fold, palette, evaluated))


def _write_network(folder: Path) -> None:
    """Write the best model as ``best.onnx``, too, if there is one and ONNX Runtime will predict it."""
    with suppress(UnknownNetworkError):
        if (folder / BEST).exists():
            write_onnx(folder / BEST)
