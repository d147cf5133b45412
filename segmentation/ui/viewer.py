"""One place in several pictures: zoom, pan and cursor linked, or one picture wiped over another."""

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from segmentation.data.images import png_bytes
from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.ui.loaders.caching import MEGABYTE, remembered
from segmentation.ui.loaders.orthophotos import Orthophoto
from segmentation.ui.pictures import fit

LONGEST = 2400
"""Longest side of a picture sent to the browser, in pixels."""

HINT = "Drag to pan · Ctrl + wheel, double click or + and − to zoom · 0 to see it all"

_HERE = Path(__file__).parent

_component = st.components.v2.component(
    "segmentation_viewer",
    html="""
    <div class="viewer" tabindex="0" role="group" aria-label="Pictures with linked zoom; + − 0 and arrow keys">
      <div class="bar">
        <button value="in" title="Zoom in (+)" aria-label="Zoom in">+</button>
        <button value="out" title="Zoom out (−)" aria-label="Zoom out">−</button>
        <button value="fit" title="See it all (0)" aria-label="See it all">Fit</button>
        <span class="reading"></span>
      </div>
      <div class="panes"></div>
      <input class="wipe" type="range" min="0" max="100" value="50" step="0.5" aria-label="Wipe between the two" hidden>
    </div>
    """,
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


class Pane(NamedTuple):
    """One picture.

    Args:
        title: What it shows.
        pixels: (height, width, 3) uint8.
        smooth: Shrink it by averaging, as photographs are; masks keep hard edges.
    """

    title: str
    pixels: np.ndarray
    smooth: bool = False


class Reading(NamedTuple):
    """What the cursor reads, whichever picture it is in.

    Args:
        label: What is read.
        values: (height, width) uint8: class indices, or shares of 255.
        palette: Names the class indices; without it a share is shown with two decimals.
    """

    label: str
    values: np.ndarray
    palette: Palette | None = None


class Coordinates(NamedTuple):
    """Where a picture lies on the ground.

    Args:
        system: Name of the coordinate reference system.
        transform: From (column, row) in shares of the picture, 0–1, to coordinates: (a, b, c, d, e, f), row by row.
        decimals: How many of the coordinates' decimals tell pixels apart.
    """

    system: str
    transform: tuple[float, ...]
    decimals: int

    @classmethod
    def of(cls, ortho: Orthophoto) -> "Coordinates":
        """Return where an orthophoto that says where it lies does."""
        a, b, c, d, e, f = ortho.transform
        width, height = ortho.width, ortho.height
        return cls(ortho.system, (a * width, b * height, c, d * width, e * height, f), 6 if ortho.geographic else 1)


def viewer(
    subject: str,
    panes: Sequence[Pane],
    readings: Sequence[Reading],
    key: str,
    wipe: bool = False,
    coordinates: Coordinates | None = None,
    size: tuple[int, int] | None = None,
) -> None:
    """Show pictures of one place side by side, or the second wiped over the first.

    Args:
        subject: What they show: another subject is shown whole, the same one stays as it was zoomed.
        panes: Pictures of one shape; exactly two if `wipe`.
        readings: Arrays of that shape.
        key: The widget's key.
        wipe: One picture with a slider between the two.
        coordinates: Where the pictures lie: the cursor reads coordinates instead of row and column.
        size: (height, width) of what is shown, in pixels; by default the first picture's. Pictures larger than
            `LONGEST` are best handed in shrunk.
    """
    height, width = size or panes[0].pixels.shape[:2]
    data = {
        "subject": f"{subject} {height} {width}",
        "name": subject,
        "width": width,
        "height": height,
        "wipe": wipe,
        "hint": HINT,
        "coordinates": coordinates and coordinates._asdict(),
        "panes": [
            {"title": pane.title, "smooth": pane.smooth, "source": _source(pane.pixels, pane.smooth)} for pane in panes
        ],
        "readings": [
            {
                "label": reading.label,
                "names": reading.palette and {**dict(enumerate(reading.palette.names)), VOID: VOID_NAME},
                "source": _source(reading.values, smooth=False),
            }
            for reading in readings
        ],
    }
    _component(data=data, key=key)


@remembered(
    64 * MEGABYTE,
    key=lambda pixels, smooth: (hashlib.sha256(np.ascontiguousarray(pixels).data).digest(), pixels.shape, smooth),
    size=len,
)
def _source(pixels: np.ndarray, smooth: bool) -> str:
    """Encode a photograph as JPEG, which is quick and small, and a mask without loss."""
    pixels = fit(pixels, LONGEST, smooth)
    if not smooth:
        return _data_uri(png_bytes(pixels), "png")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return _data_uri(buffer.getvalue(), "jpeg")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
