"""Downloads of what is shown."""

import io

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.scenes import slug
from segmentation.inference.prediction import Prediction
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.explorer.sources import Subject
from segmentation.ui.pictures import titled
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.viewer import Pane


def downloads(subject: Subject, panes: list[Pane], prediction: Prediction, table: pd.DataFrame, run: Run) -> None:
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
            lambda: to_safe_csv(table),
            "One row per class.",
        ),
        (
            "All in one picture",
            f"{stem}-report.png",
            "image/png",
            lambda: png_bytes(titled([(pane.title, pane.pixels) for pane in panes], display_palette(run.palette))),
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
