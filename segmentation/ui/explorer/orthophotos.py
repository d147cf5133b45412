"""The explorer's view of orthophotos: a GeoTIFF of any size, shown at once, on request predicted as a map."""

import hashlib
import importlib.util
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.palette import VOID, Palette
from segmentation.data.pixel_areas import UNITS, unit_of
from segmentation.data.raster import Raster
from segmentation.files import VanishingFolder, remove_unfinished, replacing
from segmentation.inference.batch import Job, kept_row, map_files, predict_file
from segmentation.inference.maps import write_polygons
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.thresholds import by_index, in_words
from segmentation.ui.charts.classes import class_bars
from segmentation.ui.charts.maps import map_figure
from segmentation.ui.explorer.area_estimates import show_area_estimates
from segmentation.ui.explorer.model import Model
from segmentation.ui.explorer.sources import say_no_model
from segmentation.ui.explorer.thresholds import choose_thresholds
from segmentation.ui.explorer.view import choose_windows
from segmentation.ui.loaders.caching import progress_bar, taking_turns
from segmentation.ui.loaders.orthophotos import load_orthophoto, load_overview
from segmentation.ui.loaders.predictions import load_predictor
from segmentation.ui.pictures import heat, overlay
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.masks import choose_opacity, display_palette
from segmentation.ui.shell.words import plain
from segmentation.ui.viewer import Coordinates, Pane, Reading, viewer

MAPS = "maps"
"""The folder among the runs for predictions of orthophotos on this machine: one folder per run, in it one per path."""

CLASSES, CONFIDENCE, POLYGONS = "Classes", "Confidence", "Polygons"


@st.cache_resource(scope="session", on_release=VanishingFolder.close, show_spinner=False)
def _upload_folder() -> VanishingFolder:
    """Return this session's folder for its upload and what is made of it: gone when the page is closed."""
    return VanishingFolder("orthophoto-")


def choose_orthophoto(run: Run) -> tuple[Path, Path] | None:
    """Let the user name a GeoTIFF or upload one; return it and the folder for what is predicted of it."""
    left, right = st.columns(2)
    path = left.text_input(
        "Path of a GeoTIFF",
        key="orthophoto",
        bind="query-params",
        placeholder="/data/orthophotos/city.tif",
        help="On the machine that serves this page; of any size.",
    )
    upload = right.file_uploader(
        "Or upload one",
        type=["tif", "tiff", "jp2"],
        key="upload-orthophoto",
        help="Forgotten when this page is closed.",
    )
    if upload:
        folder = _upload_folder().path
        # Under a name of ours: the upload's own says nothing about where it may be written.
        file = folder / upload.file_id / "upload.tif"
        if not file.exists():
            for earlier in folder.iterdir():
                shutil.rmtree(earlier)
            file.parent.mkdir()
            with replacing(file) as temporary:
                temporary.write_bytes(upload.getbuffer())
        return file, file.parent / run.name
    if path:
        target = check_allowed(Path(path), readable())
        # Another picture of the same name lies elsewhere.
        place = hashlib.sha256(os.fsencode(target)).hexdigest()[:12]
        return target, runs_folder() / MAPS / run.name / place
    st.info("Name a GeoTIFF on this machine, or upload one, to get a map of it.", icon=":material/map:")
    return None


def show(model: Model) -> None:
    """Show an orthophoto small, and its prediction as pictures, map, areas and files once it is asked for."""
    if model.path is None:
        say_no_model(model)
        return
    run, palette = model.run, model.palette
    chosen = choose_orthophoto(run)
    if chosen is None:
        return
    path, folder = chosen
    with st.sidebar:
        st.subheader("View", anchor=False)
        opacity = choose_opacity(100)
        limits = choose_thresholds(run, palette)
        inference = choose_windows()
        bfloat16 = st.toggle(
            "Compute in bfloat16",
            key="bfloat16",
            bind="query-params",
            disabled=importlib.util.find_spec("openvino") is None,
            help="With numbers of 16 bits, where the processor has them: in two thirds of the time. A few pixels in a "
            "thousand get another class. It needs `pip install openvino` on the machine that serves this page.",
        )
    ortho = load_orthophoto(path)
    about = [f"{ortho.width:,} × {ortho.height:,} px", ortho.system]
    if ortho.square_metres is not None:
        about.append(area(ortho.square_metres))
    st.caption(plain(" · ".join(about)))

    job = Job(
        model.path,
        palette,
        folder,
        inference=replace(inference, bfloat16=bfloat16, thresholds=by_index(limits, palette)),
        confidence=True,
        stretch=run.stretch,
    )
    row = kept_row(job, path)
    image = load_overview(path, stretch=run.stretch)
    panes, coordinates = [Pane("Orthophoto", image, smooth=True)], Coordinates.of(ortho)
    if row is None:
        _offer_prediction(job, path)
        viewer(str(path), panes, [], key="orthophoto-viewer", coordinates=coordinates)
        return
    files = dict(zip((CLASSES, CONFIDENCE), (folder / name for name in map_files(job, path)), strict=True))
    classes, percent = (load_overview(files[name], band=True) for name in (CLASSES, CONFIDENCE))
    predicted = overlay(image, classes, display_palette(palette), opacity)
    if limits:
        st.caption(f":material/tune: Thresholds in force: **{plain(in_words(limits))}**. Map and areas are with them.")
    panes.append(Pane(f"Prediction of {run.name}", predicted, smooth=opacity < 1))
    panes.append(Pane("Confidence: blue 0, yellow 1", heat(np.where(percent == VOID, 0, percent / 100))))
    readings = [Reading("Prediction", classes, palette)]
    viewer(str(path), panes, readings, key="orthophoto-viewer", coordinates=coordinates)
    _show_map(run, ortho.corners, image, predicted)
    _show_areas(palette, row)
    _offer_files(palette, path, files, row)
    show_area_estimates(run, palette, files[CLASSES], path.stem)


def _offer_prediction(job: Job, path: Path) -> None:
    """Predict when asked for, with a bar and a way to cancel."""
    place = st.empty()
    if not place.button("Predict it", type="primary", icon=":material/play_circle:", key="predict-orthophoto"):
        return
    with place.container():
        # A click on it ends this run of the page at the next step of the bar; what was begun is removed.
        st.button("Cancel", icon=":material/cancel:", key="cancel-orthophoto")
        with taking_turns("Predicting, windows …") as progress:
            remove_unfinished(job.output)  # of a server that was killed
            predict_file(job, path, progress, load_predictor)
    st.rerun()


def _show_map(run: Run, corners: np.ndarray | None, image: np.ndarray, classes: np.ndarray) -> None:
    """Show the prediction where it lies on the ground."""
    if corners is None:
        return
    more = st.expander("On a map", key="map", bind="query-params", icon=":material/map:")
    if not more.open:
        return
    with more:
        with st.container(horizontal=True, vertical_alignment="center"):
            shown = st.segmented_control(
                "On the map",
                ["Prediction", "Orthophoto"],
                default="Prediction",
                required=True,
                key="on-map",
                bind="query-params",
                label_visibility="collapsed",
                help="What to lay on the map.",
            )
            streets = st.toggle(
                "Streets", key="streets", bind="query-params", help="OpenStreetMap behind it; needs the internet."
            )
        picture = classes if shown == "Prediction" else image
        st.plotly_chart(map_figure(picture, corners, streets), key="map-figure", config={"scrollZoom": True})
        st.caption(f"{shown} of {plain(run.name)} in its place; the corners are exact, north is up.")


def area_table(palette: Palette, row: dict) -> pd.DataFrame:
    """Return one row per class: ``class``, ``pixels``, ``share`` and, where the place is known, ``square_metres``."""
    table = pd.DataFrame({"class": palette.names})
    table["pixels"] = [row["pixels"][name] for name in palette.names]
    table["share"] = table["pixels"] / max(1, table["pixels"].sum())
    if "square_metres" in row:
        table["square_metres"] = [row["square_metres"][name] for name in palette.names]
    return table


def _show_areas(palette: Palette, row: dict) -> None:
    """Show how the classes share the ground."""
    table = area_table(palette, row)
    halves = st.grid(2, min_column_width=400, gap="medium")
    halves.plotly_chart(
        class_bars(table["share"], display_palette(palette), "Share of the pixels that hold a picture, %", share=True),
        key="orthophoto-shares",
        config={"displayModeBar": False},
    )
    shown = table.assign(share=100 * table["share"])
    if "square_metres" in table:
        shown["square_metres"] = table["square_metres"].map(area)
    halves.dataframe(
        shown,
        hide_index=True,
        key="orthophoto-areas",
        column_config={
            "class": "Class",
            "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
            "share": st.column_config.NumberColumn("Share, %", format="%.1f"),
            "square_metres": "Area",
        },
    )


def _offer_files(palette: Palette, path: Path, files: dict[str, Path], row: dict) -> None:
    """Offer the map, its confidence, the areas, and the map's polygons once they are asked for."""
    polygons = files[CLASSES].with_suffix(".geojson")
    if polygons.is_file() and polygons.stat().st_mtime_ns >= files[CLASSES].stat().st_mtime_ns:
        files = files | {POLYGONS: polygons}
    with st.container(horizontal=True):
        for label, file in files.items():
            st.download_button(
                label,
                file.read_bytes,
                file.name,
                key=f"download-{label}",
                icon=":material/download:",
                on_click="ignore",
                help={
                    CLASSES: "Cloud-optimised GeoTIFF of class indices with their colours.",
                    CONFIDENCE: "Cloud-optimised GeoTIFF, in per cent.",
                    POLYGONS: "GeoJSON, in longitude and latitude.",
                }[label],
            )
        st.download_button(
            "Areas",
            to_safe_csv(pd.json_normalize(row, sep="_")),
            f"{path.stem}-areas.csv",
            "text/csv",
            key="download-areas",
            icon=":material/download:",
            on_click="ignore",
            help="Pixels and, where the place is known, square metres by class.",
        )
        asked = POLYGONS not in files and st.button(
            "Make polygons",
            key="make-polygons",
            icon=":material/polyline:",
            help="Turn the map's areas of one class into polygons, for a download as GeoJSON.",
        )
    if asked:
        # A click on it ends this run of the page at the next step of the bar; nobody else waits meanwhile.
        st.button("Cancel", icon=":material/cancel:", key="cancel-polygons")
        with progress_bar("Making polygons …") as progress, Raster(path) as raster:
            write_polygons(files[CLASSES], raster, palette, polygons, progress)
        st.rerun()


def area(square_metres: float) -> str:
    """Say an area in the unit a person would: m² up to a hectare, then ha, km² from a hundred of those on."""
    unit = unit_of(square_metres)
    return f"{square_metres / unit.square_metres:,.{0 if unit == UNITS[0] else 2}f} {unit.name}"
