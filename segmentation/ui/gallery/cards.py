"""A patch as a card: image, ground truth, prediction, its scores, and links to where it lies."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.protocols import apply_void_policy
from segmentation.errors import BackendError, ImageFileError, RunError
from segmentation.evaluation.ranking import INVENTED, MISSED
from segmentation.runs.run import Run
from segmentation.ui.address import link
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.filters import COUNTED, ERRORS, Filters
from segmentation.ui.loaders.predictions import predict_by
from segmentation.ui.loaders.scenes import load_patch, load_patch_bands, load_scene, place_of
from segmentation.ui.pictures import draw_frame, fit, in_a_row
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.frame import turn_pages
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.words import code, in_classes, plain, score

PATCHES_A_PAGE = 8

SIMILAR, SHOWN, MORE, LIKE = "Similar", "similar-shown", "More like this", "like"
"""The view of similar patches by its name, its widget that says what is shown there, its value for what is like a
patch, and the widget with that patch's name."""


def show_cards(
    evaluated: EvaluatedRun,
    filters: Filters,
    table: pd.DataFrame,
    caption: str,
    order: tuple[object, ...],
    second: Run | None = None,
    ranked_by: str | Callable[[pd.Series], str] = "mean_iou",
    below: Callable[[pd.Series], None] | None = None,
) -> None:
    """Show patches in their order, page by page, each as image, ground truth and prediction.

    Args:
        evaluated: Whose pictures, predictions and scores to show.
        filters: Which patches were asked for.
        table: The patches in order.
        caption: What the order is.
        order: What was chosen, beside the filters, that decides which patches these are, and in what order.
        second: Another run whose prediction to show beside.
        ranked_by: The column that the order is of, or what says it of a patch's row: in bold on each card.
        below: What to draw under each card, from the patch's row.
    """
    ranked = table.assign(rank=range(1, len(table) + 1))
    chosen = (evaluated.dataset.root, evaluated.run.folder, filters, *order)
    shown = turn_pages(ranked, PATCHES_A_PAGE, len(evaluated.patches), "patches", chosen)
    if shown.empty:
        return
    runs = " and of ".join(plain(of.name) for of in (evaluated.run, second) if of)
    st.caption(f"{caption} Each patch: image, ground truth, prediction of {runs}.")
    cards = st.grid(2, min_column_width=400)
    broken: set[str] = set()
    for _, row in shown.iterrows():
        with cards, st.container(border=True), show_errors():
            show_card(evaluated, filters, row, broken, second, ranked_by)
            if below:
                below(row)


def show_card(
    evaluated: EvaluatedRun,
    filters: Filters,
    row: pd.Series,
    broken: set[str],
    second: Run | None = None,
    ranked_by: str | Callable[[pd.Series], str] = "mean_iou",
) -> None:
    """One patch: its place and scores, its pictures, and the way to the explorer.

    Args:
        evaluated: Whose picture and prediction to show.
        filters: Which patches were asked for.
        row: Of the run's table of patches.
        broken: Takes the names of runs whose model cannot be used: that is said once for all cards.
        second: Another run whose prediction to show beside.
        ranked_by: As for `show_cards`.
    """
    run, palette, dataset = evaluated.run, evaluated.palette, evaluated.dataset
    place = row["patch"].rsplit("/", 1)[1]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown((f"**{row['rank']}.** " if "rank" in row else "") + code(row["patch"]))
        with st.container(horizontal=True, width="content", vertical_alignment="center", gap="small"):
            if st.button(
                "Context",
                key=f"context-{row['patch']}",
                icon=":material/zoom_out_map:",
                type="tertiary",
                help="See it in its scene.",
            ):
                _context(evaluated, row)
            st.button(
                "Similar",
                key=f"similar-{row['patch']}",
                icon=":material/hub:",
                type="tertiary",
                help="See the patches that look most like it to the network.",
                on_click=_seek_similar,
                args=(row["patch"],),
            )
            st.page_link(
                EXPLORER,
                label="Explore",
                icon=":material/compare:",
                help="Open it in the prediction explorer.",
                query_params=link(looking_at(row["scene"], place) | ({"with": second.name} if second else {})),
            )
    where = (dataset, row["scene"], row["row"], row["column"], run.patch_size)
    image, mask = load_patch(*where, run.stretch)
    colors = display_palette(palette)
    pictures = [image, colors.decode(apply_void_policy(mask, run.protocol, palette))]
    for of in (run, second):
        if of and (of.model or of.predictions) and of.name not in broken:
            try:
                seen = partial(load_patch_bands, *where, of.stretch)
                pictures.append(colors.decode(predict_by(of, seen, place_of(*where, of.stretch)).classes))
            except (RunError, BackendError, ImageFileError) as error:  # the other run may need more bands
                if of.model:  # which fails on all alike
                    broken.add(of.name)
                st.error(plain(error), icon=":material/error:")
    with st.container(key=f"pixels-{row['patch']}"):
        alt = f"Patch {row['patch']}: image, ground truth and {'prediction' if len(pictures) == 3 else 'predictions'}"
        st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG", alt=alt)
    by_class = {plain(name): row[f"iou_{name}"] for name in palette.names}
    shown = ", ".join(f"{name} {iou:.3f}" for name, iou in by_class.items() if pd.notna(iou))
    facts = _facts(row, filters)
    bold = facts.pop(ranked_by) if isinstance(ranked_by, str) else ranked_by(row)
    st.markdown(" · ".join([f"**{bold}**", *facts.values()]))
    st.caption(f"IoU: {shown}  \nBrightness {row['brightness']:.2f} · contrast {row['contrast']:.2f}")


def _seek_similar(patch: str) -> None:
    """Go to the patches most like one; a callback, before the widgets that say so are drawn."""
    st.session_state.update({"view": SIMILAR, SHOWN: MORE, LIKE: patch})


def _pixels(count: int, kind: str) -> str:
    return f"{count:,} {kind} pixel" if count == 1 else f"{count:,} {kind} pixels"


def _facts(row: pd.Series, filters: Filters) -> dict[str, str]:
    """Return what a card says of a patch, as Markdown, by the columns that patches can be ranked by."""
    facts, class_name = {}, filters.class_name
    if class_name:
        facts[f"iou_{class_name}"] = f"IoU of {plain(class_name)} {row[f'iou_{class_name}']:.3f}"
    if COUNTED in row:
        kind = ERRORS[filters.errors]
        facts[COUNTED] = _pixels(int(row[kind]), kind)
        if class_name:
            facts[COUNTED] += f" of {plain(class_name)}"
        if class_name and filters.errors == "All":
            facts[COUNTED] += f" ({row[MISSED]:,} missed, {row[INVENTED]:,} invented)"
    facts["mean_iou"] = f"Mean IoU {score(row['mean_iou'])} of {in_classes(row['classes'])}"
    facts["accuracy"] = f"Accuracy {score(row['accuracy'])}"
    if pd.notna(row.get("surely_wrong")):
        facts["surely_wrong"] = f"{100 * row['surely_wrong']:.1f} % confidently wrong"
    if pd.notna(row["confidence"]):
        facts["confidence"] = f"Confidence {row['confidence']:.2f}"
    return facts


@st.dialog("In its scene", width="large")
def _context(evaluated: EvaluatedRun, row: pd.Series) -> None:
    """Show where in its scene a patch is."""
    run, dataset = evaluated.run, evaluated.dataset
    with show_errors():
        image, _ = load_scene(dataset.scene(row["scene"]), dataset.palette, dataset.stretch_for(run.stretch))
        framed = draw_frame(image, row["row"] * run.patch_size, row["column"] * run.patch_size, run.patch_size)
        st.image(
            png_bytes(fit(framed, smooth=True)),
            caption=code(row["patch"]),
            width="stretch",
            output_format="PNG",
            alt=f"Scene {row['scene']} with a frame around patch {row['patch']}",
        )
