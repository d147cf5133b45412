"""A picture in its place on the ground."""

import base64

import numpy as np
import plotly.graph_objects as go

from segmentation.data.images import png_bytes
from segmentation.ui.charts.style import ACCENT


def map_figure(picture: np.ndarray, corners: np.ndarray, streets: bool) -> go.Figure:
    """Draw a picture where it lies on the ground.

    Args:
        picture: (height, width, 3) uint8.
        corners: (4, 2) longitude and latitude of its corners, clockwise from the top left.
        streets: Put OpenStreetMap behind it, which the browser fetches; else nothing.
    """
    source = f"data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}"
    (west, south), (east, north) = corners.min(0), corners.max(0)
    # At zoom 0, 512 screen pixels show 360 degrees of longitude; the picture is to fill about 700.
    widest = max(east - west, (north - south) / max(0.05, np.cos(np.radians((north + south) / 2))), 1e-6)
    layer = {"sourcetype": "image", "source": source, "coordinates": corners.tolist()}
    outline = np.vstack([corners, corners[:1]])
    figure = go.Figure(
        go.Scattermap(
            lon=outline[:, 0], lat=outline[:, 1], mode="lines", line={"color": ACCENT, "width": 2}, hoverinfo="lon+lat"
        )
    )
    figure.update_layout(
        map={
            "style": "open-street-map" if streets else {"version": 8, "sources": {}, "layers": []},
            "layers": [layer],
            "center": {"lon": (west + east) / 2, "lat": (south + north) / 2},
            "zoom": float(np.log2(360 / widest * 450 / 512)),
        },
        height=560,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="map",
    )
    return figure
