"""Regions whose labels a run contradicts with confidence: one after the other, judged from the keyboard."""

import numpy as np
import pandas as pd
import streamlit as st
from scipy import ndimage

from segmentation.data.images import png_bytes
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.patches import patch_name
from segmentation.data.pixel_areas import unit_of
from segmentation.data.protocols import TRAIN, VALIDATION
from segmentation.evaluation.audit_run import Audit, what_to_know
from segmentation.evaluation.label_audit import CONFIDENT, LEAST, regions_of, with_verdicts
from segmentation.evaluation.objects import CONNECTIVITY
from segmentation.runs.region_verdicts import VERDICTS, Region, keep_verdict, read_verdicts
from segmentation.ui.address import link
from segmentation.ui.gallery.audit_results import offer_files, show_if_right, show_other_labels
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.loaders.label_audit import find_regions, load_audit, load_table, scenes_to_audit
from segmentation.ui.loaders.scenes import load_fingerprint, load_scene
from segmentation.ui.pictures import fit, in_a_row
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.words import PARTS, code, plain

KEYS = {"wrong": ("Label wrong", "1"), "right": ("Label right", "2"), "unsure": ("Unsure", "3")}
"""What a verdict's button says, and the key that presses it."""

TO_DO = "To do"

LISTED = 5_000
"""Rows of the table at most: a browser holds them all."""

AROUND = 32
"""Pixels of a scene shown around a region, at least."""

LONGEST = 640
"""Longest side of each picture of a region, in pixels; smaller ones are enlarged up to eight times."""


def label_audit(evaluated: EvaluatedRun) -> None:
    """Show the regions whose labels the run contradicts, to be judged, and what the verdicts make of its scores."""
    run, dataset = evaluated.run, evaluated.dataset
    if not (run.model or run.predictions):
        st.info(
            f"{plain(run.name)} has no model and no predictions of its own to audit labels by: choose another run.",
            icon=":material/fact_check:",
        )
        return
    audit = load_audit(run, dataset)
    if audit is None:
        _offer_audit(evaluated)
        return
    check_allowed(runs_folder(), readable())
    fingerprint = load_fingerprint(dataset)
    verdicts = read_verdicts(runs_folder(), fingerprint)
    table = with_verdicts(load_table(run, dataset, audit), verdicts)
    _say_how(evaluated, audit)
    listed = _chosen(evaluated, table)
    if listed.empty:
        st.info(
            "No region is left by what is chosen in the sidebar: choose another part, class, size or verdict there."
            if len(table)
            else f"No label is contradicted in {LEAST} pixels or more with a confidence of {CONFIDENT} or more.",
            icon=":material/filter_alt_off:",
        )
    else:
        _review(evaluated, audit, listed, fingerprint)
    show_if_right(evaluated, audit, table)
    offer_files(evaluated, audit, listed, table)
    show_other_labels(evaluated)


def _offer_audit(evaluated: EvaluatedRun) -> None:
    """Say that labels have to be audited first, and do it if the user wants it."""
    run = evaluated.run
    missing, scenes = scenes_to_audit(run, evaluated.dataset)
    how = "reads each one's prediction" if run.predictions and not run.folds else "predicts each"
    st.info(
        f"Labels are audited in whole scenes: {missing:,} of {scenes:,} have not been yet. It {how}, takes seconds per "
        "scene, and is kept for the next time.",
        icon=":material/fact_check:",
    )
    asked = st.button(
        "Audit labels",
        type="primary",
        key="audit-labels",
        icon=":material/play_circle:",
        help="In all parts at once. What is done when it is stopped is kept.",
    )
    if asked:
        # A click on it ends this run of the page at the next step of the bar.
        st.button(
            "Cancel", icon=":material/cancel:", key="cancel-audit", help="What is done so far is kept, scene by scene."
        )
        find_regions(run, evaluated.dataset)
        st.rerun()


def _say_how(evaluated: EvaluatedRun, audit: Audit) -> None:
    """Say how regions were found, and what to know of that."""
    by = "by the fold that left it out" if evaluated.run.folds else f"by {plain(evaluated.run.name)}"
    st.caption(
        f"Connected areas of {len(audit.scenes):,} scenes whose label is contradicted {by} with a confidence of "
        f"{CONFIDENT} or more, away from outlines; ranked by area and certainty, and lower where a scene has many "
        "contradictions of the same kind. Regions that the model was trained on come last: it has learnt their labels."
    )
    for sentence in what_to_know(evaluated.run):
        st.caption(f":material/info: {sentence}")
    for sentence in audit.left_out:
        st.warning(f"Left out: {plain(sentence)}", icon=":material/warning:")


def _chosen(evaluated: EvaluatedRun, table: pd.DataFrame) -> pd.DataFrame:
    """Let the user choose regions in the sidebar, and return them."""
    sidebar, names = st.sidebar, list(evaluated.palette.names)
    sidebar.subheader("Regions", anchor=False)
    part = sidebar.segmented_control(
        "Part",
        ["All", *PARTS],
        default="All",
        required=True,
        key="audit-part",
        bind="query-params",
        help="A region is held out if no pixel of it was trained on or validated on.",
    )
    verdict = sidebar.selectbox(
        "Verdict",
        ["All", TO_DO, *(name for name, _ in KEYS.values())],
        key="audit-verdict",
        bind="query-params",
        help="Regions that nobody has judged yet, or those judged so.",
    )
    labelled = sidebar.multiselect(
        "Labelled as", names, key="audit-labelled", bind="query-params", help="Regions with these labels; all if empty."
    )
    predicted = sidebar.multiselect(
        "Predicted as", names, key="audit-predicted", bind="query-params", help="Likewise by the class predicted."
    )
    least = sidebar.number_input(
        "Minimum size, pixels",
        LEAST,
        1_000_000,
        LEAST,
        step=64,
        key="audit-size",
        bind="query-params",
        help="Smaller regions are left out.",
    )
    chosen = table["pixels"] >= least
    if part != "All":
        chosen &= table["part"] == PARTS[part]
    if verdict != "All":
        chosen &= table["verdict"] == next((key for key, (name, _) in KEYS.items() if name == verdict), "")
    for column, classes in (("labelled", labelled), ("predicted", predicted)):
        if classes:
            chosen &= table[column].isin(classes)
    return table[chosen].reset_index(drop=True)


def _review(evaluated: EvaluatedRun, audit: Audit, listed: pd.DataFrame, fingerprint: str) -> None:
    """Show one region, let the user judge it and go on, and list all."""
    shown = listed.head(LISTED)
    regions = regions_of(shown)
    here = session().region
    place = regions.index(here) if here in regions else 0
    region, row = regions[place], shown.iloc[place]
    following = regions[min(place + 1, len(regions) - 1)]
    _tell(evaluated, row, f"Region {place + 1:,} of {len(listed):,}")
    with st.container(horizontal=True, key="audit-verdicts"):
        for verdict, (name, key) in KEYS.items():
            st.button(
                name,
                key=f"audit-{verdict}",
                shortcut=key,
                type="primary" if row["verdict"] == verdict else "secondary",
                help=f"{VERDICTS[verdict]} Again: take the verdict back.",
                on_click=_judge,
                args=(
                    fingerprint,
                    region,
                    None if row["verdict"] == verdict else verdict,
                    evaluated.run.name,
                    following,
                ),
            )
        before = regions[max(place - 1, 0)]
        for name, key, to, at_end in (
            ("Previous", "P", before, before == region),
            ("Next", "N", following, following == region),
        ):
            st.button(
                name,
                key=f"audit-{name.lower()}",
                shortcut=key,
                disabled=at_end,
                help=f"The {name.lower()} region of the list.",
                on_click=_go,
                args=(to,),
            )
    with show_errors():
        _show(evaluated, audit, row)
    _list(shown, listed, regions)


def _judge(fingerprint: str, region: Region, verdict: str | None, run: str, following: Region) -> None:
    """Keep a verdict and go on to the next region; a callback."""
    with show_errors():
        keep_verdict(runs_folder(), fingerprint, region, verdict, run)
        session().region = following if verdict else region


def _go(region: Region) -> None:
    """Look at a region; a callback."""
    session().region = region


def _pick(regions: list[Region]) -> None:
    """Look at the region whose row was chosen; a callback."""
    rows = st.session_state["audit-table"]["selection"]["rows"]
    if rows and rows[0] < len(regions):
        session().region = regions[rows[0]]


def _tell(evaluated: EvaluatedRun, row: pd.Series, place: str) -> None:
    """Say what is known of a region, with the way to its place in the explorer."""
    area, certainty = row["square_metres"], row["certainty"]
    unit = unit_of(area) if area == area else None
    facts = [
        f"{place}: labelled **{plain(row['labelled'])}**, predicted **{plain(row['predicted'])}**",
        f"{row['pixels']:,} pixels" + (f", {area / unit.square_metres:,.1f} {unit.name}" if unit else ""),
    ]
    if certainty == certainty:
        facts.append(f"certainty {certainty:.3f}")
    if row["part"] == TRAIN:
        facts.append("the model was trained on this label")
    elif row["part"] == VALIDATION:
        facts.append("its epoch was chosen on this label, among others")
    if row["verdict"]:
        facts.append(f"judged **{KEYS[row['verdict']][0].lower()}**")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"{' · '.join(facts)} · {code(row['scene'])}")
        st.page_link(
            EXPLORER,
            label="Explore",
            icon=":material/compare:",
            help="Open its patch in the prediction explorer; the whole scene, if it is larger than a patch.",
            query_params=link(looking_at(row["scene"], *_patch_of(evaluated, row))),
        )


def _patch_of(evaluated: EvaluatedRun, row: pd.Series) -> list[str]:
    """Return the name of the patch in the middle of a region that is no larger than one; nothing if there is none."""
    size = evaluated.run.patch_size
    if max(row["bottom"] - row["top"], row["right"] - row["left"]) > size:
        return []
    down, across = (row["top"] + row["bottom"]) // 2 // size, (row["left"] + row["right"]) // 2 // size
    name = patch_name(row["scene"], down, across)
    return [name.rsplit("/", 1)[1]] if (evaluated.patches["patch"] == name).any() else []


def _show(evaluated: EvaluatedRun, audit: Audit, row: pd.Series) -> None:
    """Show a region's outline on the image and on its labels."""
    dataset, run = evaluated.dataset, evaluated.run
    image, mask = load_scene(dataset.scene(row["scene"]), dataset.palette, dataset.stretch_for(run.stretch))
    top, left, bottom, right = (int(row[name]) for name in ("top", "left", "bottom", "right"))
    side = max(bottom - top, right - left)
    side += 2 * max(AROUND, side // 2)
    first_row, first_column = (max(0, (low + high - side) // 2) for low, high in ((top, bottom), (left, right)))
    here = np.s_[first_row : first_row + side, first_column : first_column + side]
    inside = np.zeros(mask[here].shape, bool)
    inside[top - first_row : bottom - first_row, left - first_column : right - first_column] = audit.scenes[
        row["scene"]
    ].mask(int(row["place"]))
    pictures = [image[here], display_palette(evaluated.palette).decode(mask[here])]
    with st.container(key="pixels-region"):
        st.image(
            png_bytes(in_a_row([_outlined(picture, inside) for picture in pictures])),
            width="stretch",
            output_format="PNG",
            alt=f"{row['scene']}, region labelled {row['labelled']}, predicted {row['predicted']}: image and labels",
        )
    st.caption("Image and labels; the white line is around the region.")


def _outlined(picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return a picture enlarged or shrunk to `LONGEST`, with a white and a black line around a region.

    Args:
        picture: (height, width, 3) uint8.
        inside: (height, width) bool, where the region is.
    """
    times = int(np.clip(LONGEST // max(inside.shape), 1, 8))
    drawn, inside = (of.repeat(times, 0).repeat(times, 1) for of in (picture, inside))
    drawn = fit(drawn, LONGEST).copy()
    inside = fit(inside.astype(np.uint8)[..., None].repeat(3, 2), LONGEST)[..., 0] > 0
    white = ndimage.binary_dilation(inside, CONNECTIVITY, 2)
    drawn[ndimage.binary_dilation(white, CONNECTIVITY, 2) & ~white] = 0
    drawn[white & ~inside] = 255
    return drawn


def _list(shown: pd.DataFrame, listed: pd.DataFrame, regions: list[Region]) -> None:
    """List the regions; a row that is chosen is looked at."""
    in_metres = bool(shown["square_metres"].notna().any())
    columns = [
        "verdict",
        "labelled",
        "predicted",
        "pixels",
        *(["square_metres"] * in_metres),
        "certainty",
        "part",
        "scene",
    ]
    names = {part: name for name, part in PARTS.items()}
    st.dataframe(
        shown[columns].assign(
            part=shown["part"].map(names).fillna("–"),
            verdict=shown["verdict"].str.capitalize(),
        ),
        hide_index=True,
        height=300,
        key="audit-table",
        on_select=lambda: _pick(regions),
        selection_mode="single-row",
        column_config={
            "verdict": st.column_config.TextColumn("Verdict", help="What people judged the label to be."),
            "labelled": "Labelled",
            "predicted": "Predicted",
            "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
            "square_metres": st.column_config.NumberColumn("m²", format="localized", help="On the ellipsoid."),
            "certainty": st.column_config.NumberColumn(
                "Certainty", format="%.3f", help="The mean probability of the class predicted."
            ),
            "part": st.column_config.TextColumn("Part", help="Whether the model was trained on the label."),
            "scene": "Scene",
        },
    )
    more = f" Of {len(listed):,} the first {LISTED:,} are shown; the files hold all." if len(listed) > LISTED else ""
    st.caption(f"Choose a row to see the region.{more}")
