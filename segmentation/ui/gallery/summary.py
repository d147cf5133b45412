"""Whether there is anything to rank, and the run's scores in one line."""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation import scores
from segmentation.data.palette import Palette
from segmentation.data.protocols import DESCRIPTIONS
from segmentation.data.scenes import Dataset
from segmentation.intervals import UNKNOWN, Intervals
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run
from segmentation.ui.charts.classes import class_bars
from segmentation.ui.charts.evaluation import confusion_figure
from segmentation.ui.gallery.evaluated import EvaluatedRun, evaluate_command
from segmentation.ui.gallery.trust import show_trust
from segmentation.ui.loaders.intervals import load_intervals
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.run import say_other_files
from segmentation.ui.shell.words import FLATTERED, INTERVAL, SCORED, between, drawn_line, plain, protocol_line, score

BY_CLASS = {
    "IoU": "Pixels that are of the class and predicted as it, among those that are either.",
    "Precision": "How much of what is predicted as the class is right.",
    "Recall": "How much of the class is found.",
    "F1": "The harmonic mean of precision and recall: Dice's coefficient.",
    "Boundary IoU": "IoU over the pixels near the class's boundaries only: within 2 % of a patch's diagonal, its edges "
    "included (Cheng et al., 2021).",
    "True pixels": "Pixels of the class in the masks.",
    "Predicted pixels": "Pixels predicted as the class, where masks hold one.",
}
"""The table's columns of numbers, and what they are."""


FINE_GRAINED = (
    "Each patch counts alike, so that large objects do not outweigh small ones (Wang et al., 2023; images are patches "
    "here). mIoU^I: each patch's mean IoU over the classes that its mask holds, then the mean over patches. mIoU^C: "
    "each class's IoU in the patches whose masks hold it, its mean, then the mean over classes."
)

WORST_HELP = "Over the patches with the lowest scores alone; for mIoU^C each class has its own."


def check_evaluated(dataset: Dataset | None, run: Run | None) -> EvaluatedRun | None:
    """Return the run in use with its evaluation; None, after a sentence that says what is missing, if it has none."""
    if dataset is None or run is None:
        return None
    if run.patches is None or run.palette is None:
        st.info(
            f"{plain(run.name)} has not been evaluated: {evaluate_command(run)} ranks its patches.",
            icon=":material/query_stats:",
        )
        return None
    known = {scene.name for scene in dataset.scenes}
    in_its_classes = run.in_its_classes(dataset)
    if in_its_classes is None or not set(run.patches["scene"]) & known:
        st.warning(
            f"{plain(run.name)} was evaluated on {plain((run.dataset and run.dataset.name) or 'another data set')}, "
            "which is not the data set in use: choose that data set or another run in the sidebar.",
            icon=":material/swap_horiz:",
        )
        return None
    say_other_files(run, dataset, "pictures and scores may not belong together")
    return EvaluatedRun(run, in_its_classes, run.patches, run.palette)


def summary(evaluated: EvaluatedRun) -> None:
    """Show the scores of the held-out part and the confusion matrix they come from."""
    metrics, palette = evaluated.run.metrics, evaluated.palette
    if not metrics:
        return
    intervals = load_intervals(evaluated.run)
    by_name = intervals.by_name if intervals else {}
    figures = st.grid(4, min_column_width=200)
    for name in ("accuracy", "jaccard", "mean_iou", "mean_iou_without_unlabeled"):
        kind, value = Metrics.kinds[name], getattr(metrics, name)
        if value is not None or not evaluated.run.predictions:  # without probabilities there is no soft score
            spread = between(by_name.get(name))
            meaning = f"{kind.meaning} {SCORED}" + (f" {INTERVAL}" if spread else "")
            figures.metric(kind.heading, score(value), spread, "off", delta_arrow="off", help=meaning)
    st.caption(f"{protocol_line(metrics)} · {_scored(evaluated.run, metrics)} · {drawn_line(intervals)}")
    _show_findings(metrics)
    # Charts that nobody sees are not drawn: each costs the browser a twentieth of a second.
    more = st.expander(
        "IoU by class and confusion matrix", key="matrix", bind="query-params", icon=":material/grid_on:"
    )
    if more.open:
        halves = more.grid(2, min_column_width=380, gap="medium")
        by_class = [np.nan if value is None else value for value in metrics.iou.values()]
        of_classes = [intervals.iou.get(name, UNKNOWN) for name in metrics.iou] if intervals else None
        halves.plotly_chart(class_bars(by_class, display_palette(palette), "IoU", False, of_classes), key="class-iou")
        matrix = np.array(metrics.confusion_matrix)
        halves.plotly_chart(confusion_figure(matrix, palette), key="confusion")
        more.dataframe(
            _by_class(metrics, palette, intervals),
            hide_index=True,
            key="class-scores",
            column_config={
                name: st.column_config.NumberColumn(
                    name, help=text, format="localized" if name.endswith("pixels") else "%.3f"
                )
                for name, text in BY_CLASS.items()
            },
        )
        more.caption(
            f"Frequency-weighted IoU **{score(float(scores.frequency_weighted_iou(matrix)))}**: the classes' mean, by "
            f"their shares of the true pixels · Cohen's kappa **{score(float(scores.kappa(matrix)))}**: by how much "
            "accuracy exceeds that of chance, as a share of what it could"
        )
        _show_fine_grained(metrics, more)
    show_trust(evaluated.run, metrics)


def _show_fine_grained(metrics: Metrics, place: DeltaGenerator) -> None:
    """Show the scores near boundaries and patch by patch, if the run was evaluated since they are kept."""
    if metrics.mean_boundary_iou is not None:
        place.caption(
            f"Mean Boundary IoU **{score(metrics.mean_boundary_iou)}**: the classes' mean over the pixels near their "
            "boundaries, where masks are drawn roughly and models fail most"
        )
    if metrics.mean_iou_by_image is None:
        return
    place.dataframe(
        pd.DataFrame(
            {
                "mean": ["Mean over patches (mIoU^I)", "Mean over classes (mIoU^C)"],
                "All patches": [metrics.mean_iou_by_image, metrics.mean_iou_by_class],
                "Worst 10 %": [metrics.worst_10_by_image, metrics.worst_10_by_class],
                "Worst 5 %": [metrics.worst_5_by_image, metrics.worst_5_by_class],
            }
        ),
        hide_index=True,
        key="fine-grained",
        column_config={
            "mean": st.column_config.TextColumn("Fine-grained mean IoU", help=FINE_GRAINED),
            "All patches": st.column_config.NumberColumn(format="%.3f", help="Over all held-out patches."),
            "Worst 10 %": st.column_config.NumberColumn(format="%.3f", help=WORST_HELP),
            "Worst 5 %": st.column_config.NumberColumn(format="%.3f", help=WORST_HELP),
        },
    )


def _by_class(metrics: Metrics, palette: Palette, intervals: Intervals | None) -> pd.DataFrame:
    """Return a row for each class with its scores; NaN where one does not exist."""
    matrix = np.array(metrics.confusion_matrix)
    columns = {"IoU": scores.iou, "Precision": scores.precision, "Recall": scores.recall, "F1": scores.f1}
    table = pd.DataFrame({name: of(matrix) for name, of in columns.items()})
    table.insert(0, "Class", palette.names)
    spread = [between(intervals.iou.get(name)) if intervals else None for name in palette.names]
    table.insert(2, "95 % interval of IoU", spread)
    if metrics.boundary_iou:
        table["Boundary IoU"] = pd.Series([metrics.boundary_iou.get(name) for name in palette.names], dtype=float)
    return table.assign(**{"True pixels": matrix.sum(-1), "Predicted pixels": matrix.sum(0)})


def _show_findings(metrics: Metrics) -> None:
    """List what was left out of predictions from elsewhere, and what is odd about them, if anything is."""
    left_out = (metrics.dataset and metrics.dataset.skipped) or []
    findings = [*(metrics.findings or []), *(f"Left out {sentence}" for sentence in left_out)]
    if findings:
        with st.expander(f"Findings: {len(findings):,}", icon=":material/rule:"):
            st.dataframe({"finding": findings}, hide_index=True, key="findings", column_config={"finding": "Finding"})


def _scored(run: Run, metrics: Metrics) -> str:
    """Say what is scored."""
    if metrics.protocol != "all":
        flattered = f" · **{FLATTERED}**" if run.is_flattered else ""
        return f"held out: {DESCRIPTIONS[metrics.protocol]}{flattered}"
    if run.config and run.config.dataset.fingerprint == run.fingerprint:
        return "scored: every scene, though most were trained on"
    return f"scored: {DESCRIPTIONS[metrics.protocol]}"
