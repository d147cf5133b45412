"""The picture of kinds of error, its legend, and the choice of a class."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from segmentation.data.palette import Palette
from segmentation.data.raster import LARGE
from segmentation.evaluation.error_kinds import DISTANCE, ErrorKinds, find_error_kinds
from segmentation.ui.charts.error_kinds import KIND_COLORS, kinds_map
from segmentation.ui.loaders.kinds import find_kinds
from segmentation.ui.viewer import Pane

MEANINGS = (
    f"Boundary: the outline is off (within {DISTANCE} px)",
    "Extent: found, but too small or too large",
    "Segment: missed or invented whole",
)
"""What the legend says, in the kinds' order."""


def kinds_at(truth: np.ndarray, predicted: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> ErrorKinds:
    """Return the kinds of error at some rows and columns of a picture.

    Of one of more than `LARGE` pixels they are found among these alone: all of it would take minutes.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices.
        rows: Those that are shown.
        columns: Likewise.
    """
    here = np.ix_(rows, columns)
    if truth.size > LARGE:
        return find_error_kinds(truth[here], predicted[here])
    missed, invented = find_kinds(truth, predicted)
    return ErrorKinds(missed[here], invented[here])


def draw_kinds(
    image: np.ndarray,
    kinds: Callable[[], ErrorKinds],
    classes: tuple[np.ndarray, np.ndarray],
    palette: Palette,
    name: str,
) -> Pane:
    """Draw the kinds of a run's errors: of every class where it is true, or all those of the class that is chosen.

    Args:
        image: (height, width, 3) uint8.
        kinds: Returns those of the picture.
        classes: The true and the predicted class indices, (height, width) uint8 each.
        palette: The classes.
        name: The run's.
    """
    chosen = st.selectbox(
        "Kinds of error of",
        palette.names,
        index=None,
        key="kinds-of",
        bind="query-params",
        placeholder="Every class, where it is true",
        help="Every wrong pixel is missed for its true class. Of one class, what is invented of it shows too, hatched.",
    )
    pairs = zip(KIND_COLORS, MEANINGS, strict=True)
    entries = [f'<span role="listitem"><i style="background:{color}"></i>{text}</span>' for color, text in pairs]
    if chosen:
        entries.append('<span role="listitem">Hatched: invented</span>')
    st.html(f'<div class="legend" role="list" aria-label="Kinds of error">{"".join(entries)}</div>')
    missed, invented = kinds()
    if chosen is None:
        return Pane(f"Kinds of error of {name}, for the true class", kinds_map(image, missed))
    index = palette.names.index(chosen)
    of_class = (np.where(indices == index, of, 0) for indices, of in zip(classes, (missed, invented), strict=True))
    return Pane(f"Kinds of error of {name}: {chosen}", kinds_map(image, *of_class))
