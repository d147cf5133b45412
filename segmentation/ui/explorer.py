"""The parts of the prediction explorer: what to look at, the pictures side by side, scores and downloads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes, read_image, read_mask
from segmentation.data.palette import VOID
from segmentation.data.patches import grid, patch_name
from segmentation.data.protocols import settle_void
from segmentation.data.scenes import Dataset, check_same_size, slug
from segmentation.errors import ImageFileError
from segmentation.evaluation import scores
from segmentation.inference.prediction import Prediction
from segmentation.runs.folder import Run
from segmentation.ui.figures import class_bars
from segmentation.ui.layout import one_sentence, score
from segmentation.ui.loaders import load_patch, load_scene, predict
from segmentation.ui.pictures import fit

DATASET, UPLOAD = "Data set", "Upload"

WHOLE = "Whole scene"

UPLOADS = "explorer_uploads"
"""Session state: (file name, bytes) by role, since an uploader forgets its file on a change of page."""


@dataclass(frozen=True)
class Subject:
    """What is being looked at.

    Args:
        name: For captions and file names.
        image: (height, width, 3) uint8.
        mask: (height, width) uint8 class indices, void 255; None if there is no ground truth.
        remark: What to know about it, such as whether it was trained on.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    remark: str


def choose_source(dataset: Dataset | None) -> str:
    """Let the user choose between the data set and an upload."""
    return st.segmented_control(
        "Source",
        [DATASET, UPLOAD],
        default=DATASET if dataset else UPLOAD,
        required=True,
        key="source",
        bind="query-params",
        help="A scene or patch of the data set, or files of your own.",
        label_visibility="collapsed",
    )


def choose_scene(dataset: Dataset | None, run: Run) -> Subject | None:
    """Let the user choose a scene, or one of its patches."""
    if dataset is None:
        st.info("No data set is in use: choose one in the sidebar, or upload an image.")
        return None
    if dataset.palette != run.palette:
        st.warning(
            f"{run.name} knows other classes than this data set: choose a run trained on it, or upload an image.",
            icon=":material/palette:",
        )
        return None
    left, right = st.columns(2)
    name = left.selectbox(
        "Scene", [scene.name for scene in dataset.scenes], key="scene", bind="query-params", help="Type to search."
    )
    size = run.patch_size
    image, mask = load_scene(dataset.scene(name), dataset.palette)
    rows, columns = grid(*mask.shape, size)
    places = {f"r{row:02d}c{column:02d}": (row, column) for row in range(rows) for column in range(columns)}
    place = right.selectbox(
        "Patch",
        [WHOLE, *places],
        key="patch",
        bind="query-params",
        help=f"One patch of {size} px, or all of the scene.",
    )
    if place == WHOLE:
        return Subject(name, image, mask, _part_of(run, name, None))
    row, column = places[place]
    image, mask = load_patch(dataset, name, row, column, size)
    return Subject(patch_name(name, row, column), image, mask, _part_of(run, name, patch_name(name, row, column)))


def _part_of(run: Run, scene: str, patch: str | None) -> str:
    """Say whether a scene or patch was trained on: scores there say less."""
    if run.patches is None:
        return ""
    rows = run.patches[run.patches["scene"] == scene]
    if patch:
        rows = rows[rows["patch"] == patch]
    if rows.empty:
        return f"{run.name} was neither trained nor evaluated on it"
    held_out = int((rows["part"] == "test").sum())
    if patch:
        return f"held out from {run.name}" if held_out else f"{run.name} was trained on it"
    if not held_out:
        return f"{run.name} was trained on all of its {len(rows)} patches"
    return f"{held_out} of its {len(rows)} patches were held out from {run.name}, the others trained on"


def choose_upload(run: Run) -> Subject | None:
    """Let the user upload an image, and its mask if there is one."""
    kept = st.session_state.setdefault(UPLOADS, {})
    for column, role, title, note in zip(
        st.columns(2),
        ("image", "mask"),
        ("Aerial image", "Mask (optional)"),
        ("JPEG, PNG, TIFF, BMP or WebP, of any size.", "Colours as in the legend, in the image's size: gives scores."),
        strict=True,
    ):
        with column:
            upload = st.file_uploader(
                title, type=["jpg", "jpeg", "png", "tif", "tiff", "bmp", "webp"], key=f"upload-{role}", help=note
            )
            if upload:
                kept[role] = (upload.name, upload.getvalue())
            elif role in kept:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.caption(f"In use: {kept[role][0]}")
                    if st.button("Forget it", key=f"forget-{role}", type="tertiary"):
                        del kept[role]
                        st.rerun()
    if "image" not in kept:
        st.info("Upload an aerial image to see what the model makes of it.", icon=":material/upload:")
        return None
    name, content = kept["image"]
    image = read_image(content, name)
    mask = None
    if "mask" in kept:
        # A mask that does not fit is no reason to withhold the prediction.
        with one_sentence():
            mask = _read_uploaded_mask(run, image, name)
    return Subject(name, image, mask, "")


def _read_uploaded_mask(run: Run, image: np.ndarray, image_name: str) -> np.ndarray:
    mask_name, content = st.session_state[UPLOADS]["mask"]
    mask = read_mask(content, run.palette, mask_name)
    check_same_size(image, mask, image_name, mask_name)
    if (mask == VOID).all():
        raise ImageFileError(
            f"No pixel of {mask_name} has a colour of the legend: export it in these colours or choose another run."
        )
    return mask


def compare(subject: Subject, run: Run) -> None:
    """Show image, ground truth and prediction side by side, the scores, and the downloads."""
    prediction = predict(run.model, subject.image)
    protocol = run.protocol
    truth = None if subject.mask is None else settle_void(subject.mask, protocol, run.palette)
    palette = run.palette
    height, width = subject.image.shape[:2]
    st.caption(" · ".join(filter(None, [f"{subject.name}, {height:,} × {width:,} px", subject.remark])))

    pictures = [("Image", fit(subject.image, smooth=True))]
    if truth is not None:
        pictures.append(("Ground truth", fit(palette.decode(truth))))
    pictures.append((f"Prediction of {run.name}", fit(palette.decode(prediction.classes))))
    with st.container(key="pixels-comparison"):
        for column, (caption, picture) in zip(st.columns(len(pictures)), pictures, strict=True):
            column.image(png_bytes(picture), caption=caption, width="stretch", output_format="PNG")

    if truth is None:
        _show_shares(prediction, run)
    else:
        _show_scores(subject, truth, prediction, run, protocol)
    _downloads(subject, prediction, run)


def _show_scores(subject: Subject, truth: np.ndarray, prediction: Prediction, run: Run, protocol: str) -> None:
    """Show what the confusion matrix of this picture says."""
    palette = run.palette
    matrix = scores.confusion_matrices(truth[None], prediction.classes[None], len(palette))[0]
    by_class = scores.iou(matrix)
    counted = int(np.isfinite(by_class).sum())
    figures = st.grid(4, min_column_width=120)
    figures.metric("Accuracy", score(float(scores.accuracy(matrix))), help="Share of labelled pixels that are right.")
    figures.metric(
        "Mean IoU",
        score(float(scores.mean_iou(matrix))),
        help=f"Mean over the {counted} classes in mask or prediction.",
    )
    figures.metric(
        "Confidence", score(float(prediction.confidence.mean())), help="Mean probability of the class shown."
    )
    figures.metric("Labelled pixels", f"{matrix.sum():,}")
    void = "void counts as Unlabeled" if protocol == "patch" and palette.unlabeled is not None else "void is left out"
    st.caption(f"Mean IoU over the {counted} classes that occur in the mask or in the prediction; {void}.")
    table = pd.DataFrame(
        {
            "class": palette.names,
            "IoU": by_class,
            "pixels in the mask": matrix.sum(1),
            "pixels predicted": matrix.sum(0),
            "pixels in both": np.diagonal(matrix),
        }
    )
    halves = st.grid(2, min_column_width=400, gap="medium")
    halves.plotly_chart(
        class_bars(by_class, palette, "IoU", share=False), key="iou-bars", config={"displayModeBar": False}
    )
    halves.dataframe(
        table,
        hide_index=True,
        key="iou-table",
        placeholder="–",
        column_config={
            "IoU": st.column_config.NumberColumn(format="%.3f"),
            **{c: st.column_config.NumberColumn(format="localized") for c in table.columns[2:]},
        },
    )
    st.session_state["explorer_scores"] = table.to_csv(index=False)


def _show_shares(prediction: Prediction, run: Run) -> None:
    """Without a mask: how the classes share the picture, as predicted."""
    counts = np.bincount(prediction.classes.ravel(), minlength=len(run.palette))
    left, right = st.columns([3, 1], gap="large")
    left.plotly_chart(
        class_bars(counts / prediction.classes.size, run.palette, "Share of the picture, predicted, %", share=True),
        key="share-bars",
        config={"displayModeBar": False},
    )
    right.metric("Confidence", score(float(prediction.confidence.mean())), help="Mean probability of the class shown.")
    right.caption("Upload a mask to get scores.")
    st.session_state.pop("explorer_scores", None)


def _downloads(subject: Subject, prediction: Prediction, run: Run) -> None:
    """Offer the prediction as colours and as class indices, and the scores."""
    stem = slug(subject.name.rsplit(".", 1)[0]).replace("/", "-")
    with st.container(horizontal=True):
        for label, suffix, pixels, note in (
            ("Coloured mask", "colours", run.palette.decode(prediction.classes), "PNG in the legend's colours."),
            ("Index mask", "indices", prediction.classes, "PNG of one byte a pixel: the class index."),
        ):
            st.download_button(
                label,
                png_bytes(pixels),
                f"{stem}-{suffix}.png",
                "image/png",
                key=f"download-{suffix}",
                icon=":material/download:",
                help=note,
                on_click="ignore",
            )
        if "explorer_scores" in st.session_state:
            st.download_button(
                "Scores",
                st.session_state["explorer_scores"],
                f"{stem}-scores.csv",
                "text/csv",
                key="download-scores",
                icon=":material/download:",
                on_click="ignore",
            )
