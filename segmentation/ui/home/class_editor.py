"""The table in which classes are named, coloured, merged and ignored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from segmentation.data.class_table import ClassRow, row_classes, spoken
from segmentation.data.classes import Meaning
from segmentation.data.palette import VOID, color_of_hex

NAME, COLOR, MERGE, IGNORE = "Class", "Colour", "Part of", "Ignore"
"""The columns that can be edited."""

ALL_SHOWN = 24
"""Rows that are shown without scrolling."""

SWATCH = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='24' height='24'%3E{}%3C/svg%3E"

SQUARE = "%3Crect x='1' y='1' width='22' height='22' rx='4' fill='%23{}' stroke='%23808080'/%3E"

CROSS = "%3Cpath d='M5 5 19 19M19 5 5 19' stroke='%23808080' stroke-width='2'/%3E"


def edited(rows: Sequence[ClassRow], key: str) -> tuple[ClassRow, ...]:
    """Return the rows with what was typed into their table so far: pictures above it show that, too.

    Args:
        rows: As they were at first.
        key: The table's.
    """
    edits: Mapping[int, Mapping[str, object]] = st.session_state.get(key, {}).get("edited_rows", {})
    changed = list(rows)
    for place, edit in edits.items():
        row = changed[place]
        changed[place] = replace(
            row,
            name=str(edit.get(NAME, row.name) or ""),
            color=color_of_hex(str(edit[COLOR])) if edit.get(COLOR) else row.color,
            merge=str(edit.get(MERGE, row.merge) or ""),
            ignore=bool(edit.get(IGNORE, row.ignore)),
        )
    return tuple(changed)


def edit_classes(rows: Sequence[ClassRow], changed: Sequence[ClassRow], meaning: Meaning, key: str) -> None:
    """Show the table of what masks hold, to be edited.

    Args:
        rows: As they were at first.
        changed: As `edited` returns them.
        meaning: What masks mean by these.
        key: The table's.
    """
    classes = row_classes(meaning.encoding, changed)
    drawn = [meaning.palette.hex(index)[1:] if index != VOID else "" for index in classes[: len(rows)].tolist()]
    table = pd.DataFrame(
        {
            "Drawn": [SWATCH.format(SQUARE.format(color) if color else CROSS) for color in drawn],
            "In masks": [str(spoken(row.key)) for row in rows],
            "Share, %": [100 * row.share for row in rows],
            NAME: [row.name for row in rows],
            COLOR: ["#" + bytes(row.color).hex() for row in rows],
            MERGE: [row.merge or None for row in rows],
            IGNORE: [row.ignore for row in rows],
        }
    )
    names = dict.fromkeys(row.name for row in changed if not (row.ignore or row.merge))
    column = st.column_config
    st.data_editor(
        table,
        key=key,
        hide_index=True,
        num_rows="fixed",
        placeholder="–",
        width="stretch",
        height="content" if len(rows) <= ALL_SHOWN else 35 * (ALL_SHOWN + 1),
        disabled=["Drawn", "In masks", "Share, %"],
        column_config={
            "Drawn": column.ImageColumn(width=50, help="How its pixels are drawn; a cross where they are void."),
            "In masks": column.TextColumn(width=68, help="The value or colour in the masks, or the outlines' name."),
            "Share, %": column.NumberColumn(width=66, format="%.1f", help="Of the pixels of a sample of the masks."),
            NAME: column.TextColumn(width=100, help="The class's name. Rows of the same name are one class."),
            COLOR: column.TextColumn(
                width=84, validate="^#[0-9a-fA-F]{6}$", help="The colour to draw it in, such as #3c1098."
            ),
            MERGE: column.SelectboxColumn(
                width=78, options=list(names), help="Merge it into this class. Empty for a class of its own."
            ),
            IGNORE: column.CheckboxColumn(width=80, help="Its pixels are void: left out of losses and scores."),
        },
    )
