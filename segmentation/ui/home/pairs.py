"""Which image belongs to which mask, which bands are shown and how, and some scenes to see it by."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import streamlit as st

from segmentation.data.class_table import ClassRow, row_classes, row_encoding
from segmentation.data.declaration import Declaration, checked_pattern, own_declaration
from segmentation.data.drawing import Outlines
from segmentation.data.encodings import Encoding
from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.data.raster_header import band_count
from segmentation.data.scenes import Dataset, mask_choices
from segmentation.data.stretch import COLORS, MOST_BANDS
from segmentation.errors import ImageFileError, printable
from segmentation.ui.loaders.scenes import load_small
from segmentation.ui.pictures import overlay
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import refuse
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import plain

SHOWN = 5
"""Scenes in a row."""

LONGEST = 360
"""Of their pictures, in pixels."""

MOST_OFFERED = 1 << 10
"""More bands than this are not offered."""

PLACES = Palette(("Rows of the table",), ((0, 0, 0),))
"""Stands for the classes where masks are read as places in the table of what they hold."""

PATTERN = (
    "A path below the folder, such as {}: {{split}}, {{tile}} and {{stem}} are the same in an image's and its mask's "
    "path, and * is anything. Without patterns, names of folders and files tell."
)


def choose_masks(folder: Path, said: Declaration, ambiguous: bool) -> Declaration:
    """Ask which masks are meant where there are several kinds for the same images.

    Args:
        folder: Of the data set.
        said: Where to start from.
        ambiguous: Whether nobody has said so yet.

    Returns:
        `said` with the answer.
    """
    choices = mask_choices(folder, readable()) if ambiguous or said.masks else {}
    if not choices:
        return said
    if ambiguous:
        st.info(f"There are {len(choices)} kinds of masks for the same images.", icon=":material/help:")
    patterns = list(choices.values())
    before = patterns.index((said.images, said.masks)) if (said.images, said.masks) in patterns else None
    chosen = st.selectbox(
        "Which masks are to be used?",
        list(choices),
        before,
        key=f"masks-{own_declaration(folder).stem}",
        placeholder="Choose one of them",
        help="The choice is saved with the rest.",
    )
    return replace(said, images=choices[chosen][0], masks=choices[chosen][1]) if chosen else said


def choose_patterns(folder: Path, said: Declaration, hints: tuple[str, str], expanded: bool) -> Declaration:
    """Let patterns of paths say which image belongs to which mask.

    Args:
        folder: Of the data set.
        said: Where to start from.
        hints: The patterns of what is found by names.
        expanded: Whether nothing is found without them.

    Returns:
        `said` with the patterns.
    """
    examples = ("images/{stem}.jpg", "masks/{stem}.png")
    with st.expander("Which image belongs to which mask", expanded=expanded, icon=":material/link:"):
        images, masks = (
            column.text_input(
                label,
                value,
                key=f"{label}-{value}-{own_declaration(folder).stem}",
                placeholder=printable(hint) or example,
                max_chars=300,
                help=PATTERN.format(example),
            )
            for column, label, value, hint, example in zip(
                st.columns(2), ("Images", "Masks"), (said.images, said.masks), hints, examples, strict=True
            )
        )
        if bool(images) != bool(masks):
            st.warning("Give both patterns, or neither.")
            return said
    return replace(said, images=checked_pattern(images, "images"), masks=checked_pattern(masks, "masks"))


def choose_bands(found: Dataset, said: Declaration, key: str) -> Declaration:
    """Let the user choose the bands of images of more than three, and the limits of values of more than 8 bits.

    Args:
        found: The scenes.
        said: Where to start from.
        key: Of the widgets.

    Returns:
        `said` with what was chosen.
    """
    count = COLORS
    with suppress(ImageFileError):  # its picture says it
        count = band_count(found.scenes[0].image)
    if count > COLORS or said.bands:
        chosen = st.toggle(
            f"Choose from {count} bands",
            bool(said.bands),
            key=f"bands-{key}",
            help="Which bands are shown and trained on. Without a choice, those that files tag, or the first three.",
        )
        bands, shown = _choose_from(count, said, key) if chosen else ((), ())
        said = replace(said, bands=bands, shown=shown, stretch=said.stretch if bands == said.bands else ())
    return _choose_stretch(found, said, key)


def _choose_from(count: int, said: Declaration, key: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the bands that are chosen, and which of them are shown, as `Declaration` has them."""
    bands = said.bands or (1, 2, 3)
    colors = said.shown or (bands[:COLORS] if len(bands) >= COLORS else bands[:1])
    further = tuple(band for band in bands if band not in colors)
    numbers = list(range(1, max(min(count, MOST_OFFERED), *bands) + 1))
    names = ("Red", "Green", "Blue") if len(colors) == COLORS else ("Grey",)
    now = tuple(
        column.selectbox(f"{name} is band", numbers, numbers.index(band), key=f"{name}-{key}")
        for column, name, band in zip(st.columns(COLORS), names, colors, strict=False)
    )
    others = tuple(
        st.multiselect(
            "Further bands",
            numbers,
            further,
            max_selections=MOST_BANDS - len(now),
            key=f"further-{key}",
            placeholder="None",
            help="Trained on after those, and not shown, such as near infrared.",
        )
    )
    if (now, others) == (colors, further):
        return bands, said.shown if said.bands else ()
    others = tuple(band for band in others if band not in now)
    return (*now, *others), now if others else ()


def _choose_stretch(found: Dataset, said: Declaration, key: str) -> Declaration:
    with st.spinner("Reading a sample of the images …"):
        sampled = replace(found, bands=said.bands, shown=said.shown, limits=()).stretch
    if sampled is None:
        return replace(said, stretch=())
    chosen = st.toggle(
        "Set the limits of the stretch",
        bool(said.stretch),
        key=f"stretch-{key}",
        help="The values that become black and white in each band, the same in all scenes. Without limits, the 2nd "
        "and the 98th percentile of a sample.",
    )
    if not chosen:
        return replace(said, stretch=())
    starts = said.stretch or tuple(zip(sampled.low, sampled.high, strict=True))
    colors = {1: ("grey",), COLORS: ("red", "green", "blue")}
    names = colors.get(len(starts)) or tuple(f"band {band}" for band in sampled.bands)
    cells, limits = st.grid(min(len(starts), 4), min_column_width=150), []
    for name, start in zip(names, starts, strict=True):
        of = f"{name}-{said.bands}-{key}"
        with cells.cell():
            low, high = (
                st.number_input(f"{what} of {name}", value=float(value), key=f"{what}-{of}", format="%.6g")
                for what, value in zip(("Black", "White"), start, strict=True)
            )
        if not low < high:
            st.warning(f"Black of {name} is to be below its white: the values of the sample are used.")
            low, high = start
        limits.append((low, high))
    return replace(said, stretch=tuple(limits))


def show_pairs(dataset: Dataset, encoding: Encoding | Outlines, rows: Sequence[ClassRow]) -> None:
    """Show some scenes in a row: image, mask, and both.

    Args:
        dataset: The scenes, with their classes and their stretch.
        encoding: How masks say these classes.
        rows: What masks hold: by these they are read once, and drawn anew whatever becomes of the classes.
    """
    by_row, classes = row_encoding(encoding, rows), row_classes(encoding, rows)
    colors, stretch = display_palette(dataset.palette), dataset.stretch
    shown = min(SHOWN, len(dataset.scenes))
    scenes = [dataset.scenes[place * len(dataset.scenes) // shown] for place in range(shown)]
    columns = st.columns(SHOWN)
    for place, (column, scene) in enumerate(zip(columns, scenes, strict=False)):
        with column:
            try:
                image, of_rows = load_small(replace(scene, encoding=by_row), PLACES, stretch, LONGEST)
            except ImageFileError as error:
                refuse(error)
                continue
            mask = classes[of_rows]
            for kind, picture in (
                ("Image", image),
                ("Mask", overlay(image, mask, colors, 1)),
                ("Overlay", overlay(image, mask, colors, 0.5)),
            ):
                st.container(key=f"{'pixels' if kind == 'Mask' else 'smooth'}-{kind}-{place}").image(
                    png_bytes(picture), width="stretch", output_format="PNG", alt=f"{kind} of {scene.name}"
                )
            st.caption(plain(scene.name))
