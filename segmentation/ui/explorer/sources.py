"""What is looked at: a scene or patch of the data set, or an upload."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from segmentation.data.patches import grid, patch_name
from segmentation.data.protocols import PARTS, TEST, TRAIN, VALIDATION
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run
from segmentation.ui.explorer.model import Model
from segmentation.ui.loaders.predictions import no_model
from segmentation.ui.loaders.scenes import (
    Place,
    load_bands,
    load_fingerprint,
    load_patch,
    load_patch_bands,
    load_scene,
)
from segmentation.ui.shell.faults import warn_if_unknown
from segmentation.ui.shell.pages import DATASET, WHOLE
from segmentation.ui.shell.words import plain

RANDOM, UPLOAD, ORTHOPHOTO = "Random patches", "Upload", "Orthophoto"
"""What the explorer shows instead of the data set's scenes."""


@dataclass(frozen=True)
class Subject:
    """What is being looked at.

    Args:
        name: For captions and file names.
        image: (height, width, 3) uint8.
        mask: (height, width) uint8 class indices, void 255; None if there is no ground truth.
        remark: What to know about it, such as whether it was trained on.
        seen_by: Returns it as a run's network sees it, (height, width, bands) uint8.
        place: Where in the data set it is from; None for an upload.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    remark: str
    seen_by: Callable[[Run], np.ndarray]
    place: Place | None = None


def choose_source(dataset: Dataset | None) -> str:
    """Let the user choose between the data set, random patches of it, and an upload."""
    default = DATASET if dataset else UPLOAD
    return st.segmented_control(
        "Source",
        [DATASET, RANDOM, UPLOAD, ORTHOPHOTO],
        default=default,
        required=True,
        key="source",
        bind="query-params",
        help="A scene or patch of the data set, some held-out patches drawn at random, files of your own, or a GeoTIFF "
        "of any size.",
        label_visibility="collapsed",
    )


def choose_scene(dataset: Dataset | None, model: Model) -> Subject | None:
    """Let the user choose a scene, or one of its patches."""
    run = model.run
    if dataset is None:
        st.info("No data set is in use: choose one in the sidebar, or upload an image.")
        return None
    in_its_classes = run.in_its_classes(dataset)
    if in_its_classes is None:
        st.warning(
            f"{plain(run.name)} was trained on other classes than this data set has: choose a run trained on it, or "
            "upload an image.",
            icon=":material/palette:",
        )
        return None
    left, right = st.columns(2)
    names = [scene.name for scene in dataset.scenes]
    warn_if_unknown("scene", "scene", names)
    name = left.selectbox("Scene", names, key="scene", bind="query-params", help="Type to search.")
    size = run.patch_size
    scene = in_its_classes.scene(name)
    image, mask = load_scene(scene, model.palette, dataset.stretch_for(run.stretch))
    height, width = mask.shape
    rows, columns = grid(height, width, size)
    places = {f"r{row:02d}c{column:02d}": (row, column) for row in range(rows) for column in range(columns)}
    place = right.selectbox(
        "Patch",
        [WHOLE, *places],
        key="patch",
        bind="query-params",
        help=f"One patch of {size} px, or all of the scene.",
    )
    if place == WHOLE:
        remark = _part_of(run, dataset, name, None)
        return Subject(
            name,
            image,
            mask,
            remark,
            lambda run: load_bands(scene, model.palette, dataset.stretch_for(run.stretch)),
            Place(name, (height, width)),
        )
    row, column = places[place]
    image, mask = load_patch(in_its_classes, name, row, column, size, run.stretch)
    patch = patch_name(name, row, column)
    return Subject(
        patch,
        image,
        mask,
        _part_of(run, dataset, name, patch),
        lambda run: load_patch_bands(in_its_classes, name, row, column, size, run.stretch),
        Place(name, (height, width), row * size, column * size),
    )


def _part_of(run: Run, dataset: Dataset, scene: str, patch: str | None) -> str:
    """Say whether a scene or patch was trained on: scores there say less."""
    if run.patches is None:
        return ""
    rows = run.patches[run.patches["scene"] == scene]
    if patch:
        rows = rows[rows["patch"] == patch]
    if rows.empty:
        return f"{run.name} was neither trained nor evaluated on it"
    if run.fingerprint != load_fingerprint(dataset):
        return f"{run.name} was trained and evaluated on other files, perhaps of another data set"
    if run.metrics and (run.metrics.model_of or (run.predictions and run.protocol == "all")):
        return f"{run.name} was scored on it, and as far as is known not trained"
    if run.protocol == "k-fold":
        return f"predicted by the training of {run.name} that left it out"
    counts = {part: int((rows["part"] == part).sum()) for part in PARTS}
    if patch:
        words = {TEST: "held out from {}", VALIDATION: "for validation of {}", TRAIN: "{} was trained on it"}
        return words[rows["part"].iloc[0]].format(run.name)
    if counts[TRAIN] == len(rows):
        return f"{run.name} was trained on all of its {len(rows)} patches"
    apart = f"{counts[TEST]} of its {len(rows)} patches were held out from {run.name}"
    validated = f", {counts[VALIDATION]} were for validation" if counts[VALIDATION] else ""
    return f"{apart}{validated}, the others trained on"


def say_no_model(model: Model) -> None:
    """Say that a run of predictions sees no upload."""
    st.info(plain(no_model(model.run)), icon=":material/model_training:")
