"""The parts of the worst-case gallery: the run's scores, the filters, and the ranked patches."""

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.protocols import DESCRIPTIONS, settle_void
from segmentation.data.scenes import Dataset
from segmentation.runs.folder import Run
from segmentation.ui.figures import class_bars, confusion_figure, reliability_figure
from segmentation.ui.layout import EXPLORER, one_sentence, protocol_line, score, turn_pages
from segmentation.ui.loaders import load_fingerprint, load_patch, predict
from segmentation.ui.pictures import in_a_row

PATCHES_A_PAGE = 8

PARTS = {"Held out": "test", "Trained on": "train"}


def can_show(dataset: Dataset | None, run: Run | None) -> bool:
    """Tell whether there are ranked patches to show; say what is missing if not."""
    if dataset is None or run is None:
        return False
    if run.patches is None or run.palette is None:
        st.info(
            f"{run.name} has not been evaluated: `python -m segmentation evaluate --run {run.name} --save` ranks its "
            "patches.",
            icon=":material/query_stats:",
        )
        return False
    known = {scene.name for scene in dataset.scenes}
    if dataset.palette != run.palette or not set(run.patches["scene"]) & known:
        st.warning(
            f"{run.name} was evaluated on {(run.config or {}).get('dataset', {}).get('name', 'another data set')}, "
            "which is not the data set in use: choose that data set or another run in the sidebar.",
            icon=":material/swap_horiz:",
        )
        return False
    if run.fingerprint != load_fingerprint(dataset):
        st.warning(
            "The files have changed since this run was evaluated: pictures and scores may not belong together.",
            icon=":material/difference:",
        )
    return True


def summary(run: Run) -> None:
    """Show the scores of the held-out part and the confusion matrix they come from."""
    metrics = run.metrics
    if not metrics:
        return
    figures = st.grid(4, min_column_width=200)
    figures.metric("Accuracy", score(metrics["accuracy"]), help="Share of labelled pixels that are right.")
    figures.metric("Jaccard", score(metrics["jaccard"]), help="The article's: soft, all pixels flattened together.")
    figures.metric("Mean IoU", score(metrics["mean_iou"]), help=f"Mean over {len(metrics['iou'])} classes' IoU.")
    figures.metric(
        "Mean IoU without Unlabeled",
        score(metrics["mean_iou_without_unlabeled"]),
        help="Mean over the other classes' IoU.",
    )
    st.caption(f"{protocol_line(metrics)} · held out: {DESCRIPTIONS[metrics['protocol']]}")
    with st.expander("IoU by class and confusion matrix", icon=":material/grid_on:"):
        halves = st.grid(2, min_column_width=380, gap="medium")
        by_class = [np.nan if value is None else value for value in metrics["iou"].values()]
        halves.plotly_chart(class_bars(by_class, run.palette, "IoU", share=False), key="class-iou")
        halves.plotly_chart(confusion_figure(metrics["confusion_matrix"], run.palette), key="confusion")
    if "calibration" in metrics:
        with st.expander("Can its confidence be trusted?", icon=":material/verified:"):
            st.plotly_chart(reliability_figure(metrics["calibration"]), key="reliability")
            st.caption(
                f"Expected calibration error **{score(metrics['calibration_error'])}**: how far apart accuracy and "
                "confidence are, averaged over the held-out pixels in bins of equal width. Below the dotted line the "
                "model is surer than it is right."
            )


def _filtered(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Draw the sidebar's filters and order, and return the patches in that order."""
    sidebar = st.sidebar
    sidebar.subheader("Filters", anchor=False)
    part = sidebar.segmented_control(
        "Part",
        list(PARTS),
        default="Held out",
        required=True,
        key="part",
        bind="query-params",
        help="Held-out patches tell how the model does on what it has not seen.",
    )
    tiles = sidebar.multiselect(
        "Tiles",
        list(dict.fromkeys(table["tile"])),
        key="tile",
        bind="query-params",
        placeholder="All tiles",
        help="Only patches of these folders.",
    )
    class_name = sidebar.selectbox(
        "Class",
        run.palette.names,
        index=None,
        key="class",
        bind="query-params",
        placeholder="Any class",
        help="Only patches that hold this class in mask or prediction.",
    )
    sidebar.subheader("View", anchor=False)
    order = sidebar.segmented_control(
        "Order",
        ["Worst first", "Best first"],
        default="Worst first",
        required=True,
        key="order",
        bind="query-params",
        help="By the patch's mean IoU.",
    )
    table = table[table["part"] == PARTS[part]]
    if tiles:
        table = table[table["tile"].isin(tiles)]
    if class_name:
        table = table[table[f"iou_{class_name}"].notna()]
    # Equal scores keep the patches' own order, so that the ranking is the same every time.
    return table.dropna(subset="mean_iou").sort_values("mean_iou", ascending=order == "Worst first", kind="stable")


def ranking(dataset: Dataset, run: Run) -> None:
    """Show the patches in their order, each as image, ground truth and prediction, with its scores and its place."""
    table = _filtered(run.patches, run)
    ranked = table.assign(rank=range(1, len(table) + 1))
    shown = turn_pages(ranked, PATCHES_A_PAGE, len(run.patches), "patches")
    if shown.empty:
        return
    st.caption(
        "Each patch as image, ground truth and prediction. Its mean IoU is over the classes in mask or prediction."
    )
    cards = st.grid(2, min_column_width=400)
    for _, row in shown.iterrows():
        with cards, st.container(border=True), one_sentence():
            _card(dataset, run, row)
    st.download_button(
        "Download the ranking",
        ranked.to_csv(index=False),
        f"{run.name}-ranking.csv",
        "text/csv",
        key="download-ranking",
        icon=":material/download:",
        on_click="ignore",
    )


def _card(dataset: Dataset, run: Run, row: pd.Series) -> None:
    """One patch: its place and scores, its three pictures, and the way to the explorer."""
    place = row["patch"].rsplit("/", 1)[1]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"**{row['rank']}.** `{row['patch']}`")
        st.page_link(
            EXPLORER,
            label="Explore",
            icon=":material/compare:",
            help="Open it in the prediction explorer.",
            query_params={"scene": row["scene"], "patch": place, "run": run.name},
        )
    image, mask = load_patch(dataset, row["scene"], row["row"], row["column"], run.patch_size)
    pictures = [image, run.palette.decode(settle_void(mask, run.protocol, run.palette))]
    if run.model:
        pictures.append(run.palette.decode(predict(run.model, image).classes))
    with st.container(key=f"pixels-{row['patch']}"):
        st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG")
    by_class = ", ".join(
        f"{name} {row[f'iou_{name}']:.3f}" for name in run.palette.names if pd.notna(row[f"iou_{name}"])
    )
    st.markdown(
        f"**Mean IoU {row['mean_iou']:.3f}** of {int(row['classes'])} classes · accuracy {row['accuracy']:.3f} · "
        f"confidence {row['confidence']:.2f}"
    )
    st.caption(f"IoU: {by_class}  \nBrightness {row['brightness']:.2f} · contrast {row['contrast']:.2f}")
