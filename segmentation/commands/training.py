"""Commands that train, score and pass on networks."""

import sys
from math import isnan
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from segmentation import scores
from segmentation.allocator import keep_freed_memory
from segmentation.backend import load_backend
from segmentation.commands.common import RUNS, chosen_thresholds, find_run, progress_bar, remark
from segmentation.commands.datasets import dataset_at, dataset_folder
from segmentation.configuration import Configuration, Folds
from segmentation.data.class_mapping import read_mapping
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import Protocol
from segmentation.data.scenes import find_dataset
from segmentation.errors import DONE, ConfigurationError, RunError, printable
from segmentation.inference.export import Format
from segmentation.inference.options import Inference
from segmentation.intervals import Interval
from segmentation.runs.records import AtThresholds, Metrics
from segmentation.runs.run import METRICS, SHIPPED, Run, check_run_name, read_selection
from segmentation.thresholds import by_index, in_words


def summary(architecture: str = "unet", patch_size: int = PATCH_SIZE, classes: int = 6) -> int:
    """Print a network's layers and draw it as a U with every block's output shape.

    Args:
        architecture: Network, by its name in the registry.
        patch_size: Side of a patch, in pixels.
        classes: Number of classes.
    """
    load_backend()
    from segmentation.model.diagram import describe, draw
    from segmentation.model.registry import build

    model = build(architecture, patch_size, classes)
    model.summary(line_length=110)
    print(draw(describe(model)))
    return DONE


def train(
    name: str,
    configuration: Annotated[Configuration, tyro.conf.arg(name="")],
    data: Path | None = None,
    runs: Path = RUNS,
    patches: Path | None = None,
    resume: bool = False,
    devices: int | None = None,
) -> int:
    """Train a network into a run folder and evaluate its best epoch. Ctrl-C stops it; --resume goes on.

    The best epoch is chosen on a validation part, and the held-out part is scored once, when the training has ended.
    With --folds that is done for each place left out, and the whole is scored by what each training predicts of its
    place; the trainings are in NAME/folds.

    Keras trains with TensorFlow, or with what the environment variable KERAS_BACKEND names: jax or torch.

    Args:
        name: Name of the run, which is its folder's name.
        configuration: The hyper-parameters.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        patches: CSV file with a column patch, such as the gallery's rankings: train only on these, as far as they are
            neither held out nor for validation.
        resume: Go on where a training of this name was cut.
        devices: With JAX, train on so many devices at once, each on its share of every batch; 0 for all.
    """
    check_run_name(name)
    verbose = "auto" if sys.stderr.isatty() else 2
    with dataset_at(data) as dataset, progress_bar("done") as progress:
        selection = read_selection(patches) if patches else ()
        if configuration.folds and devices is not None:
            raise ConfigurationError("Folds are trained on one device: leave --devices out.")
        keep_freed_memory()
        load_backend()
        how = dataset, configuration, runs / name, resume, progress, verbose, selection, remark
        if configuration.folds:
            from segmentation.training.folds import train_folds

            run = train_folds(*how)
        else:
            from segmentation.training.fit import train as fit

            run = fit(*how, devices)
    print_scores(run.name, written_scores(run), run.is_flattered)
    if configuration.folds:
        print_places(run, configuration.folds)
    return DONE


def evaluate(
    run: str,
    data: Path | None = None,
    runs: Path = RUNS,
    protocol: Protocol | None = None,
    held_out_tile: str | None = None,
    tta: bool = False,
    bfloat16: bool = False,
    save: bool = False,
    save_as: str | None = None,
    mapping: Annotated[tuple[str, ...], tyro.conf.arg(name="map"), tyro.conf.UseAppendAction] = (),
    threshold: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    stored_thresholds: bool = False,
    dask: str | None = None,
) -> int:
    """Score a run's model on the held-out part of a data set, or on all of one that it was not trained on.

    Classes are matched by name: neither their colours nor their order matter. What the run does not know is void.

    Args:
        run: Name of a run, or the path of its folder.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        protocol: What is held out; by default what the run was trained with. all scores every scene of other data.
        held_out_tile: The tile to score under the tile protocol.
        tta: Test-time augmentation: average over the eight flips and rotations of each patch.
        bfloat16: Compute with numbers of 16 bits, faster and less exactly, where the processor can.
        save: Write metrics.json and patches.csv into the run folder.
        save_as: Name of a new run that gets this one's model and these scores, so that the pages show them.
        mapping: "CLASS OF THE DATA SET=CLASS OF THE RUN" where names differ, as often as needed; with nothing behind
            the sign its pixels are void.
        threshold: CLASS=PROBABILITY, such as Building=0.37, as often as needed: print also what the scores are where
            pixels are of the class from that probability on.
        stored_thresholds: The same for the thresholds that were chosen on the pages and stored with the run.
        dask: Address of a Dask scheduler, such as tcp://10.0.0.1:8786: its workers predict, from the same folders.
    """
    if (save or save_as) and (tta or bfloat16 or threshold or stored_thresholds):
        raise ConfigurationError("The pages predict plainly: save scores without --tta, --bfloat16 and thresholds.")
    if save and save_as:
        raise ConfigurationError("Save the scores either into the run or as a new one: not --save and --save-as.")
    if save_as:
        check_run_name(save_as)
    chosen = find_run(run, runs)
    if chosen.model is None or chosen.palette is None:
        raise RunError(f"{chosen.name} cannot be evaluated: {', '.join(chosen.problems) or chosen.why_no_model}.")
    from segmentation.evaluation.evaluate import evaluate_run

    target = runs / save_as if save_as else None
    limits = chosen_thresholds(chosen, runs, threshold, stored_thresholds)
    inference = Inference(tta=tta, bfloat16=bfloat16, thresholds=by_index(limits, chosen.palette))
    with dataset_at(data) as dataset, progress_bar("done") as progress:
        named = read_mapping(mapping, dataset.palette, chosen.palette) if mapping else None
        metrics, _ = evaluate_run(
            chosen, dataset, protocol, held_out_tile, save, inference, progress, remark, named, target, dask
        )
    ways = [" with test-time augmentation"] * tta + [" in bfloat16"] * bfloat16
    flattered = chosen.is_flattered and metrics.dataset is None and metrics.protocol == chosen.protocol
    print_scores("".join([chosen.name, *ways]), metrics, flattered)
    if metrics.at_thresholds:
        _print_at_thresholds(metrics, metrics.at_thresholds)
    if target:
        print(f"{chosen.name}'s model and these scores are the run {target.name}, in {printable(str(runs))}")
    return DONE


def ship(run: str, data: Path | None = None, runs: Path = RUNS, target: Path = SHIPPED) -> int:
    """Copy a finished run to those that come with the project, small: half precision, compressed, measured again.

    Args:
        run: Name of a run, or the path of its folder.
        data: Folder of the data set it was trained on.
        runs: Folder that holds the runs.
        target: Folder of the shipped runs.
    """
    chosen = find_run(run, runs)
    dataset = find_dataset(dataset_folder(data))
    load_backend()
    from segmentation.training.ship import ship as copy

    with progress_bar("done") as progress:
        shipped = copy(chosen, dataset, target / chosen.name, progress)
    print_scores(shipped.name, written_scores(shipped), shipped.is_flattered)
    return DONE


def export(run: str, format: Format, output: Path, runs: Path = RUNS) -> int:
    """Write a run's network in the format of another program: from RGB patches in 0-255 to class probabilities.

    Args:
        run: Name of a run, or the path of its folder.
        format: ONNX is the one that predicts here, and takes bytes; the others take floating-point numbers.
        output: The new file: .onnx, .xml (openvino, the weights beside it), .tflite (litert); a folder for
            tf_saved_model.
        runs: Folder that holds the runs.
    """
    chosen = find_run(run, runs)
    if chosen.trained_model is None:
        raise RunError(f"{chosen.name} cannot be exported: {', '.join(chosen.problems) or chosen.why_no_model}.")
    from segmentation.inference.export import export as write

    write(chosen.trained_model, format, output)
    print(f"{chosen.name} is in {output}")
    return DONE


def written_scores(run: Run) -> Metrics:
    """Return the scores that a run was left with.

    Raises:
        RunError: If they cannot be read.
    """
    if run.metrics is None:
        raise RunError(
            f"{run.name} has ended, but {METRICS} cannot be read: python -m segmentation evaluate --save writes it."
        )
    return run.metrics


def print_scores(name: str, metrics: Metrics, flattered: bool = False) -> None:
    """Print a run's scores, each with what it is, and the protocol that gave them.

    Args:
        name: Of the run.
        metrics: The scores.
        flattered: Whether they are of the patches on which the run's epoch was chosen.
    """
    which = "patches" if metrics.protocol == "all" else "held-out patches"
    print(f"{name}, protocol {metrics.protocol}: {metrics.patches:,} {which}, {metrics.pixels:,} labelled pixels")
    if flattered:
        print("  The epoch was chosen on these patches: the scores flatter")
    for of, as_class in (metrics.mapping or {}).items():
        print(f"  {of} of the data set counts as {as_class or 'void'}")
    intervals = metrics.intervals
    by_name, by_class = (intervals.by_name, intervals.iou) if intervals else ({}, {})
    for name, kind, value in metrics.scores():
        print(f"  {kind.title:<30}{_score(value, by_name.get(name))}{kind.meaning}")
    matrix = np.array(metrics.confusion_matrix)
    further = zip(scores.precision(matrix), scores.recall(matrix), scores.f1(matrix), strict=True)
    for (class_name, value), of_class in zip(metrics.iou.items(), further, strict=True):
        more = "precision {:.4f}  recall {:.4f}  F1 {:.4f}".format(*of_class).replace("nan", "–     ")
        if metrics.boundary_iou:
            more += f"  Boundary IoU {_score(metrics.boundary_iou.get(class_name), None)}"
        print(f"  IoU {class_name:<26}{_score(value, by_class.get(class_name))}{more}".rstrip())
    if metrics.temperature is not None and (tempered := metrics.tempered):
        print(
            f"  At a temperature of {metrics.temperature:.3f}, fitted on the validation part, the expected calibration "
            f"error is {_score(tempered.calibration_error, None).strip()} and the Brier score "
            f"{_score(tempered.brier, None).strip()}"
        )
    if intervals:
        print(f"  Behind the scores are their 95 % intervals, from {intervals.basis}")


def _print_at_thresholds(metrics: Metrics, instead: AtThresholds) -> None:
    """Print the scores that thresholds give, and by how much they differ from those without."""
    before, after = np.array(metrics.confusion_matrix), np.array(instead.confusion_matrix)
    print(f"With thresholds, {in_words(instead.thresholds)}, instead (in brackets the difference):")
    for title, of in (("accuracy", scores.accuracy), ("mean IoU", scores.mean_iou)):
        print(f"  {title:<30}{_changed(of(before), of(after))}")
    by_class = zip(scores.iou(before), scores.iou(after), scores.precision(after), scores.recall(after), strict=True)
    for name, (old, new, precision, recall) in zip(metrics.iou, by_class, strict=True):
        more = f"precision {precision:.4f}  recall {recall:.4f}".replace("nan", "–     ")
        print(f"  IoU {name:<26}{_changed(old, new):<18}{more}")


def _changed(before: np.ndarray, after: np.ndarray) -> str:
    """Show a score, and its difference from another."""
    return f"{after:.4f} ({after - before:+.4f})".replace("nan", "–")


def print_places(run: Run, by: Folds) -> None:
    """Print a run's scores on each place that was left out, and their mean and deviation.

    Args:
        run: An evaluated run.
        by: What a place is: a scene or a tile.
    """
    from segmentation.evaluation.out_of_fold import PLACE_SCORES, mean_and_deviation, scores_by_place

    groups = scores_by_place(run, by)
    if groups is None:
        return
    titles = [Metrics.kinds[name].title for name in PLACE_SCORES]
    print(f"By {by}:")
    for row in groups.to_dict("records"):
        shown = "  ".join(f"{title} {row[name]:.4f}" for title, name in zip(titles, PLACE_SCORES, strict=True))
        print(f"  {printable(str(row[by])):<30}{shown}  {row['patches']:,} patches")
    spread = mean_and_deviation(groups)
    shown = "  ".join(
        f"{title} {mean:.4f} ± {sd:.4f}" for title, (mean, sd) in zip(titles, spread.values(), strict=True)
    )
    print(f"  Mean ± standard deviation over {len(groups)} {by}s: {shown}")


def _score(value: float | None, interval: Interval | None) -> str:
    """Show a score and its interval in columns."""
    shown = "–" if value is None else f"{value:.4f}"
    between = f"{interval.low:.3f}–{interval.high:.3f}" if interval and not isnan(interval.low) else ""
    return f"{shown:<8}{between:<13}"
