"""Areas of a map that one may publish: points drawn on it to be labelled, and what they say once they are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.areas.assessment import ASSUMED, NOT_A_SAMPLE, Assessment
from segmentation.areas.design import MOST_POINTS, Allocation
from segmentation.areas.estimates import Z
from segmentation.data.palette import Palette
from segmentation.data.pixel_areas import UNITS, unit_of
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.charts.areas import area_bars
from segmentation.ui.loaders.areas import Plan, load_assessment, load_points
from segmentation.ui.loaders.caching import progress_bar
from segmentation.ui.session import session
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import plain

EXPECTED = 0.85
"""The user's accuracy of a class of which a run says nothing."""

BOUNDS = 0.5, 0.99
"""Within which a run's precision is believed when points are planned."""

SHARED_OUT: dict[str, Allocation] = {"By area": "proportional", "Equal": "equal", "Neyman": "neyman"}
"""Allocations by what they are called."""

READING = "Reading the map, windows …"


def show_area_estimates(run: Run, palette: Palette, path: Path, stem: str) -> None:
    """Offer points to label, and show the areas that labelled ones give.

    Args:
        run: The run that predicted the map.
        palette: The map's classes.
        path: The map.
        stem: So names of downloads begin.
    """
    more = st.expander("Areas to publish", key="publish", bind="query-params", icon=":material/square_foot:")
    if not more.open:
        return
    with more:
        st.caption(
            "The areas above are the map's own, errors and all. Label a random sample of its points, and the areas are "
            "corrected by what is wrong, each with its 95 % interval (Olofsson et al. 2014)."
        )
        halves = st.grid(2, min_column_width=380, gap="large")
        with halves.cell():
            _offer_points(run, palette, path, stem)
        with halves.cell():
            st.markdown("**2 · Upload them labelled**")
            upload = st.file_uploader(
                "Labelled points",
                type=["geojson", "json", "csv"],
                key="labelled-points",
                help="The file of step 1 with a class in each label, or your own: GeoJSON, or CSV with x, y in the "
                "map's coordinates (or longitude, latitude) and label. Forgotten when you leave this page.",
            )
            st.caption(f"{ASSUMED} {NOT_A_SAMPLE}")
        if upload is None:
            return
        with show_errors():
            with progress_bar(READING) as progress:
                found = load_assessment(path, palette, upload.getvalue(), upload.name, progress)
            _show(found, palette, stem)


def _offer_points(run: Run, palette: Palette, path: Path, stem: str) -> None:
    """Let the user choose how points are drawn, draw them when asked to, and offer them as a file."""
    st.markdown("**1 · Draw points to label**")
    with st.container(horizontal=True):
        size = st.number_input(
            "Points",
            10,
            MOST_POINTS,
            300,
            step=50,
            key="points",
            bind="query-params",
            help="Drawn at random within each class of the map. Four times as many halve the intervals.",
        )
        allocation = st.selectbox(
            "Allocation",
            list(SHARED_OUT),
            key="allocation",
            bind="query-params",
            help="By area, with up to 50 in rare classes; equally; or by area and how often the run errs in a class, "
            "by its precision on its test part, which plans the sample and changes no result.",
        )
        seed = st.number_input(
            "Seed", 0, 2**31, 0, key="points-seed", bind="query-params", help="The same draws the same points."
        )
    reveal = st.toggle(
        "Tell the map's class",
        key="reveal",
        bind="query-params",
        help="Adds map_class to each point. Whoever labels should not see it.",
    )
    plan = Plan(int(size), SHARED_OUT[allocation], _expected(run, palette), reveal, int(seed))
    request = (path, path.stat().st_mtime_ns, plan)
    if st.button("Draw points", key="draw-points", icon=":material/scatter_plot:", help="Then download them."):
        # A click on it ends this run of the page at the next step of the bar.
        st.button("Cancel", icon=":material/cancel:", key="cancel-points")
        with show_errors(), progress_bar(READING) as progress:
            load_points(path, palette, plan, progress)
            session().points_drawn = request
        if session().points_drawn == request:
            st.rerun()
    if session().points_drawn != request:
        return
    with show_errors(), progress_bar(READING) as progress:
        text = load_points(path, palette, plan, progress)
        st.download_button(
            f"{plan.size:,} points (GeoJSON)",
            text,
            f"{stem}-points.geojson",
            "application/geo+json",
            key="download-points",
            icon=":material/download:",
            on_click="ignore",
            help="In random order, each with an id and an empty label: open it in QGIS over the image, and write the "
            "class that you see into label.",
        )


def _expected(run: Run, palette: Palette) -> tuple[float, ...]:
    """Return how much of each class is thought to be right, by a run's test part: to plan a sample, no more."""
    if run.metrics is None or len(run.metrics.confusion_matrix) != len(palette):
        return (EXPECTED,) * len(palette)
    precision = np.nan_to_num(scores.precision(np.array(run.metrics.confusion_matrix)), nan=EXPECTED)
    return tuple(np.clip(precision, *BOUNDS).tolist())


def _show(found: Assessment, palette: Palette, stem: str) -> None:
    """Show areas with their intervals, accuracies, and what is to be known of the points."""
    table = found.table()
    shown, unit = _in_unit(found, table)
    overall = found.estimates.overall
    st.markdown(
        f"**{int(found.counts.sum()):,} labelled points** · overall accuracy {float(overall.value):.3f} ± "
        f"{float(overall.margin):.3f} (95 %)"
    )
    for note in found.notes:
        st.warning(plain(note), icon=":material/info:")
    st.plotly_chart(area_bars(shown, display_palette(palette), unit), key="area-bars", config={"displayModeBar": False})
    number = st.column_config.NumberColumn
    amount = "%.0f" if unit == UNITS[0].name else "%.2f"
    st.dataframe(
        shown.drop(columns=["low", "high"]),
        hide_index=True,
        key="area-estimates",
        column_config={
            "class": "Class",
            "mapped": number(f"On the map, {unit}", format=amount, help="What the map's own pixels cover."),
            "estimated": number(f"Estimated, {unit}", format=amount, help="Corrected by the labelled points."),
            "margin": number(f"± 95 %, {unit}", format=amount, help="1.96 standard errors."),
            "users": number("User's accuracy", format="%.3f", help="Of what is mapped as the class, the share right."),
            "producers": number("Producer's accuracy", format="%.3f", help="Of the class, the share that is mapped."),
            "points": number("Points", help="Labelled points that the map gives the class."),
        },
    )
    with st.container(horizontal=True):
        for label, kind, content in (
            ("Estimates (CSV)", "csv", to_safe_csv(table)),
            ("Estimates (JSON)", "json", json.dumps(found.to_dict(), indent=2, ensure_ascii=False)),
        ):
            st.download_button(
                label,
                content,
                f"{stem}-area-estimates.{kind}",
                key=f"download-estimates-{kind}",
                icon=":material/download:",
                on_click="ignore",
                help="Areas and accuracies with standard errors and intervals.",
            )


def _in_unit(found: Assessment, table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of the classes of which something is known, in a unit that a person would take, and its name."""
    kind, unit, size = "share", "% of the map", 0.01
    if found.in_square_metres:
        kind, (unit, size) = "square_metres", unit_of(found.total / 10)
    known = table[(table["mapped_share"] > 0) | (table["points_labelled"] > 0)]
    columns = {"mapped": f"mapped_{kind}", "estimated": kind, "low": f"{kind}_low", "high": f"{kind}_high"}
    shown = pd.DataFrame({"class": known["class"], **{name: known[of] / size for name, of in columns.items()}})
    shown["margin"] = Z * known[f"{kind}_standard_error"] / size
    shown["users"], shown["producers"] = known["users_accuracy"], known["producers_accuracy"]
    shown["points"] = known["points_mapped"]
    return shown, unit
