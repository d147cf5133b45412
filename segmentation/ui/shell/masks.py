"""How masks are drawn: colours, legend, opacity."""

import html

import streamlit as st

from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.ui.address import SAFE


def choose_opacity(percent: int) -> float:
    """Let the user choose how much masks cover of the image, 0–1; at first `percent`."""
    chosen = st.slider(
        "Mask opacity, %",
        0,
        100,
        percent,
        step=5,
        key="opacity",
        bind="query-params",
        help="0 shows the image, 100 the mask.",
    )
    return chosen / 100


def choose_mask_style(palette: Palette) -> tuple[bool, list[int] | None]:
    """Let the user choose whether masks are outlines, and the class indices that are drawn; None for all."""
    outlined = st.toggle("Outlines", key="outlines", bind="query-params", help="Draw only the classes' borders.")
    shown = st.multiselect(
        "Classes shown",
        palette.names,
        key="only",
        bind="query-params",
        placeholder="All classes",
        help="Lay only these classes over the image.",
    )
    return outlined, [palette.names.index(name) for name in shown] or None


def legend(palette: Palette, void: bool = False) -> None:
    """Show the classes' colours, always in sight while the page scrolls."""
    with st.container(key="legend", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        place = st.container()
        st.toggle(
            "Colour-blind colours",
            key=SAFE,
            bind="query-params",
            help="Draw the classes in colours that colour-blind eyes tell apart. Files keep their own colours.",
        )
    palette = display_palette(palette)
    entries = [(palette.hex(index), name) for index, name in enumerate(palette.names)]
    if void:
        entries.append((palette.hex(VOID), VOID_NAME))
    chips = "".join(f'<span><i style="background:{color}"></i>{html.escape(name)}</span>' for color, name in entries)
    place.html(f'<div class="legend" role="list" aria-label="Classes">{chips}</div>')


def display_palette(palette: Palette) -> Palette:
    """Return the colours to draw the classes in, as the switch in the legend says."""
    return palette.colour_blind_safe() if st.session_state.get(SAFE) else palette
