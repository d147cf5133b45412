"""The parts of the prediction explorer: what to look at, linked pictures, scores and downloads."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.data.images import png_bytes, read_image, read_mask_colors, read_size
from segmentation.data.palette import VOID
from segmentation.data.patches import class_counts, grid, patch_name
from segmentation.data.protocols import settle_void
from segmentation.data.raster import LARGE
from segmentation.data.scenes import Dataset, check_same_size, slug
from segmentation.errors import ImageFileError
from segmentation.inference.prediction import Prediction
from segmentation.runs.run import Run
from segmentation.tables import csv_text
from segmentation.ui.address import link
from segmentation.ui.figures import class_bars, confusion_figure
from segmentation.ui.layout import (
    DATASET,
    EXPLORER,
    SCORED,
    WHOLE,
    choose_mask_style,
    choose_opacity,
    code,
    drawn,
    in_classes,
    looking_at,
    one_sentence,
    other_runs,
    plain,
    say_other_files,
    say_unknown,
    score,
)
from segmentation.ui.loaders import load_fingerprint, load_patch, load_scene, predict, prepare_predictor
from segmentation.ui.pictures import error_map, fit, heat, in_a_row, nearest, outline, overlay, titled
from segmentation.ui.viewer import LONGEST, Pane, Reading, viewer

RANDOM, UPLOAD, ORTHOPHOTO = "Random patches", "Upload", "Orthophoto"
"""What the explorer shows instead of the data set's scenes."""

IMAGE, TRUTH, PREDICTION, ERRORS = "Image", "Ground truth", "Prediction", "Errors"
SECOND, DIFFERENCE = "Second run", "Where they differ"
CONFIDENCE, ENTROPY, PROBABILITY = "Confidence", "Entropy", "One class"

ALWAYS = (SECOND, DIFFERENCE)
"""Whoever chooses a second run wants to see it."""

EDGE = 3
"""Pixels up to so far from an edge between classes count as near it."""

UPLOAD_PIXELS = 64_000_000
"""Larger uploads are refused: what is predicted of each pixel takes twenty bytes."""

ASKED = "explorer_asked_for"
"""Session state: the large scene that is to be predicted, and how."""

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


def choose_scene(dataset: Dataset | None, run: Run) -> Subject | None:
    """Let the user choose a scene, or one of its patches."""
    if dataset is None:
        st.info("No data set is in use: choose one in the sidebar, or upload an image.")
        return None
    if dataset.palette != run.palette:
        st.warning(
            f"{plain(run.name)} knows other classes than this data set: choose a run trained on it, or upload an "
            "image.",
            icon=":material/palette:",
        )
        return None
    left, right = st.columns(2)
    names = [scene.name for scene in dataset.scenes]
    say_unknown("scene", "scene", names)
    name = left.selectbox("Scene", names, key="scene", bind="query-params", help="Type to search.")
    size = run.patch_size
    image, mask = load_scene(dataset.scene(name), dataset.palette, run.stretch or dataset.stretch)
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
        return Subject(name, image, mask, _part_of(run, dataset, name, None))
    row, column = places[place]
    image, mask = load_patch(dataset, name, row, column, size, run.stretch)
    patch = patch_name(name, row, column)
    return Subject(patch, image, mask, _part_of(run, dataset, name, patch))


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
                    st.caption(f"In use: {plain(kept[role][0])}")
                    if st.button("Forget it", key=f"forget-{role}", type="tertiary"):
                        del kept[role]
                        st.rerun()
    if "image" not in kept:
        st.info("Upload an aerial image to see what the model makes of it.", icon=":material/upload:")
        prepare_predictor(run.model)
        return None
    name, content = kept["image"]
    height, width = read_size(content, name)
    if height * width > UPLOAD_PIXELS:
        raise ImageFileError(
            f"{name} has {width:,} × {height:,} pixels, more than the {UPLOAD_PIXELS:,} that this page predicts: cut "
            "it, or use python -m segmentation predict."
        )
    image = read_image(content, name, run.stretch)
    mask = None
    if "mask" in kept:
        # A mask that does not fit is no reason to withhold the prediction.
        with one_sentence():
            mask = _read_uploaded_mask(run, image, name)
    return Subject(name, image, mask, "")


def _read_uploaded_mask(run: Run, image: np.ndarray, image_name: str) -> np.ndarray:
    mask_name, content = st.session_state[UPLOADS]["mask"]
    check_same_size(image.shape[:2], read_size(content, mask_name, orient=False), image_name, mask_name)
    drawn_mask = read_mask_colors(content, mask_name)
    strays, nearest = drawn_mask.strays(run.palette), False
    if strays.colors:
        with st.container(horizontal=True, vertical_alignment="center"):
            place = st.container()
            nearest = st.toggle(
                "Nearest colours",
                key="nearest",
                bind="query-params",
                help="Give each such pixel the class of the nearest colour; black stays No class, if it is no class's.",
            )
    mask = drawn_mask.encode(run.palette, nearest)
    if drawn_mask.transparent_pixels:
        st.warning(
            f"{100 * drawn_mask.transparent_pixels / mask.size:.2f} % of the pixels of {plain(mask_name)} are "
            "transparent and count as void: fill them with their class's colour if they belong to one.",
            icon=":material/opacity:",
        )
    if (mask == VOID).all():
        raise ImageFileError(
            f"No pixel of {mask_name} has a colour of the legend: export it in these colours or choose another run."
        )
    if strays.colors:
        became = "took the nearest, right or wrong" if nearest else "count as void"
        advice = (
            "JPEG and smoothed edges smear colours, so save masks as PNG without smoothing"
            if strays.smeared
            else "export the mask in these colours"
        )
        place.warning(
            f"{100 * strays.share:.2f} % of the pixels of {plain(mask_name)} have no colour of the legend and "
            f"{became}: {advice}.",
            icon=":material/blur_on:",
        )
    return mask


@dataclass(frozen=True)
class View:
    """How the pictures are to be drawn, as the sidebar says.

    Args:
        opacity: How much a mask covers of the image, 0–1.
        outlined: Draw the classes' borders only.
        classes: The class indices to draw; None for all.
        least_confidence: Below it, a prediction is drawn as void.
        tta: Predict with test-time augmentation.
        overlap: What a window has in common with the next, as a share of a patch's side.
        second: Another run to compare with.
    """

    opacity: float
    outlined: bool
    classes: list[int] | None
    least_confidence: float
    tta: bool
    overlap: float
    second: Run | None


def choose_view(run: Run) -> View:
    """Draw the sidebar's last part."""
    sidebar = st.sidebar
    sidebar.subheader("View", anchor=False)
    others = other_runs(run, lambda other: other.model is not None)
    second = sidebar.selectbox(
        "Compare with",
        list(others),
        index=None,
        key="with",
        bind="query-params",
        placeholder="No other run",
        help="A second run on the same picture, and where the two differ.",
    )
    with sidebar:
        opacity = choose_opacity(100)
        outlined, classes = choose_mask_style(run.palette)
    least = sidebar.slider(
        "Least confidence, %",
        0,
        100,
        0,
        step=5,
        key="least",
        bind="query-params",
        help="Pixels that the model is less sure of are drawn as No class. Scores do not change.",
    )
    with sidebar:
        tta, overlap = choose_windows()
    return View(
        opacity,
        outlined,
        classes,
        least / 100,
        tta,
        overlap,
        others.get(second),
    )


def choose_windows() -> tuple[bool, float]:
    """Let the user choose how to predict: with test-time augmentation or not, and how far windows overlap."""
    tta = st.toggle(
        "Test-time augmentation",
        key="tta",
        bind="query-params",
        help="Predict the eight flips and rotations of every patch and average them: often better, eight times slower.",
    )
    overlap = st.select_slider(
        "Window overlap, %",
        [0, 25, 50],
        25,
        key="overlap",
        bind="query-params",
        help="Share of a patch's side. With 0 a large picture is cut into patches as in the article. Otherwise it is "
        "seen through windows twice as wide; where they overlap, predictions are averaged, so that no seams show. "
        "50 takes about twice as long.",
    )
    return tta, overlap / 100


def compare(subject: Subject, run: Run, view: View) -> None:
    """Show the pictures linked with one another, the scores, and the downloads."""
    height, width = subject.image.shape[:2]
    st.caption(" · ".join(filter(None, [f"{plain(subject.name)}, {width:,} × {height:,} px", plain(subject.remark)])))

    truth = None if subject.mask is None else settle_void(subject.mask, run.protocol, run.palette)
    # No larger than they are shown: of a large scene each picture in full would take a gigabyte.
    rows, columns = nearest(height, width, LONGEST)
    image = fit(subject.image, LONGEST, smooth=True)
    classes = None if truth is None else truth[np.ix_(rows, columns)]
    if height * width > LARGE and not _is_asked_for(subject, run, view):
        panes = [Pane(IMAGE, image, smooth=True)]
        if classes is not None:
            panes.append(Pane(TRUTH, overlay(image, classes, drawn(run.palette), view.opacity), view.opacity < 1))
        viewer(subject.name, panes, [], key="viewer", size=(height, width))
        return
    prediction = predict(run.model, subject.image, view.tta, view.overlap)
    second = predict(view.second.model, subject.image, view.tta, view.overlap) if view.second else None
    small, small_second = prediction.at(rows, columns), second and second.at(rows, columns)

    pictures = _pictures(image, classes, small, small_second, run, view)
    shown, wipe = _choose_pictures(pictures)
    panes = [pictures[name]() for name in shown]
    readings = [Reading(PREDICTION, small.classes, run.palette)]
    if classes is not None:
        readings.insert(0, Reading(TRUTH, classes, run.palette))
    if second:
        readings.append(Reading(view.second.name, small_second.classes, run.palette))
    readings.append(Reading(CONFIDENCE, (small.confidence.astype(np.float32) * 255).astype(np.uint8)))
    viewer(subject.name, panes, readings, key="viewer", wipe=wipe, size=(height, width))

    predictions = {run.name: prediction} | ({view.second.name: second} if second else {})
    table = _show_shares(predictions, run) if truth is None else _show_scores(subject.mask, truth, predictions, run)
    _downloads(subject, panes, prediction, table, run)


def _is_asked_for(subject: Subject, run: Run, view: View) -> bool:
    """Offer to predict a large scene, which takes long; tell whether that was asked for, now or earlier."""
    wanted = (subject.name, run.name, view.second and view.second.name, view.tta, view.overlap)
    if st.session_state.get(ASKED) == wanted:
        # A click on it ends this run of the page at the next step of the bar.
        if not st.button("Show it without prediction", icon=":material/cancel:", key="cancel-scene", type="tertiary"):
            return True
        del st.session_state[ASKED]
        st.rerun()
    megapixels = subject.image.shape[0] * subject.image.shape[1] / 1e6
    st.info(
        f"This picture has {megapixels:.0f} megapixels and takes a while; a single patch of a scene is there at once.",
        icon=":material/hourglass_empty:",
    )
    if st.button("Run prediction", type="primary", icon=":material/play_circle:", key="predict-scene"):
        st.session_state[ASKED] = wanted
        st.rerun()
    return False


def _pictures(
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: Prediction,
    second: Prediction | None,
    run: Run,
    view: View,
) -> dict[str, Callable[[], Pane]]:
    """Return what draws each picture that can be had, by its name in the choice."""
    palette, colors = run.palette, drawn(run.palette)

    def masked(title: str, classes: np.ndarray) -> Pane:
        if view.outlined:
            return Pane(title, outline(image, classes, colors, view.classes), smooth=True)
        # Half laid over is a photograph; the bare mask must keep hard edges.
        return Pane(title, overlay(image, classes, colors, view.opacity, view.classes), smooth=view.opacity < 1)

    def predicted(name: str, of: Prediction) -> Pane:
        return masked(
            f"Prediction of {name}", np.where(of.confidence >= view.least_confidence, of.classes, np.uint8(VOID))
        )

    def one_class() -> Pane:
        name = st.selectbox(
            "Probability of", palette.names, key="probability", bind="query-params", help="The class to draw."
        )
        probability = prediction.probabilities[..., palette.names.index(name)]
        return Pane(f"Probability of {name}: blue 0, yellow 1", heat(probability))

    pictures = {IMAGE: lambda: Pane(IMAGE, image, smooth=True)}
    if truth is not None:
        pictures[TRUTH] = lambda: masked(TRUTH, truth)
    pictures[PREDICTION] = lambda: predicted(run.name, prediction)
    if second:
        pictures[SECOND] = lambda: predicted(view.second.name, second)
        pictures[DIFFERENCE] = lambda: Pane(
            f"Where {view.second.name} differs: what it says",
            error_map(image, prediction.classes, second.classes, colors),
        )
    if truth is not None:
        pictures[ERRORS] = lambda: Pane(
            f"Errors of {run.name}: what wrong pixels were taken for",
            error_map(image, truth, prediction.classes, colors),
        )
    pictures[CONFIDENCE] = lambda: Pane("Confidence: blue 0, yellow 1", heat(prediction.confidence))
    if prediction.probabilities is not None:
        pictures[ENTROPY] = lambda: Pane("Entropy: blue certain, yellow uncertain", heat(prediction.entropy))
        pictures[PROBABILITY] = one_class
    return pictures


def _choose_pictures(pictures: dict[str, Callable[[], Pane]]) -> tuple[list[str], bool]:
    """Let the user choose which pictures to see; return their names and whether to wipe between two of them."""
    names = list(pictures)
    if st.sidebar.toggle(
        "Wipe", key="wipe", bind="query-params", help="Two pictures in one place, with a slider between them."
    ):
        left, right = st.columns(2)
        compared = [name for name in (PREDICTION, SECOND if SECOND in names else TRUTH, IMAGE) if name in names]
        one = left.selectbox("Left of the slider", names, names.index(compared[1]), key="left", bind="query-params")
        other = right.selectbox("Right of the slider", names, names.index(PREDICTION), key="right", bind="query-params")
        return [one, other], True
    chosen = st.pills(
        "Pictures",
        [IMAGE, TRUTH, PREDICTION, ERRORS, CONFIDENCE, ENTROPY, PROBABILITY],
        selection_mode="multi",
        default=[IMAGE, TRUTH, PREDICTION],
        key="show",
        bind="query-params",
        help="What to see; ground truth and errors need a mask. The cursor reads classes and confidence in all.",
    )
    return [name for name in names if name in chosen or name in ALWAYS] or [IMAGE], False


def _show_scores(mask: np.ndarray, truth: np.ndarray, predictions: dict[str, Prediction], run: Run) -> pd.DataFrame:
    """Show what the confusion matrix of each prediction says; return the scores by class.

    Args:
        mask: (height, width) uint8 class indices, void 255.
        truth: The same with void as the run's protocol counts it.
        predictions: By the run's name.
        run: The run in use.
    """
    palette = run.palette
    table = pd.DataFrame({"class": palette.names})
    matrices = {}
    for name, prediction in predictions.items():
        matrix, at_edges = scores.picture_matrices(truth, prediction.classes, len(palette), EDGE)
        matrices[name] = matrix
        by_class = scores.iou(matrix)
        counted = int(np.isfinite(by_class).sum())
        if len(predictions) > 1:
            st.markdown(f"**{plain(name)}**")
        figures = st.grid(3, min_column_width=190)
        figures.metric(
            "Accuracy", score(float(scores.accuracy(matrix))), help=f"Share of scored pixels that are right. {SCORED}"
        )
        figures.metric(
            "Mean IoU",
            score(float(scores.mean_iou(matrix))),
            help=f"Mean over the {counted} classes in mask or prediction.",
        )
        if palette.unlabeled is not None:
            without = scores.mean_iou(matrix, without=palette.unlabeled)
            figures.metric(
                f"Mean IoU without {plain(palette.names[palette.unlabeled])}",
                score(float(without)),
                help="Mean over the other classes in mask or prediction.",
            )
        figures.metric(
            "Accuracy at edges",
            score(float(scores.accuracy(at_edges))),
            help=f"Of the {at_edges.sum():,} scored pixels up to {EDGE} px from an edge between two classes.",
        )
        figures.metric(
            "Confidence",
            score(float(prediction.confidence.mean(dtype=np.float64))),
            help="Mean probability of the class shown.",
        )
        figures.metric(
            "Labelled pixels",
            f"{(mask != VOID).sum():,}",
            help=f"Pixels of the mask that have a class; {matrix.sum():,} are scored. {SCORED}",
        )
        of = f" of {name}" if len(predictions) > 1 else ""
        table[f"IoU{of}"] = by_class
        table[f"pixels predicted{of}"] = matrix.sum(0)
        table[f"pixels in both{of}"] = np.diagonal(matrix)
    table.insert(1, "pixels in the mask", matrix.sum(1))
    void = (
        "void counts as Unlabeled" if run.protocol == "patch" and palette.unlabeled is not None else "void is left out"
    )
    st.caption(f"Mean IoU over the classes that occur in the mask or in the prediction; {void}.")
    halves = st.grid(2, min_column_width=400, gap="medium")
    first = scores.iou(matrices[run.name])
    halves.plotly_chart(
        class_bars(first, drawn(palette), f"IoU of {run.name}", share=False),
        key="iou-bars",
        config={"displayModeBar": False},
    )
    halves.dataframe(
        table,
        hide_index=True,
        key="iou-table",
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(format="%.3f" if name.startswith("IoU") else "localized")
            for name in table.columns[1:]
        },
    )
    # Charts that nobody sees are not drawn: each costs the browser a twentieth of a second.
    more = st.expander("Confusion matrix", key="matrix", bind="query-params", icon=":material/grid_on:")
    if more.open:
        charts = more.grid(2, min_column_width=380, gap="medium")
        for name, matrix in matrices.items():
            with charts.cell():
                st.markdown(f"**{plain(name)}**")
                st.plotly_chart(confusion_figure(matrix, palette), key=f"confusion-{name}")
    return table


def _show_shares(predictions: dict[str, Prediction], run: Run) -> pd.DataFrame:
    """Without a mask: how the classes share the picture, as predicted; return that as a table."""
    table = pd.DataFrame({"class": run.palette.names})
    charts = st.grid(2, min_column_width=400, gap="large")
    for name, prediction in predictions.items():
        counts = class_counts(prediction.classes[None], len(run.palette))[0, : len(run.palette)]
        with charts.cell():
            st.metric(
                f"Confidence of {plain(name)}" if len(predictions) > 1 else "Confidence",
                score(float(prediction.confidence.mean(dtype=np.float64))),
                help="Mean probability of the class shown.",
            )
            st.plotly_chart(
                class_bars(
                    counts / prediction.classes.size,
                    drawn(run.palette),
                    "Share of the picture, predicted, %",
                    share=True,
                ),
                key=f"share-bars-{name}",
                config={"displayModeBar": False},
            )
        table[f"pixels predicted by {name}"] = counts
    st.caption("Upload a mask to get scores.")
    return table


def _downloads(subject: Subject, panes: list[Pane], prediction: Prediction, table: pd.DataFrame, run: Run) -> None:
    """Offer the prediction as colours, class indices and probabilities, the table, and all pictures in one."""
    stem = slug(subject.name.rsplit(".", 1)[0]).replace("/", "-")[:100]  # with its ending still a file's name

    def probabilities() -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, probabilities=prediction.probabilities, classes=np.array(run.palette.names))
        return buffer.getvalue()

    # What takes long to pack is packed when it is asked for.
    offers = (
        (
            "Coloured mask",
            f"{stem}-colours.png",
            "image/png",
            lambda: png_bytes(run.palette.decode(prediction.classes)),
            "PNG in the legend's colours.",
        ),
        (
            "Index mask",
            f"{stem}-indices.png",
            "image/png",
            lambda: png_bytes(prediction.classes),
            "PNG of one byte a pixel: the class index.",
        ),
        (
            "Probabilities",
            f"{stem}-probabilities.npz",
            "application/octet-stream",
            probabilities,
            "NumPy archive: probabilities (height, width, classes) in half precision, and the classes' names.",
        ),
        (
            "Scores" if subject.mask is not None else "Shares",
            f"{stem}-scores.csv",
            "text/csv",
            lambda: csv_text(table),
            "A row a class.",
        ),
        (
            "All in one picture",
            f"{stem}-report.png",
            "image/png",
            lambda: png_bytes(titled([(pane.title, pane.pixels) for pane in panes], drawn(run.palette))),
            "PNG of the pictures in sight, with titles and legend.",
        ),
    )
    with st.container(horizontal=True):
        for label, name, kind, content, note in offers:
            if content is probabilities and prediction.probabilities is None:
                continue
            st.download_button(
                label,
                content,
                name,
                kind,
                key=f"download-{label}",
                icon=":material/download:",
                help=note,
                on_click="ignore",
            )


def random_patches(dataset: Dataset | None, run: Run) -> None:
    """Show held-out patches drawn at random, each as image, ground truth and prediction, as the article's figure 8."""
    if dataset is None or run.patches is None or dataset.palette != run.palette:
        st.info("Random patches need a data set of the run's classes and an evaluated run: choose them in the sidebar.")
        return
    known = {scene.name for scene in dataset.scenes}
    table = run.patches[(run.patches["part"] == "test") & run.patches["scene"].isin(known)]
    if table.empty:
        st.info(f"{plain(run.name)} held none of this data set's patches out: choose another data set or run.")
        return
    say_other_files(run, dataset, "it may have been trained on some of these patches")
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    count = left.slider(
        "Patches", 1, min(24, len(table)), min(6, len(table)), key="n", bind="query-params", help="How many to draw."
    )
    if "reshuffled" in st.session_state:  # a widget's value can only be set before it is drawn
        st.session_state["seed"] = st.session_state.pop("reshuffled")
    seed = middle.number_input(
        "Seed", 0, 2**31 - 1, 0, key="seed", bind="query-params", help="The same seed draws the same patches."
    )
    if right.button("Reshuffle", icon=":material/shuffle:", width="stretch", help="Draw with the next seed."):
        st.session_state["reshuffled"] = seed + 1
        st.rerun()
    chosen = table.iloc[np.random.default_rng(seed).permutation(len(table))[:count]]
    st.caption(
        f"{count} of {len(table):,} held-out patches, seed {seed}: image, ground truth and prediction of "
        f"{plain(run.name)}."
    )
    cards = st.grid(2, min_column_width=400)
    for row in chosen.itertuples():
        with cards, st.container(border=True), one_sentence(ImageFileError):  # without a model there is no card at all
            image, mask = load_patch(dataset, row.scene, row.row, row.column, run.patch_size, run.stretch)
            truth = settle_void(mask, run.protocol, run.palette)
            predicted = predict(run.model, image).classes
            matrix = scores.confusion_matrices(truth[None], predicted[None], len(run.palette))[0]
            pictures = [image, *(drawn(run.palette).decode(classes) for classes in (truth, predicted))]
            with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(code(row.patch))
                st.page_link(
                    EXPLORER,
                    label="Explore",
                    icon=":material/compare:",
                    help="Open it by itself.",
                    query_params=link(looking_at(row.scene, row.patch.rsplit("/", 1)[1])),
                )
            with st.container(key=f"pixels-{row.patch}"):
                alt = f"Patch {row.patch}: image, ground truth and prediction"
                st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG", alt=alt)
            # Not the run's own table: its files may be others than these.
            mean_iou, accuracy = score(float(scores.mean_iou(matrix))), score(float(scores.accuracy(matrix)))
            counted = in_classes(np.isfinite(scores.iou(matrix)).sum())
            st.caption(f"Mean IoU {mean_iou} of {counted} · accuracy {accuracy}")
