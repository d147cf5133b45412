"""A model from elsewhere as a run: its adapter found out, and the model scored on a data set."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from segmentation.data.class_mapping import in_classes_of, match_classes
from segmentation.data.classes import distinct_colors
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import PATCH_SIZE, Patches, Progress, load_patches
from segmentation.data.protocols import TEST, Fold, Protocol, assign_parts
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.evaluation.evaluate import evaluate, record_of
from segmentation.files import scratch_folder, write_json, writing
from segmentation.inference.foreign.adapter import write_adapter
from segmentation.inference.foreign.computing import patch_size_for
from segmentation.inference.foreign.files import sha256_of_model, store_model, stored_name, unusable
from segmentation.inference.foreign.finding import Finding, find_shape, find_values
from segmentation.inference.foreign.opened import Opened, open_model
from segmentation.inference.predictor import Predictor
from segmentation.runs.records import DatasetRecord, RunConfig
from segmentation.runs.run import ADAPTER, CONFIG, Run, write_scores, write_status


def add_model(
    folder: Path,
    file: Path,
    dataset: Dataset,
    settings: Mapping[str, Any] | None = None,
    protocol: Protocol = "all",
    held_out_tile: str | None = None,
    patch_size: int = PATCH_SIZE,
    progress: Progress | None = None,
    tell: Callable[[str], None] = print,
) -> Run:
    """Make a run of a model from elsewhere: copy it, find out how it is applied, and score it.

    Args:
        folder: The new run's folder.
        file: An ONNX or Keras file, or the folder of a SavedModel. A file of more than 2 GB stays where it is.
        dataset: What it is scored on, and what its adapter is found by.
        settings: What of the adapter is given by hand, as `read_settings` returns it.
        protocol: What of that is scored; by default all.
        held_out_tile: The tile to score under the tile protocol.
        patch_size: Side of the patches that are scored, in pixels, unless the model takes one square size only.
        progress: Called with (done, total) while patches are read and predicted.
        tell: Called with a sentence for what was found out, and for what of the data set is left out.

    Returns:
        The run, scored.

    Raises:
        RunError: If the run exists, the file cannot be used, or gives other classes than the data set has.
        BackendError: If a Keras file is to be opened, and Keras cannot be loaded.
        ConfigurationError: If a setting or the protocol does not suit the model or the data set.
        StorageError: If the run cannot be written.
    """
    if folder.exists():
        raise RunError(f"There is a run {folder.name} already: choose another name.")
    settings = settings or {}
    with writing(folder), scratch_folder(folder.parent) as scratch:
        made = scratch / folder.name
        made.mkdir()
        palette = palette_of_model(file, dataset.palette, settings)
        patches = _write_model(made, file, dataset, palette, protocol, settings, patch_size, progress, tell)
        parts = assign_parts(patches.table, protocol, held_out_tile, two_parts=True)
        for remark in patches.remarks(dataset, protocol):
            tell(remark)
        record = record_of(dataset, dataset.fingerprint(), patches, parts == TEST)
        _write_config(made, palette, patches.masks.shape[1], DatasetRecord(stretch=dataset.stretch))
        fold = Fold.of(parts, protocol)
        metrics, table = evaluate(Predictor(made / ADAPTER), patches, fold, palette, progress)
        write_scores(made, replace(metrics, dataset=record), table)
        write_status(made, "finished")
        made.rename(folder)
    return Run(folder)


def palette_of_model(file: Path, palette: Palette, settings: Mapping[str, Any]) -> Palette:
    """Return a model's classes: the data set's, unless they are named, with the data set's colours where it has them.

    Args:
        file: The model's.
        palette: The data set's classes.
        settings: What of the adapter is given by hand.

    Raises:
        RunError: If none of those named is a class of the data set.
    """
    names = settings.get("classes", palette.names)
    if names == palette.names:
        return palette
    free = (color for color in distinct_colors(len(palette) + len(names)) if color not in palette.colors)
    drawn = [next(free) for _ in names]
    places = match_classes(palette, Palette(names, tuple(drawn)))
    if set(places) == {VOID}:
        others = ", ".join(palette.names)
        raise unusable(file, f"none of its classes {', '.join(names)} is one of the data set's: {others}")
    for color, place in zip(palette.colors, places, strict=True):
        if place != VOID:
            drawn[place] = color
    return Palette(names, tuple(drawn))


def find_adapter(
    opened: Opened,
    dataset: Dataset,
    palette: Palette,
    settings: Mapping[str, Any],
    patch_size: int,
    load: Callable[[Dataset, int], Patches],
) -> tuple[Finding, Patches]:
    """Find out how a model is applied, and return the labelled patches that it was found by, too.

    Args:
        opened: The model.
        dataset: What it is to predict.
        palette: The model's classes.
        settings: What of the adapter is given by hand.
        patch_size: Side of the patches in pixels, unless the model takes one square size only.
        load: From scenes in the model's classes and the side of a patch to their patches, read with the stretch of
            `dataset`.

    Raises:
        RunError: If the model does not compute such images, or gives no map of the classes.
        ConfigurationError: If a setting contradicts the model, or the scenes give no labelled patch.
    """
    shape = find_shape(opened, dataset.channels, palette.names, settings)
    patches = load(in_classes_of(dataset, palette) or dataset, patch_size_for(shape.height, shape.width, patch_size))
    return find_values(opened, shape, patches, settings), patches


def _write_model(
    made: Path,
    file: Path,
    dataset: Dataset,
    palette: Palette,
    protocol: Protocol,
    settings: Mapping[str, Any],
    patch_size: int,
    progress: Progress | None,
    tell: Callable[[str], None],
) -> Patches:
    """Copy a model, find its adapter, write it, and say what was found; return the patches that it was found by."""
    try:
        stored = store_model(file, made)
        load = partial(load_patches, progress=progress, protocol=protocol, stretch=dataset.stretch)
        (adapter, remarks), patches = find_adapter(open_model(stored), dataset, palette, settings, patch_size, load)
    except RunError as error:  # by the name that the user knows it by
        raise RunError(str(error).replace(stored_name(file), file.name, 1)) from error
    where = stored.name if stored.parent == made else str(stored)
    adapter = replace(adapter, file=where, sha256=sha256_of_model(stored))
    write_adapter(adapter, made / ADAPTER)
    for remark in (f"{file.name}: {adapter.shape_words}", *remarks):
        tell(remark)
    return patches


def _write_config(made: Path, palette: Palette, patch_size: int, read: DatasetRecord) -> None:
    """Write config.json: what is known of a model that was trained elsewhere."""
    config = RunConfig(
        configuration={"patch_size": patch_size},
        dataset=read,
        palette=palette,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_json(made / CONFIG, config.to_dict())
