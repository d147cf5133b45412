"""Downloads of what is shown."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.data.scenes import slug
from segmentation.inference.prediction import Prediction
from segmentation.tables import to_safe_csv
from segmentation.ui.explorer.sources import Subject
from segmentation.ui.pictures import titled
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.viewer import Pane


class Offer(NamedTuple):
    """A file to download.

    Args:
        label: What the button says.
        ending: What follows the subject's name in the file's.
        kind: The file's media type.
        content: Called for what the file holds: what takes long to pack is packed when it is asked for.
        note: What the file is.
    """

    label: str
    ending: str
    kind: str
    content: Callable[[], str | bytes]
    note: str


def downloads(
    subject: Subject, panes: list[Pane], prediction: Prediction, table: pd.DataFrame, palette: Palette
) -> None:
    """Offer the prediction as colours, class indices and probabilities, the table, and all pictures in one."""
    stem = slug(subject.name.rsplit(".", 1)[0]).replace("/", "-")[:100]  # with its ending still a file's name
    scored = "Scores" if subject.mask is not None else "Shares"
    offers = [
        *_masks(prediction, palette),
        Offer(scored, "scores.csv", "text/csv", lambda: to_safe_csv(table), "One row per class."),
        Offer(
            "All in one picture",
            "report.png",
            "image/png",
            lambda: png_bytes(titled([(pane.title, pane.pixels) for pane in panes], display_palette(palette))),
            "PNG of the pictures in sight, with titles and legend.",
        ),
    ]
    with st.container(horizontal=True):
        for label, ending, kind, content, note in offers:
            st.download_button(
                label,
                content,
                f"{stem}-{ending}",
                kind,
                key=f"download-{label}",
                icon=":material/download:",
                help=note,
                on_click="ignore",
            )


def _masks(prediction: Prediction, palette: Palette) -> list[Offer]:
    """Return the files that a prediction can be had as."""
    offers = [
        Offer(
            "Coloured mask",
            "colours.png",
            "image/png",
            lambda: png_bytes(palette.decode(prediction.classes)),
            "PNG in the legend's colours.",
        ),
        Offer(
            "Index mask",
            "indices.png",
            "image/png",
            lambda: png_bytes(prediction.classes),
            "PNG of one byte a pixel: the class index.",
        ),
    ]
    probabilities = prediction.probabilities
    if probabilities is not None:
        offers.append(
            Offer(
                "Probabilities",
                "probabilities.npz",
                "application/octet-stream",
                lambda: _pack(probabilities, palette),
                "NumPy archive: probabilities (height, width, classes) in half precision, and the classes' names.",
            )
        )
    return offers


def _pack(probabilities: np.ndarray, palette: Palette) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=probabilities, classes=np.array(palette.names))
    return buffer.getvalue()
