"""Which objects of a class are found, missed, merged, split or invented, by size, and where."""

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.patches import patch_name
from segmentation.data.pixel_areas import unit_of
from segmentation.evaluation.objects import (
    FOUND,
    INVENTED,
    MERGED,
    MISSED,
    SMALLEST,
    SPLIT,
    TRUE,
    ObjectScores,
    object_intervals,
    object_table,
    score_by_size,
    size_edges,
)
from segmentation.tables import to_safe_csv
from segmentation.ui.address import link
from segmentation.ui.charts.objects import size_figure
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.loaders.objects import (
    FoundObjects,
    load_both,
    load_objects,
    scenes_to_search,
    search_objects,
)
from segmentation.ui.loaders.scenes import load_scene
from segmentation.ui.pictures import fit, in_a_row
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.parts import choose_part_name
from segmentation.ui.shell.words import INTERVAL, PARTS, between, code, plain, score

OUTCOMES = {
    "Missed": (TRUE, MISSED, "true objects that no prediction matches"),
    "Merged": (TRUE, MERGED, "true objects that one prediction covers together with others"),
    "Split": (TRUE, SPLIT, "true objects in which two or more predictions lie"),
    "Invented": (None, INVENTED, "predicted objects that match no true one"),
    "Found": (TRUE, FOUND, "true objects with a prediction of an IoU above 0.5"),
}
"""What can be listed: the side and the outcome that it is, and what it means."""

LISTED = 5_000
"""Rows of the table at most: a browser holds them all."""

AROUND = 40
"""Pixels of a scene shown around an object, at least."""

LONGEST = 480
"""Longest side of each picture of an object, in pixels."""


def objects(evaluated: EvaluatedRun) -> None:
    """Show how well objects of a class are found, by size, and each of those that are not in its place."""
    run, dataset, palette = evaluated.run, evaluated.dataset, evaluated.palette
    if run.model is None and run.predictions is None:
        st.info(
            f"{plain(run.name)} has no model and no predictions of its own to find objects in: choose one of its "
            "folds, or another run.",
            icon=":material/category:",
        )
        return
    part, class_name, least = _choose(evaluated)
    found = load_objects(run, dataset, part)
    if found is None:
        _offer_search(evaluated, part)
        return
    index = palette.names.index(class_name)
    table = object_table(found.scenes, index, part, least)
    by = "square_metres" if len(table) and table["square_metres"].notna().all() else "pixels"
    table = table.sort_values(by, ascending=False, kind="stable", ignore_index=True)
    _say_what_counts(evaluated, found, part)
    if table.empty:
        st.info(
            f"No object of {plain(class_name)} of {least:,} pixels or more counts in this part: choose another class, "
            "a smaller size or another part in the sidebar.",
            icon=":material/search_off:",
        )
        return
    _show_scores(evaluated, table, class_name, by)
    _show_list(evaluated, table, class_name, part, by)


def _choose(evaluated: EvaluatedRun) -> tuple[str, str, int]:
    """Let the user choose the part, the class and the least size in the sidebar."""
    sidebar, names = st.sidebar, evaluated.palette.names
    sidebar.subheader("Objects", anchor=False)
    part = choose_part_name(sidebar, "An object is held out if no pixel of it was trained on or validated on.")
    class_name = sidebar.selectbox(
        "Class of the objects",
        names,
        key="objects-of",
        bind="query-params",
        help="Its connected regions are the objects: pixels that touch at a side or a corner.",
    )
    least = sidebar.number_input(
        "Minimum size, pixels",
        SMALLEST,
        1_000_000,
        64,
        step=16,
        key="least-size",
        bind="query-params",
        help="Smaller objects do not count, neither true nor predicted ones.",
    )
    return PARTS[part], class_name, int(least)


def _offer_search(evaluated: EvaluatedRun, part: str) -> None:
    """Say that objects have to be found first, and find them if the user wants it."""
    run = evaluated.run
    missing, scenes = scenes_to_search(run, evaluated.dataset, part)
    if not scenes:
        st.info(
            f"No patch of {plain(run.name)} is in this part: choose another in the sidebar.",
            icon=":material/filter_alt_off:",
        )
        return
    how = "predicts each with overlapping windows" if run.model else "reads each one's prediction"
    st.info(
        f"Objects are found in whole scenes: for {missing:,} of the {scenes:,} with patches in this part that has not "
        f"been done yet. It {how}, takes seconds per scene, and is kept for the next time.",
        icon=":material/category:",
    )
    asked = st.button(
        "Find objects",
        type="primary",
        key="find-objects",
        icon=":material/play_circle:",
        help="Of all classes at once. What is done when it is stopped is kept.",
    )
    if asked:
        # A click on it ends this run of the page at the next step of the bar.
        st.button(
            "Cancel",
            icon=":material/cancel:",
            key="cancel-objects",
            help="What is done so far is kept, scene by scene.",
        )
        search_objects(run, evaluated.dataset, part)
        st.rerun()


def _say_what_counts(evaluated: EvaluatedRun, found: FoundObjects, part: str) -> None:
    """Say which objects are counted, and which scenes are not."""
    patches = evaluated.patches
    inside = patches[patches["scene"].isin(found.scenes)]
    mixed = inside.groupby("scene")["part"].nunique().gt(1).any()
    text = f"Objects of {len(found.scenes):,} whole scenes; an object matches another if their IoU is above 0.5."
    if mixed:
        name = next(name for name, key in PARTS.items() if key == part).lower()
        text += (
            f" This run's protocol parts patches, not scenes: only objects that lie wholly in patches that are {name} "
            "count. Large ones, which reach into others, are left out, and what surrounds those that count was "
            "trained on. A run that holds out whole scenes tells more."
        )
    st.caption(text)
    for sentence in found.left_out:
        st.warning(f"Left out: {plain(sentence)}", icon=":material/warning:")


def _show_scores(evaluated: EvaluatedRun, table: pd.DataFrame, class_name: str, by: str) -> None:
    """Show recall, precision, F1 and panoptic quality, what became of the objects, and both scores by size."""
    scores = ObjectScores.of(table)
    tiles = dict(zip(evaluated.patches["scene"], evaluated.patches["tile"], strict=True))
    intervals = object_intervals(table, tiles)
    drawn = intervals[:2] if intervals else (None, None)
    figures = st.grid(4, min_column_width=200)
    told = (
        ("Object recall", scores.recall, "The share of the true objects that are found.", 0),
        ("Object precision", scores.precision, "The share of the predicted objects that match a true one.", 1),
        ("Object F1", scores.f1, "The harmonic mean of both, also called recognition quality.", None),
        (
            "Panoptic quality",
            scores.panoptic_quality,
            "Object F1 times the mean IoU of the objects that are found "
            f"({score(scores.segmentation_quality)}; Kirillov et al., 2019).",
            None,
        ),
    )
    for title, value, meaning, place in told:
        spread = between(drawn[place]) if place is not None else None
        text = f"{meaning} {INTERVAL}" if spread else meaning
        figures.metric(title, score(value), spread, "off", delta_arrow="off", help=text)
    counts = table.groupby(["side", "outcome"]).size()

    def count(side: str, outcome: str) -> str:
        return f"{counts.get((side, outcome), 0):,} {outcome}"

    st.markdown(
        f"**{scores.true:,} true** objects of {plain(class_name)}: "
        + ", ".join(count(TRUE, outcome) for outcome in (FOUND, MERGED, SPLIT, MISSED))
        + f". **{scores.predicted:,} predicted**: "
        + ", ".join(count("predicted", outcome) for outcome in (FOUND, INVENTED))
        + f", {counts.get(('predicted', MERGED), 0):,} that merge several, "
        f"{counts.get(('predicted', SPLIT), 0):,} parts of one."
    )
    by_size = score_by_size(table, size_edges(table, by), by)
    st.plotly_chart(
        size_figure(by_size, [_range(low, high, by) for low, high in zip(by_size["from"], by_size["to"], strict=True)]),
        key="objects-by-size",
        config={"displayModeBar": False},
    )


def _range(low: float, high: float, by: str) -> str:
    """Say which sizes lie between two."""
    unit = "m²" if by == "square_metres" else "px"
    if np.isinf(high):
        return f"from {low:,.0f} {unit}" if low else "all sizes"
    return f"under {high:,.0f} {unit}" if not low else f"{low:,.0f}–{high:,.0f} {unit}"


def _show_list(evaluated: EvaluatedRun, table: pd.DataFrame, class_name: str, part: str, by: str) -> None:
    """List objects of an outcome from the largest down, show the chosen one, and offer the list as files."""
    outcome = st.segmented_control(
        "Objects listed",
        list(OUTCOMES),
        default="Missed",
        required=True,
        key="outcome",
        bind="query-params",
        help="  \n".join(f"**{name}**: {meaning}." for name, (_, _, meaning) in OUTCOMES.items()),
    )
    side, name, meaning = OUTCOMES[outcome]
    listed = table[(table["outcome"] == name) & ((table["side"] == side) | (side is None))].reset_index(drop=True)
    st.markdown(f"**{len(listed):,}** {meaning}, the largest first.")
    if listed.empty:
        return
    in_metres = by == "square_metres"
    shown = listed.head(LISTED)
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.cell():
        event = st.dataframe(
            shown[["scene", by, *(["pixels"] if in_metres else []), "iou", "left", "top"]],
            hide_index=True,
            height=360,
            key="objects-table",
            on_select="rerun",
            selection_mode="single-row",
            column_config={
                "scene": "Scene",
                "square_metres": st.column_config.NumberColumn("m²", format="localized", help="On the ellipsoid."),
                "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
                "iou": st.column_config.NumberColumn(
                    "Best IoU", format="%.2f", help="The highest with any object of the other side."
                ),
                "left": st.column_config.NumberColumn("Column", help="Of its first pixel from the left."),
                "top": st.column_config.NumberColumn("Row", help="Of its first pixel from the top."),
            },
        )
        more = (
            f" Of {len(listed):,} the first {LISTED:,} are shown; the files hold all." if len(listed) > LISTED else ""
        )
        st.caption(f"Choose a row to see the object.{more}")
    chosen = event["selection"]["rows"]
    with halves.cell(), show_errors():
        _show_object(evaluated, shown.iloc[chosen[0] if chosen and chosen[0] < len(shown) else 0], class_name, part)
    _offer_files(evaluated, listed, class_name, outcome, part)


def _show_object(evaluated: EvaluatedRun, row: pd.Series, class_name: str, part: str) -> None:
    """Show an object in image, mask and prediction, and the way to its place in the explorer."""
    run, dataset, size = evaluated.run, evaluated.dataset, evaluated.run.patch_size
    top, left, bottom, right = (int(row[name]) for name in ("top", "left", "bottom", "right"))
    image, _ = load_scene(dataset.scene(row["scene"]), dataset.palette, dataset.stretch_for(run.stretch))
    truth, predicted = load_both(run, dataset, row["scene"], part)
    side = max(bottom - top, right - left) + 2 * AROUND
    first_row, first_column = (max(0, (low + high - side) // 2) for low, high in ((top, bottom), (left, right)))
    here = np.s_[first_row : first_row + side, first_column : first_column + side]
    colors = display_palette(evaluated.palette)
    area = row["square_metres"]
    unit = unit_of(area) if area == area else None
    on_ground = f", {area / unit.square_metres:,.1f} {unit.name}" if unit else ""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"{code(row['scene'])} · {row['pixels']:,} pixels{on_ground}")
        st.page_link(
            EXPLORER,
            label="Explore",
            icon=":material/compare:",
            help="Open its patch in the prediction explorer; the whole scene, if it is larger than a patch.",
            query_params=link(looking_at(row["scene"], *_patch_of(evaluated, row, size))),
        )
    pictures = [image[here], colors.decode(truth[here]), colors.decode(predicted[here])]
    framed = [
        _framed(picture, top - first_row, left - first_column, bottom - top, right - left) for picture in pictures
    ]
    with st.container(key="pixels-object"):
        st.image(
            png_bytes(in_a_row([fit(picture, LONGEST) for picture in framed])),
            width="stretch",
            output_format="PNG",
            alt=f"{class_name} in {row['scene']}: image, ground truth and prediction, framed",
        )
    st.caption(f"Image, ground truth, prediction of {plain(run.name)}; the frame is around the object.")


def _framed(picture: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Return a copy with a white and a black line around a box, where the picture goes on."""
    drawn = picture.copy()
    line = max(1, max(picture.shape) // LONGEST)
    for out, color in ((2 * line, 0), (line, 255)):
        rows, columns = (max(0, top - out), top + height + out), (max(0, left - out), left + width + out)
        drawn[rows[0] : rows[0] + line, columns[0] : columns[1]] = color
        drawn[rows[1] - line : rows[1], columns[0] : columns[1]] = color
        drawn[rows[0] : rows[1], columns[0] : columns[0] + line] = color
        drawn[rows[0] : rows[1], columns[1] - line : columns[1]] = color
    return drawn


def _patch_of(evaluated: EvaluatedRun, row: pd.Series, size: int) -> list[str]:
    """Return the name of the patch in the middle of an object that is no larger than one; nothing if there is none."""
    if max(row["bottom"] - row["top"], row["right"] - row["left"]) > size:
        return []
    down, across = (row["top"] + row["bottom"]) // 2 // size, (row["left"] + row["right"]) // 2 // size
    name = patch_name(row["scene"], down, across)
    return [name.rsplit("/", 1)[1]] if (evaluated.patches["patch"] == name).any() else []


def _offer_files(evaluated: EvaluatedRun, listed: pd.DataFrame, class_name: str, outcome: str, part: str) -> None:
    """Offer the objects that are listed as CSV, and with their outlines as GeoJSON."""
    run, dataset = evaluated.run, evaluated.dataset
    index = evaluated.palette.names.index(class_name)

    def outlines() -> str:
        from segmentation.evaluation.outlines import to_geojson  # GDAL: only where it is needed

        return to_geojson(listed, dataset, index, lambda scene: load_both(run, dataset, scene, part))

    name = f"{run.name}-objects-{outcome.lower()}"
    with st.container(horizontal=True):
        st.download_button(
            "Download the list",
            lambda: to_safe_csv(listed.assign(**{"class": class_name})),
            f"{name}.csv",
            "text/csv",
            key="objects-csv",
            icon=":material/download:",
            on_click="ignore",
            help="One row per object listed: scene, outcome, size, best IoU and box.",
        )
        st.download_button(
            "Download the outlines",
            outlines,
            f"{name}.geojson",
            "application/geo+json",
            key="objects-geojson",
            icon=":material/download:",
            on_click="ignore",
            help="GeoJSON of the objects listed, up to 10,000: in longitude and latitude where the scene says where "
            "it lies, otherwise in its pixels.",
        )
