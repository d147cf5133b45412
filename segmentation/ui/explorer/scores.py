"""What the confusion matrix of a prediction says; without ground truth, how the classes share the area."""

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import class_counts
from segmentation.inference.prediction import Prediction
from segmentation.runs.scoring import without_unpredicted
from segmentation.ui.charts.classes import class_bars
from segmentation.ui.charts.evaluation import confusion_figure
from segmentation.ui.explorer.model import Model
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import SCORED, plain, score

EDGE = 3
"""Pixels up to so far from an edge between classes count as near it."""


def show_scores(mask: np.ndarray, truth: np.ndarray, predictions: dict[str, Prediction], model: Model) -> pd.DataFrame:
    """Show what the confusion matrix of each prediction says; return the scores by class.

    Args:
        mask: (height, width) uint8 class indices, void 255.
        truth: The same with void as the run's protocol counts it.
        predictions: By the run's name.
        model: The run in use.
    """
    run, palette = model.run, model.palette
    table = pd.DataFrame({"class": palette.names})
    matrices, edges = {}, {}
    for name, prediction in predictions.items():
        matrix, at_edges = scores.picture_matrices(*without_unpredicted(truth, prediction.classes), len(palette), EDGE)
        matrices[name], edges[name] = matrix, at_edges
        if len(predictions) == 2:
            st.markdown(f"**{plain(name)}**")
        if len(predictions) <= 2:
            _show_figures(matrix, at_edges, mask, prediction, palette)
        of = f" of {name}" if len(predictions) > 1 else ""
        table[f"IoU{of}"] = scores.iou(matrix)
        table[f"pixels predicted{of}"] = matrix.sum(0)
        table[f"pixels in both{of}"] = np.diagonal(matrix)
    table.insert(1, "pixels in the mask", matrix.sum(1))
    table = table[sorted(table, key=lambda name: table.columns.get_loc(name) > 1 and not name.startswith("IoU"))]
    if len(predictions) > 2:
        _show_figures_of_several(matrices, edges, predictions, palette)
    void = (
        "void counts as Unlabeled" if run.protocol == "patch" and palette.unlabeled is not None else "void is left out"
    )
    st.caption(f"Mean IoU over the classes that occur in the mask or in the prediction; {void}.")
    halves = st.grid(2, min_column_width=400, gap="medium")
    first = scores.iou(matrices[run.name])
    halves.plotly_chart(
        class_bars(first, display_palette(palette), f"IoU of {run.name}", share=False),
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


def _show_figures(
    matrix: np.ndarray, at_edges: np.ndarray, mask: np.ndarray, prediction: Prediction, palette: Palette
) -> None:
    """Show the scores that one confusion matrix, and that of the pixels near edges, give."""
    counted = int(np.isfinite(scores.iou(matrix)).sum())
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
    if prediction.confidence is not None:
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


def _show_figures_of_several(
    matrices: dict[str, np.ndarray],
    edges: dict[str, np.ndarray],
    predictions: dict[str, Prediction],
    palette: Palette,
) -> None:
    """Show what the confusion matrices of several runs give in one table, a row for each."""
    meanings = {
        "Accuracy": f"Share of scored pixels that are right. {SCORED}",
        "Mean IoU": "Mean over the classes in mask or prediction.",
        "Accuracy at edges": f"Of the scored pixels up to {EDGE} px from an edge between two classes.",
        "Confidence": "Mean probability of the class shown.",
    }
    figures = pd.DataFrame({"Run": list(matrices)})
    figures["Accuracy"] = [float(scores.accuracy(matrix)) for matrix in matrices.values()]
    figures["Mean IoU"] = [float(scores.mean_iou(matrix)) for matrix in matrices.values()]
    if palette.unlabeled is not None:
        name = f"Mean IoU without {palette.names[palette.unlabeled]}"
        figures[name] = [float(scores.mean_iou(of, without=palette.unlabeled)) for of in matrices.values()]
        meanings[name] = "Mean over the other classes in mask or prediction."
    figures["Accuracy at edges"] = [float(scores.accuracy(at_edges)) for at_edges in edges.values()]
    figures["Confidence"] = [
        np.nan if of.confidence is None else float(of.confidence.mean(dtype=np.float64)) for of in predictions.values()
    ]
    st.dataframe(
        figures,
        hide_index=True,
        key="runs-scored",
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(plain(name), format="%.3f", help=meaning)
            for name, meaning in meanings.items()
        },
    )


def show_shares(predictions: dict[str, Prediction], palette: Palette) -> pd.DataFrame:
    """Without a mask: how the classes share the picture, as predicted; return that as a table."""
    table = pd.DataFrame({"class": palette.names})
    charts = st.grid(2, min_column_width=400, gap="large")
    for name, prediction in predictions.items():
        counts = class_counts(prediction.classes[None], len(palette))[0, : len(palette)]
        with charts.cell():
            confidence = np.nan if prediction.confidence is None else prediction.confidence.mean(dtype=np.float64)
            st.metric(
                f"Confidence of {plain(name)}" if len(predictions) > 1 else "Confidence",
                score(float(confidence)),
                help="Mean probability of the class shown.",
            )
            st.plotly_chart(
                class_bars(
                    counts / prediction.classes.size,
                    display_palette(palette),
                    "Share of the picture, predicted, %",
                    share=True,
                ),
                key=f"share-bars-{name}",
                config={"displayModeBar": False},
            )
        table[f"pixels predicted by {name}"] = counts
    st.caption("Upload a mask to get scores.")
    return table
