"""The parts of the worst-case gallery: scores, ranked patches, confusions, causes, suspect labels, two runs."""

import html
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.configuration import Configuration
from segmentation.data.images import png_bytes
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.protocols import DESCRIPTIONS, settle_void
from segmentation.data.scenes import Dataset
from segmentation.errors import BackendError, RunError
from segmentation.evaluation import diagnosis
from segmentation.evaluation.ranking import INVENTED, MISSED, WRONG, count_errors, rank
from segmentation.files import replacing
from segmentation.runs.reviews import VERDICTS, Reviews
from segmentation.runs.run import Run, check_run_name, confusion_column
from segmentation.tables import csv_text
from segmentation.training import launch
from segmentation.ui.address import link
from segmentation.ui.figures import class_bars, confusion_figure, reliability_figure, scatter_figure
from segmentation.ui.layout import (
    BROWSER,
    EXPLORER,
    SCORED,
    code,
    drawn,
    in_classes,
    known_runs,
    looking_at,
    one_sentence,
    other_runs,
    plain,
    protocol_line,
    readable,
    say_other_files,
    score,
    turn_pages,
)
from segmentation.ui.loaders import load_fingerprint, load_patch, load_scene, predict
from segmentation.ui.pictures import draw_frame, fit, in_a_row

PATCHES_A_PAGE = 8

PARTS = {"Held out": "test", "Trained on": "train"}

MEAN_IOU, CLASS_IOU, WRONG_PIXELS = "Mean IoU", "IoU of the class", "Wrong pixels"
ACCURACY, SURELY_WRONG = "Accuracy", "Surely wrong"
RANKS = {
    CLASS_IOU: "IoU of the class chosen above",
    MEAN_IOU: "mean over the classes in mask or prediction",
    WRONG_PIXELS: "pixels whose class is wrong; with a class chosen, those of it that are missed or invented",
    ACCURACY: "share of scored pixels that are right",
    SURELY_WRONG: f"share of scored pixels that are wrong with a confidence of {scores.SURE} or more",
}
"""What patches can be ranked by, and what it means; with a class chosen, its IoU comes first."""

ERRORS = {"All": WRONG, "Missed": MISSED, "Invented": INVENTED}
"""Which wrong pixels of a class count."""

COUNTED = "counted"
"""The column of the wrong pixels that count."""


def can_show(dataset: Dataset | None, run: Run | None) -> bool:
    """Tell whether there are ranked patches to show; say what is missing if not."""
    if dataset is None or run is None:
        return False
    if run.patches is None or run.palette is None:
        st.info(
            f"{plain(run.name)} has not been evaluated: {_evaluate(run)} ranks its patches.",
            icon=":material/query_stats:",
        )
        return False
    known = {scene.name for scene in dataset.scenes}
    if dataset.palette != run.palette or not set(run.patches["scene"]) & known:
        st.warning(
            f"{plain(run.name)} was evaluated on "
            f"{plain((run.config or {}).get('dataset', {}).get('name', 'another data set'))}, "
            "which is not the data set in use: choose that data set or another run in the sidebar.",
            icon=":material/swap_horiz:",
        )
        return False
    say_other_files(run, dataset, "pictures and scores may not belong together")
    return True


def summary(run: Run) -> None:
    """Show the scores of the held-out part and the confusion matrix they come from."""
    metrics = run.metrics
    if not metrics:
        return
    figures = st.grid(4, min_column_width=200)
    figures.metric("Accuracy", score(metrics["accuracy"]), help=f"Share of scored pixels that are right. {SCORED}")
    figures.metric("Jaccard", score(metrics["jaccard"]), help="The article's: soft, all pixels flattened together.")
    figures.metric("Mean IoU", score(metrics["mean_iou"]), help=f"Mean over {len(metrics['iou'])} classes' IoU.")
    figures.metric(
        "Mean IoU without Unlabeled",
        score(metrics["mean_iou_without_unlabeled"]),
        help="Mean over the other classes' IoU.",
    )
    st.caption(f"{protocol_line(metrics)} · held out: {DESCRIPTIONS[metrics['protocol']]}")
    # Charts that nobody sees are not drawn: each costs the browser a twentieth of a second.
    more = st.expander(
        "IoU by class and confusion matrix", key="matrix", bind="query-params", icon=":material/grid_on:"
    )
    if more.open:
        halves = more.grid(2, min_column_width=380, gap="medium")
        by_class = [np.nan if value is None else value for value in metrics["iou"].values()]
        halves.plotly_chart(class_bars(by_class, drawn(run.palette), "IoU", share=False), key="class-iou")
        halves.plotly_chart(confusion_figure(metrics["confusion_matrix"], run.palette), key="confusion")
    if "calibration" in metrics:
        more = st.expander(
            "Can its confidence be trusted?", key="trust", bind="query-params", icon=":material/verified:"
        )
        if more.open:
            more.plotly_chart(reliability_figure(metrics["calibration"]), key="reliability")
            more.caption(
                f"Expected calibration error **{score(metrics['calibration_error'])}**: how far apart accuracy and "
                "confidence are, averaged over the held-out pixels in bins of equal width. Below the dotted line the "
                "model is surer than it is right."
            )


def _choose_patches(run: Run, second: Run | None = None) -> pd.DataFrame:
    """Draw the sidebar's filters and return the patches that pass them.

    Where the run's confusion matrices are known, the columns of `count_errors` are added, and `COUNTED`: of the class
    chosen, or of all; with a second run, of whichever of the two has more.
    """
    table, sidebar = run.patches, st.sidebar
    sidebar.subheader("Filters", anchor=False)
    part = sidebar.segmented_control(
        "Part",
        list(PARTS),
        default="Held out",
        required=True,
        key="part",
        bind="query-params",
        help="Held-out patches tell how the model does on what it has not seen. The two are never mixed.",
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
        on_change=_rank_by_class,
        help="Only patches that hold this class in mask or prediction; they are then ranked by its IoU.",
    )
    kind = "All"
    if class_name and run.confusion_matrices is not None:
        kind = sidebar.segmented_control(
            "Errors",
            list(ERRORS),
            default="All",
            required=True,
            key="errors",
            bind="query-params",
            help=f"**Missed**: {plain(class_name)} in the mask that was not found. **Invented**: predicted where the "
            "mask has another class. Only such pixels count, and only patches that have some are shown.",
        )
    if run.confusion_matrices is not None:
        index = run.palette.names.index(class_name) if class_name else None
        table = table.join(count_errors(run.confusion_matrices, index).set_axis(table.index))
        table = table.assign(**{COUNTED: table[ERRORS[kind]]})
        if second and second.confusion_matrices is not None:
            theirs = count_errors(second.confusion_matrices, index)[ERRORS[kind]].set_axis(second.patches["patch"])
            table[COUNTED] = np.fmax(table[COUNTED], table["patch"].map(theirs))
        if kind != "All":
            table = table[table[COUNTED] > 0]
    table = table[table["part"] == PARTS[part]]
    if tiles:
        table = table[table["tile"].isin(tiles)]
    if class_name:
        table = table[table[f"iou_{class_name}"].notna()]
    return table


def _rank_by_class() -> None:
    """Whoever chooses a class wants to see where it fails; wrong pixels are then that class's already."""
    if st.session_state.get("by") != WRONG_PIXELS:
        st.session_state["by"] = CLASS_IOU if st.session_state["class"] else MEAN_IOU


def _evaluate(run: Run) -> str:
    """Say the command that evaluates a run."""
    return code(f"python -m segmentation evaluate --run {run.name} --save")


def _needs_confusions(run: Run) -> bool:
    """Tell whether each patch's confusion matrix is known; say what to do if not."""
    if run.confusion_matrices is not None:
        return True
    st.info(
        f"{plain(run.name)} was evaluated before confusion matrices were kept by patch: {_evaluate(run)} adds them.",
        icon=":material/query_stats:",
    )
    return False


def _choose_order() -> bool:
    """Let the user choose the order; true for worst first."""
    order = st.sidebar.segmented_control(
        "Order",
        ["Worst first", "Best first"],
        default="Worst first",
        required=True,
        key="order",
        bind="query-params",
        help="Which end of the ranking comes first.",
    )
    return order == "Worst first"


def _choose_least(run: Run) -> float:
    """Let the user choose how many wrong pixels a patch has at the least to be among the worst; return that number."""
    percent = st.sidebar.number_input(
        "Minimum wrong pixels, % of the patch",
        0.0,
        100.0,
        1.0,
        step=0.5,
        format="%g",
        key="least-wrong",
        bind="query-params",
        help="A few stray pixels can give an IoU of 0. Patches with fewer wrong pixels are hidden where the worst come "
        "first; 0 hides none.",
    )
    return percent / 100 * run.patch_size**2


def _hidden_line(hidden: int, least: float, run: Run) -> str:
    """Say how many patches the bound on wrong pixels hides."""
    if not hidden:
        return ""
    class_name = st.session_state.get("class")
    what = plain(f"wrong pixels of {class_name}") if class_name else "wrong pixels"
    patches = "1 patch with fewer than" if hidden == 1 else f"{hidden:,} patches with fewer than"
    return f" {patches} {least:,.0f} {what} ({100 * least / run.patch_size**2:g} % of the patch) hidden."


def ranking(dataset: Dataset, run: Run) -> None:
    """Show patches, scenes or tiles in the order of a score."""
    table = _choose_patches(run)
    st.sidebar.subheader("View", anchor=False)
    unit = st.sidebar.segmented_control(
        "Rank",
        ["Patches", "Scenes", "Tiles"],
        default="Patches",
        required=True,
        key="rank",
        bind="query-params",
        help="Scenes and tiles are scored by the sum of their patches' confusion matrices.",
    )
    class_name = st.session_state.get("class")
    column = {
        CLASS_IOU: f"iou_{class_name}",
        MEAN_IOU: "mean_iou",
        WRONG_PIXELS: COUNTED,
        ACCURACY: "accuracy",
        SURELY_WRONG: "surely_wrong",
    }
    by = st.sidebar.selectbox(
        "By",
        [name for name in RANKS if column[name] in table],
        key="by",
        bind="query-params",
        help="  \n".join(f"**{name}**: {RANKS[name]}." for name in RANKS),
    )
    worst_first = _choose_order()
    if unit != "Patches":
        _rank_groups(run, table, unit, column[by], worst_first)
        return
    count, least = None, 0.0
    if COUNTED in table:
        count, least = COUNTED, _choose_least(run)
    ranked, hidden = rank(table, column[by], count, worst_first, least if worst_first else 0)
    caption = f"Ranked by {by}: {RANKS[by]}.{_hidden_line(hidden, least, run)}"
    _cards(dataset, run, ranked, caption, ranked_by=column[by])
    _act(dataset, run, ranked)


def _rank_groups(run: Run, table: pd.DataFrame, unit: str, column: str, worst_first: bool) -> None:
    """Show scenes or tiles in the order of a score, as a table."""
    if not _needs_confusions(run):
        return
    by, class_name = unit.lower().removesuffix("s"), st.session_state.get("class")
    groups = diagnosis.grouped_scores(table, run.confusion_matrices[table.index], by, run.palette.names, class_name)
    if groups.empty or column not in {*groups, COUNTED}:
        st.info("Nothing to rank: loosen the filters, or rank by another score, in the sidebar.")
        return
    count = ERRORS[st.session_state.get("errors", "All") if class_name else "All"]
    groups, _ = rank(groups, count if column == COUNTED else column, count, worst_first)
    st.markdown(f"**{len(groups):,}** {unit.lower()} of {len(table):,} patches")
    of_class = plain(f" of {class_name}") if class_name else ""
    event = st.dataframe(
        groups,
        hide_index=True,
        key="groups",
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            by: unit.removesuffix("s"),
            "patches": st.column_config.NumberColumn("Patches", format="localized"),
            "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
            "mean_iou": st.column_config.ProgressColumn("Mean IoU", format="%.3f", min_value=0, max_value=1),
            "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
            **{
                f"iou_{name}": st.column_config.NumberColumn(f"IoU {name}", format="%.3f") for name in run.palette.names
            },
            WRONG: st.column_config.NumberColumn(f"Wrong pixels{of_class}", format="localized"),
            MISSED: st.column_config.NumberColumn("Missed", format="localized") if class_name else None,
            INVENTED: st.column_config.NumberColumn("Invented", format="localized") if class_name else None,
        },
    )
    with st.container(horizontal=True):
        rows = [row for row in event.selection.rows if row < len(groups)]  # a filter may have left fewer
        chosen = groups.iloc[rows[0]][by] if rows else ""
        st.page_link(
            EXPLORER if by == "scene" else BROWSER,
            label="Explore the scene" if by == "scene" else "See the tile",
            icon=":material/compare:" if by == "scene" else ":material/grid_view:",
            disabled=not rows,
            help="Choose a row first.",
            query_params=link(looking_at(chosen) if by == "scene" else {"view": "One tile", "tile-shown": chosen}),
        )
        st.download_button(
            "Download the table",
            csv_text(groups),
            f"{run.name}-{unit.lower()}.csv",
            "text/csv",
            key="download-groups",
            icon=":material/download:",
            on_click="ignore",
        )


def _act(dataset: Dataset, run: Run, table: pd.DataFrame) -> None:
    """Offer the patches of a view as a file, and to fine-tune the run on them as the article suggests."""
    with st.container(horizontal=True):
        st.download_button(
            "Download the ranking",
            lambda: csv_text(table.assign(rank=range(1, len(table) + 1))),
            f"{run.name}-ranking.csv",
            "text/csv",
            key="download-ranking",
            icon=":material/download:",
            on_click="ignore",
            help="A row a patch, in this order, with all its scores; `train --patches FILE` trains on such a list.",
        )
        trained_on = table[table["part"] == "train"]
        with st.popover(
            "Fine-tune on these", icon=":material/model_training:", disabled=trained_on.empty or run.config is None
        ):
            st.caption(
                "Goes on from this run's weights, on the first of these patches only; what was held out stays held out."
            )
            name = st.text_input("Name", f"{run.name}-tuned", key="tune-name", help="Of the new run.")
            count = st.number_input(
                "Patches",
                1,
                max(1, len(trained_on)),
                max(1, len(trained_on) // 5),
                key="tune-count",
                help="How many, in the order of this view.",
            )
            epochs = st.number_input("Epochs", 1, 1000, 5, key="tune-epochs", help="Passes over these patches.")
            rate = st.number_input(
                "Learning rate", 1e-7, 1.0, 1e-4, format="%g", step=1e-5, key="tune-rate", help="Falls along a cosine."
            )
            if st.button("Start", type="primary", icon=":material/play_circle:", key="tune"):
                with one_sentence():
                    fine_tune(dataset, run, trained_on["patch"][:count], name, epochs, rate)
                    st.success(f"{plain(name)} is starting: the training monitor shows how it goes.")
    if table["part"].eq("test").any():
        st.caption("To fine-tune, choose the part trained on: held-out patches are for judging.")


def fine_tune(dataset: Dataset, run: Run, patches: Sequence[str], name: str, epochs: int, learning_rate: float) -> None:
    """Start a training from a run's weights on some of its training patches.

    Raises:
        RunError: If the name is taken or no folder's name, or the folder of the runs cannot be written.
    """
    check_run_name(name)
    if any(known.name == name for known in known_runs()):
        raise RunError(f"There is a run {name} already: choose another name.")
    configuration = replace(
        Configuration.from_dict(run.config["configuration"]),
        start_from=run.name,
        worst_share=1.0,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule="cosine",
        warm_up=0,
        early_stopping=None,
    )
    chosen = runs_folder() / f"{name}.patches.csv"
    with replacing(chosen) as temporary:
        pd.DataFrame({"patch": list(patches)}).to_csv(temporary, index=False)
    launch.start(name, configuration, dataset.root, runs_folder(), chosen)


def _cards(
    dataset: Dataset,
    run: Run,
    table: pd.DataFrame,
    caption: str,
    second: Run | None = None,
    ranked_by: str | Callable[[pd.Series], str] = "mean_iou",
    below: Callable[[pd.Series], None] | None = None,
) -> None:
    """Show patches in their order, page by page, each as image, ground truth and prediction.

    Args:
        dataset: Where the pictures are.
        run: Whose predictions and scores to show.
        table: The patches in order.
        caption: What the order is.
        second: Another run whose prediction to show beside.
        ranked_by: The column that the order is of, or what says it of a patch's row: in bold on each card.
        below: What to draw under each card, from the patch's row.
    """
    ranked = table.assign(rank=range(1, len(table) + 1))
    shown = turn_pages(ranked, PATCHES_A_PAGE, len(run.patches), "patches")
    if shown.empty:
        return
    runs = " and of ".join(plain(of.name) for of in (run, second) if of)
    st.caption(f"{caption} Each patch: image, ground truth, prediction of {runs}.")
    cards = st.grid(2, min_column_width=400)
    broken: set[str] = set()
    for _, row in shown.iterrows():
        with cards, st.container(border=True), one_sentence():
            _card(dataset, run, row, broken, second, ranked_by)
            if below:
                below(row)


def _card(
    dataset: Dataset,
    run: Run,
    row: pd.Series,
    broken: set[str],
    second: Run | None = None,
    ranked_by: str | Callable[[pd.Series], str] = "mean_iou",
) -> None:
    """One patch: its place and scores, its pictures, and the way to the explorer.

    Args:
        dataset: Where the picture is.
        run: Whose prediction to show.
        row: Of the run's table of patches.
        broken: Takes the names of runs whose model cannot be used: that is said once for all cards.
        second: Another run whose prediction to show beside.
        ranked_by: As for `_cards`.
    """
    place = row["patch"].rsplit("/", 1)[1]
    number = f"**{row['rank']}.** " if "rank" in row else ""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(number + code(row["patch"]))
        with st.container(horizontal=True, width="content", vertical_alignment="center", gap="small"):
            if st.button(
                "Context",
                key=f"context-{row['patch']}",
                icon=":material/zoom_out_map:",
                type="tertiary",
                help="See it in its scene.",
            ):
                _context(dataset, run, row)
            st.page_link(
                EXPLORER,
                label="Explore",
                icon=":material/compare:",
                help="Open it in the prediction explorer.",
                query_params=link(looking_at(row["scene"], place) | ({"with": second.name} if second else {})),
            )
    image, mask = load_patch(dataset, row["scene"], row["row"], row["column"], run.patch_size, run.stretch)
    pictures = [image, drawn(run.palette).decode(settle_void(mask, run.protocol, run.palette))]
    for of in (run, second):
        if of and of.model and of.name not in broken:
            try:
                pictures.append(drawn(run.palette).decode(predict(of.model, image).classes))
            except (RunError, BackendError) as error:
                broken.add(of.name)
                st.error(plain(error), icon=":material/error:")
    with st.container(key=f"pixels-{row['patch']}"):
        alt = f"Patch {row['patch']}: image, ground truth and {'prediction' if len(pictures) == 3 else 'predictions'}"
        st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG", alt=alt)
    by_class = ", ".join(
        f"{plain(name)} {row[f'iou_{name}']:.3f}" for name in run.palette.names if pd.notna(row[f"iou_{name}"])
    )
    facts = _facts(row)
    bold = facts.pop(ranked_by) if isinstance(ranked_by, str) else ranked_by(row)
    st.markdown(" · ".join([f"**{bold}**", *facts.values()]))
    st.caption(f"IoU: {by_class}  \nBrightness {row['brightness']:.2f} · contrast {row['contrast']:.2f}")


def _pixels(count: int, kind: str) -> str:
    return f"{count:,} {kind} pixel" if count == 1 else f"{count:,} {kind} pixels"


def _facts(row: pd.Series) -> dict[str, str]:
    """Return what a card says of a patch, as Markdown, by the columns that patches can be ranked by."""
    facts, class_name = {}, st.session_state.get("class")
    if class_name:
        facts[f"iou_{class_name}"] = f"IoU of {plain(class_name)} {row[f'iou_{class_name}']:.3f}"
    if COUNTED in row:
        kind = st.session_state.get("errors", "All") if class_name else "All"
        facts[COUNTED] = _pixels(int(row[ERRORS[kind]]), ERRORS[kind])
        if class_name:
            facts[COUNTED] += f" of {plain(class_name)}"
        if class_name and kind == "All":
            facts[COUNTED] += f" ({row[MISSED]:,} missed, {row[INVENTED]:,} invented)"
    facts["mean_iou"] = f"Mean IoU {score(row['mean_iou'])} of {in_classes(row['classes'])}"
    facts["accuracy"] = f"Accuracy {score(row['accuracy'])}"
    if "surely_wrong" in row:
        facts["surely_wrong"] = f"{100 * row['surely_wrong']:.1f} % surely wrong"
    facts["confidence"] = f"Confidence {row['confidence']:.2f}"
    return facts


@st.dialog("In its scene", width="large")
def _context(dataset: Dataset, run: Run, row: pd.Series) -> None:
    """Show where in its scene a patch is."""
    with one_sentence():
        image, _ = load_scene(dataset.scene(row["scene"]), dataset.palette, run.stretch or dataset.stretch)
        framed = draw_frame(image, row["row"] * run.patch_size, row["column"] * run.patch_size, run.patch_size)
        st.image(
            png_bytes(fit(framed, smooth=True)),
            caption=code(row["patch"]),
            width="stretch",
            output_format="PNG",
            alt=f"Scene {row['scene']} with a frame around patch {row['patch']}",
        )


def confusions(dataset: Dataset, run: Run) -> None:
    """Show which patches contribute to a cell of the confusion matrix, those with most of its pixels first."""
    table = _choose_patches(run)
    if not _needs_confusions(run):
        return
    names = run.palette.names
    matrix = run.confusion_matrices[table.index].sum(0)
    wrong = matrix - np.diag(np.diagonal(matrix))
    first = np.unravel_index(wrong.argmax(), wrong.shape)
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.cell():
        st.plotly_chart(
            confusion_figure(matrix, run.palette),
            key="confusions",
            on_select=_follow_cell,
            selection_mode="points",
            config={"displayModeBar": False},
        )
        st.caption("Click a cell to see the patches that contribute to it.")
    with halves.cell():
        true = st.selectbox("True class", names, int(first[0]), key="true", bind="query-params", help="What it is.")
        taken = st.selectbox(
            "Predicted as", names, int(first[1]), key="taken", bind="query-params", help="What the model says."
        )
        count = int(matrix[names.index(true), names.index(taken)])
        of_class = int(matrix[names.index(true)].sum())
        share = f", {100 * count / of_class:.1f} % of all {plain(true)}" if of_class else ""
        title = plain(f"{true} predicted as {taken}, pixels")
        st.metric(title, f"{count:,}", help="In the patches that pass the filters.")
        column = confusion_column(true, taken)
        making = table[table[column] > 0].sort_values(column, ascending=False, kind="stable")
        half = int((making[column].cumsum() < count / 2).sum()) + 1 if count else 0
        st.markdown(f"{len(making):,} patches contribute to this cell{share}; half of it is in {half:,} of them.")
    pixels = plain(f"pixels of {true} predicted as {taken}")
    _cards(dataset, run, making, f"Sorted by {pixels}.", ranked_by=lambda row: f"{row[column]:,} {pixels}")
    _act(dataset, run, making)


def _follow_cell() -> None:
    """Choose the classes of the cell that was clicked."""
    points = st.session_state["confusions"]["selection"]["points"]
    if points:
        st.session_state["true"], st.session_state["taken"] = (html.unescape(points[0][axis]) for axis in "yx")


def causes(dataset: Dataset, run: Run) -> None:
    """Show what the patches' scores go with, and test the article's claim that very bright patches fail."""
    table = _choose_patches(run).dropna(subset="mean_iou")
    if not _needs_confusions(run):
        return
    if len(table) < 3:
        st.info("Too few patches to tell: loosen the filters in the sidebar.")
        return
    values = diagnosis.circumstances(run.patches, run.confusion_matrices, run.palette.names).loc[table.index]
    correlations = pd.DataFrame(
        {
            "goes with": values.columns,
            "rank correlation": [diagnosis.rank_correlation(values[name], table["mean_iou"]) for name in values],
        }
    ).sort_values("rank correlation", key=abs, ascending=False, na_position="last")
    limit, bright, others = diagnosis.brightness_claim(table)
    of_brightness = correlations.set_index("goes with")["rank correlation"]["Brightness"]
    st.markdown(
        f"The article says that very bright images fail. Here the brightest tenth (brightness {limit:.2f} and more) "
        f"has a mean IoU of **{bright:.3f}**, all other patches **{others:.3f}**; over all {len(table):,} patches "
        f"brightness and mean IoU have a rank correlation of **{of_brightness:+.2f}**."
    )
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.cell():
        name = st.selectbox(
            "Mean IoU against", values.columns, key="against", bind="query-params", help="What it may depend on."
        )
        event = st.plotly_chart(
            scatter_figure(values[name], table["mean_iou"], table["patch"], name, "Mean IoU of the patch"),
            key="causes",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False},
        )
    halves.dataframe(
        correlations,
        hide_index=True,
        height="content",
        key="correlations",
        placeholder="–",
        column_config={
            "goes with": "Mean IoU goes with",
            "rank correlation": st.column_config.NumberColumn(
                "Rank correlation",
                format="%+.2f",
                help="Spearman's: +1 if one always rises with the other, −1 if it falls, 0 if they are unrelated.",
            ),
        },
    )
    clicked = [html.unescape(point["customdata"][0]) for point in event.selection.points]
    found = table[table["patch"].isin(clicked)]  # a filter may have removed it
    if found.empty:
        st.caption("Click a point to see its patch.")
        return
    with st.container(border=True), one_sentence():
        _card(dataset, run, found.iloc[0], set())


def suspects(dataset: Dataset, run: Run) -> None:
    """Show patches where the model is sure and the mask disagrees, to be reviewed."""
    table = _choose_patches(run)
    if "surely_wrong" not in table:
        st.info(
            f"{plain(run.name)} was evaluated before it was kept how sure it was where it was wrong: {_evaluate(run)} "
            "adds that.",
            icon=":material/query_stats:",
        )
        return
    reviews = Reviews(runs_folder(), load_fingerprint(dataset))
    check_allowed(reviews.path, readable())
    known = reviews.read().set_index("patch")
    st.sidebar.subheader("View", anchor=False)
    which = st.sidebar.segmented_control(
        "Reviews",
        ["All", "To do", "Done"],
        default="All",
        required=True,
        key="reviews",
        bind="query-params",
        help="Patches that were reviewed, that were not, or both.",
    )
    table = table[table["surely_wrong"] > 0].sort_values("surely_wrong", ascending=False, kind="stable")
    if which != "All":
        table = table[table["patch"].isin(known.index) == (which == "Done")]

    def review(row: pd.Series) -> None:
        patch = row["patch"]
        of_patch = known.loc[patch] if patch in known.index else {"verdict": "", "note": ""}
        verdict = st.pills(
            "Verdict",
            list(VERDICTS),
            default=of_patch["verdict"] or None,
            key=f"verdict-{patch}",
            help="  \n".join(f"**{name}**: {meaning}" for name, meaning in VERDICTS.items()),
        )
        note = st.text_input(
            "Note", of_patch["note"], key=f"note-{patch}", max_chars=300, help="Kept with the verdict."
        )
        if (verdict or "", note) != (of_patch["verdict"], of_patch["note"]):
            reviews.add(patch, verdict or "", note, run.name)
            st.rerun()

    _cards(
        dataset,
        run,
        table,
        "Patches where the model is sure and the mask disagrees: is the label wrong? The most such pixels first.",
        ranked_by=lambda row: (
            f"{100 * row['surely_wrong']:.1f} % of its pixels are wrong with a confidence of {scores.SURE} or more"
        ),
        below=review,
    )
    if not known.empty:
        st.download_button(
            "Download the reviews",
            csv_text(known.reset_index()),
            f"{dataset.root.name}-reviews.csv",
            "text/csv",
            key="download-reviews",
            icon=":material/download:",
            on_click="ignore",
            help="A row a reviewed patch: verdict, note, run and time.",
        )


def two_runs(dataset: Dataset, run: Run) -> None:
    """Show which patches another run does better or worse."""
    others = other_runs(run, lambda other: other.patches is not None)
    name = st.selectbox(
        "Other run",
        list(others),
        index=None,
        key="with",
        bind="query-params",
        placeholder="Choose another run of these classes",
        help="Its scores of the same patches are set against this run's.",
    )
    table = _choose_patches(run, others.get(name))
    st.sidebar.subheader("View", anchor=False)
    worst_first = _choose_order()
    least = _choose_least(run) if COUNTED in table else 0.0
    if name is None:
        st.info("Choose another run to see what got better and what got worse.", icon=":material/compare_arrows:")
        return
    other, class_name = others[name], st.session_state.get("class")
    column, title = (f"iou_{class_name}", f"IoU of {class_name}") if class_name else ("mean_iou", "Mean IoU")
    both = diagnosis.compare_runs(table, other.patches, PARTS[st.session_state["part"]], column)
    both = both.dropna(subset="gain")
    if both.empty:
        st.info(plain(f"{run.name} and {name} have no patch of this part in common: choose another run or part."))
        return
    figures = st.grid(4, min_column_width=170)
    figures.metric("Patches of both", f"{len(both):,}")
    figures.metric(f"{plain(name)} is better on", f"{(both['gain'] > 0).sum():,}")
    figures.metric(f"{plain(name)} is worse on", f"{(both['gain'] < 0).sum():,}")
    meaning = plain(f"{name} less {run.name}, by patch.")
    gained = plain(title[0].lower() + title[1:]) if class_name is None else plain(title)
    figures.metric(f"Mean gain of {gained}", f"{both['gain'].mean():+.3f}", help=meaning)
    st.plotly_chart(
        scatter_figure(
            both[column],
            both[f"other_{column}"],
            both["patch"],
            f"{title}, {run.name}",
            f"{title}, {name}",
            diagonal=True,
        ),
        key="two-runs",
        config={"displayModeBar": False},
    )
    ranked, hidden = rank(both, "gain", COUNTED if COUNTED in both else None, worst_first, least)

    def gain(row: pd.Series) -> str:
        return f"{row['gain']:+.3f}: {plain(title)} {row[f'other_{column}']:.3f} with {plain(name)}"

    order = "What got worse comes first." if worst_first else "What got better comes first."
    caption = plain(f"Ranked by the gain of {name} over {run.name}. {order}") + _hidden_line(hidden, least, run)
    _cards(dataset, run, ranked, caption, other, gain)
    _act(dataset, run, ranked)


VIEWS: dict[str, Callable[[Dataset, Run], None]] = {
    "Ranking": ranking,
    "Confusions": confusions,
    "Causes": causes,
    "Suspect labels": suspects,
    "Two runs": two_runs,
}
"""The gallery's views by the name in its switch."""
