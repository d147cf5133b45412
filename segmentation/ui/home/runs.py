"""All runs in one table: what they scored, what people say about them, and the ways on to compare them."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.locate import check_allowed, runs_folder
from segmentation.errors import printable
from segmentation.intervals import UNKNOWN
from segmentation.runs.database import DATABASE
from segmentation.runs.notes import LONGEST_NOTE, RunNote, change_note, read_notes
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run
from segmentation.runs.speeds import keep_speed, read_speeds
from segmentation.runs.summary import HIGHER, best_values, summary_table
from segmentation.tables import to_safe_csv
from segmentation.ui.address import link
from segmentation.ui.home.run_filters import choose_order, choose_rows
from segmentation.ui.loaders.predictions import measure_speed
from segmentation.ui.loaders.runs import load_summary
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.pages import EXPLORER, GALLERY, HOME
from segmentation.ui.shell.run import known_runs
from segmentation.ui.shell.words import INTERVAL_ALONE, between, plain

VIEW, RUNS = "view", "runs"
"""The home page's address says so that this is shown in place of the rest."""

MOST = 4
"""Runs that the explorer shows side by side."""

ALL_SHOWN = 20
"""Rows that are shown without scrolling."""

BEST = "\N{BLACK STAR}"

TICKED, TAGS, NOTE, HIDDEN = "ticked", "tags", "note", "hidden"
"""The columns that can be edited."""

WITH_INTERVAL = ("mean_iou", "accuracy")
"""The scores that stand first, each beside its interval; the intervals of the others are in the file."""

HEADINGS = {
    "dataset": "Data set",
    "protocol": "Protocol",
    **{name: Metrics.kinds[name].heading.replace("Mean IoU without", "mIoU w/o") for name in HIGHER},
    **{f"{name}_interval": "95 % interval" for name in WITH_INTERVAL},
    "parameters": "Parameters",
    "model_bytes": "Model, MB",
    "seconds": "s / megapixel",
    "epochs": "Epochs",
    "created": "Date",
}

FORMATS: Mapping[str, Callable[..., str]] = {
    **dict.fromkeys(HIGHER, "{:.3f}".format),
    "parameters": "{:,}".format,
    "model_bytes": lambda size: f"{size / 1e6:,.1f}",
    "seconds": "{:,.2f}".format,
    "epochs": "{:,}".format,
    "created": "{:%Y-%m-%d}".format,
}


def viewing_runs() -> bool:
    """Tell whether the address asks for this view."""
    return st.query_params.get(VIEW) == RUNS


def link_to_runs(label: str) -> None:
    """Link to this view."""
    st.page_link(HOME, label=label, icon=":material/table:", query_params=link({VIEW: RUNS}), width="content")


def runs_view() -> None:
    """Show all runs in one table, with what was said about them, which can be edited there."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Runs", anchor=False)
        st.page_link(HOME, label="Back", icon=":material/arrow_back:", query_params=link({}), width="content")
    notes, speeds = _read()
    runs = {run.name: run for run in reversed(known_runs())}  # of two of one name this machine's
    table = summary_table(map(load_summary, runs.values()))
    if table.empty:
        return
    table = _with_notes(table, notes or {}).assign(
        seconds=[speeds.get(printable(name), np.nan) for name in table["run"]]
    )
    rows = choose_order(choose_rows(table, notes is not None))
    hidden = int(table[HIDDEN].sum())
    st.markdown(f"**{len(rows):,}** of {len(table):,} runs" + (f" · {hidden:,} hidden" if hidden else ""))
    if rows.empty:
        st.info("Nothing matches: loosen the filters in the sidebar.", icon=":material/filter_alt_off:")
        return
    _edit(rows, notes)
    _say_best(rows)
    if _offer_ways(table, rows, runs):
        _measure(runs)


def _read() -> tuple[dict[str, RunNote] | None, dict[str, float]]:
    """Return what is said about runs, and how long their models take.

    If that cannot be read, after a sentence, what was said when it could, or None.
    """
    with show_errors():
        check_allowed(runs_folder() / DATABASE, readable())
        return read_notes(runs_folder()), read_speeds(runs_folder())
    if session().runs_shown[1] is None:
        st.caption("The table is shown without notes, tags and hidden runs.")
        return None, {}
    return session().runs_noted, {}


def _with_notes(table: pd.DataFrame, notes: Mapping[str, RunNote]) -> pd.DataFrame:
    """Add what is said about each run."""
    said = [notes.get(printable(name), RunNote()) for name in table["run"]]
    return table.assign(
        tags=[list(of.tags) for of in said], note=[of.note for of in said], hidden=[of.hidden for of in said]
    )


def _edit(rows: pd.DataFrame, notes: dict[str, RunNote] | None) -> None:
    """Show the table, and keep what is changed in it.

    While it has the same rows, the browser adds what was edited to what it is given. Given its own edits, it forgets
    them, which runs the page once more, and a click amid that run is lost: so it is given what it was at first.
    """
    names = rows["run"].tolist()
    key = "runs-" + sha256(repr((names, notes is None)).encode(errors="replace")).hexdigest()[:16]
    if session().runs_shown[0] != key:
        session().runs_shown = key, notes, tuple(session().runs_ticked)
        session().runs_noted = dict(notes or {})
    _, shown, ticked_then = session().runs_shown
    ticked = session().runs_ticked
    intervals = {f"{name}_interval": [between(of.get(name)) for of in rows["intervals"]] for name in WITH_INTERVAL}
    rows = rows.assign(**intervals)
    table = _with_notes(rows, shown or {}).assign(ticked=rows["run"].isin(ticked_then))
    edited = st.data_editor(
        _styled(table, notes is not None),
        key=key,
        hide_index=True,
        num_rows="fixed",
        placeholder="–",
        width="stretch",
        height="content" if len(rows) <= ALL_SHOWN else 35 * (ALL_SHOWN + 1),
        disabled=["run", *HEADINGS],
        column_config=_columns(rows),
    )
    now = edited["run"][edited[TICKED]].tolist()
    kept = [name for name in ticked if name in now or name not in names]  # in the order in which they were ticked
    session().runs_ticked = [*kept, *(name for name in now if name not in ticked)]
    if shown is None:
        return
    changed, noted = False, session().runs_noted
    for name, tags, note, hidden in edited[["run", TAGS, NOTE, HIDDEN]].itertuples(index=False):
        before = noted.get(printable(name), RunNote())
        after = RunNote.of(note, tags if tags is not None else (), bool(hidden))
        if (after.note, set(after.tags), after.hidden) != (before.note, set(before.tags), before.hidden):
            with show_errors():
                change_note(runs_folder(), name, before, after)
                noted[printable(name)], changed = after, True
    if changed:
        st.rerun()  # it may be hidden now, or have another tag than is looked for


def _styled(table: pd.DataFrame, noted: bool) -> "pd.io.formats.style.Styler":
    """Return the columns that are shown, in their order, with the best values marked."""
    best = best_values(table)
    first = [column for name in WITH_INTERVAL for column in (name, f"{name}_interval")]
    columns = [TICKED, "run", "dataset", "protocol", *first, *([TAGS, NOTE, HIDDEN] if noted else [])]
    columns += [name for name in HEADINGS if name not in columns]
    styled = table.reset_index(drop=True)[columns].style.format(dict(FORMATS), na_rep="–")
    for name in best:
        rows = best.index[best[name]]
        if len(rows):
            here = pd.IndexSlice[[table.index.get_loc(row) for row in rows], name]
            styled.format(lambda value, name=name: f"{BEST} {FORMATS[name](value)}", subset=here)
            styled.set_properties(here, **{"background-color": "rgba(20, 150, 140, 0.18)"})
    return styled


def _columns(table: pd.DataFrame) -> dict:
    """Say how each column looks."""
    column = st.column_config
    used = sorted({tag for tags in table[TAGS] for tag in tags})
    return {
        TICKED: column.CheckboxColumn("Compare", width=95, pinned=True, help="Two or more are compared below."),
        "run": column.TextColumn("Run", width=125, pinned=True),
        "dataset": column.TextColumn(HEADINGS["dataset"], width=120, help="What its scores are of."),
        "protocol": column.TextColumn(HEADINGS["protocol"], width=85, help="What was held out, and so is scored."),
        **{
            name: column.NumberColumn(HEADINGS[name], width=140 if "w/o" in HEADINGS[name] else 85, help=kind.meaning)
            for name, kind in ((name, Metrics.kinds[name]) for name in HIGHER)
        },
        **{
            f"{name}_interval": column.TextColumn(HEADINGS[f"{name}_interval"], width=110, help=f"Its {INTERVAL_ALONE}")
            for name in WITH_INTERVAL
        },
        TAGS: column.MultiselectColumn(
            "Tags", width=130, options=used, accept_new_options=True, help="Words to find it by: choose or type."
        ),
        NOTE: column.TextColumn("Note", width=180, max_chars=LONGEST_NOTE, help="What to remember about it."),
        HIDDEN: column.CheckboxColumn("Hide", width=75, help="Leave it out of this table."),
        "parameters": column.NumberColumn(HEADINGS["parameters"], width=95, help="Weights of its network."),
        "model_bytes": column.NumberColumn(HEADINGS["model_bytes"], width=90, help="Size of its model's file."),
        "seconds": column.NumberColumn(
            HEADINGS["seconds"], width=110, help="How long its model takes on this machine, once it was measured."
        ),
        "epochs": column.NumberColumn(HEADINGS["epochs"], width=70, help="Lines of its log."),
        "created": column.DateColumn(HEADINGS["created"], width=95, help="When it began, UTC."),
    }


def _say_best(rows: pd.DataFrame) -> None:
    """Say what the mark means, and among which runs a value is the best."""
    groups = rows["group"].value_counts()
    count = int((groups > 1).sum())
    among = "Only runs of the same classes, scored on the same patches of the same data, are compared"
    if count:
        several = f": there are {count} such groups in sight, each with its own best" if count > 1 else ""
        st.caption(f"{BEST} The best value, or the smallest or fastest model. {among}{several}.")
    else:
        st.caption(f"No value is marked as the best. {among}, and here each stands alone.")


def _offer_ways(table: pd.DataFrame, rows: pd.DataFrame, runs: Mapping[str, Run]) -> bool:
    """Offer to compare the runs that are ticked, and the table as a file; tell whether they are to be measured."""
    names = [name for name in session().runs_ticked if name in set(table["run"])]
    first, *others = names or [""]
    ticked = table[table["run"].isin(names)]
    alike = ticked["classes"].nunique() == 1
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            GALLERY,
            label="Two runs, patch by patch",
            icon=":material/compare_arrows:",
            disabled=not (len(names) == 2 and alike and ticked["ranked"].all()),
            help="Choose two runs of the same classes that were evaluated patch by patch: the gallery shows where the "
            "second does better or worse.",
            query_params=link({"view": "Two runs", "run": first, "with": others}),
        )
        st.page_link(
            EXPLORER,
            label="Side by side on an image",
            icon=":material/compare:",
            disabled=not (2 <= len(names) <= MOST and alike),
            help=f"Choose two to {MOST} runs of the same classes: the explorer shows their predictions of one image.",
            query_params=link({"run": first, "with": others}),
        )
        st.download_button(
            "Download the table",
            lambda: to_safe_csv(_plain_table(rows)),
            "runs.csv",
            "text/csv",
            key="download-runs",
            icon=":material/download:",
            on_click="ignore",
            help="One row per run in sight, in this order.",
        )
        measured = st.button(
            "Measure the speed",
            icon=":material/timer:",
            disabled=not any(runs[name].model for name in names),
            help="Each model that is ticked predicts a picture of a megapixel four times on this machine.",
        )
    if names:
        seconds = table.set_index("run")["seconds"].dropna()
        said = [f"{name} ({seconds[name]:,.2f} s per megapixel)" if name in seconds else name for name in names]
        st.caption(f"To compare: {plain(', '.join(said))}.")
    return measured


def _measure(runs: Mapping[str, Run]) -> None:
    """Measure how long the models of the runs that are ticked take, and keep it."""
    chosen = {name: runs[name].model for name in session().runs_ticked if name in runs and runs[name].model}
    measured = 0
    for name, model in chosen.items():
        with show_errors():
            keep_speed(runs_folder(), name, measure_speed(cast("Path", model)))
            measured += 1
    if measured == len(chosen):  # else what is wrong is said here
        st.rerun()


def _plain_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a file has it: a text or a number in each cell."""
    others = [name for name in HEADINGS if name not in HIGHER and not name.endswith("_interval")]
    ends = {
        f"{name}_{end}": [getattr(of.get(name, UNKNOWN), end) for of in rows["intervals"]]
        for name in dict.fromkeys(name for of in rows["intervals"] for name in of)
        for end in ("low", "high")
    }
    return rows[["run", *HIGHER, TAGS, NOTE, HIDDEN, *others]].assign(tags=rows[TAGS].str.join("; "), **ends)
