"""Slices kept by name: saving and removing one, its score in every run, and what another run gains on it."""

import streamlit as st

from segmentation.data.locate import runs_folder
from segmentation.errors import RunError
from segmentation.evaluation.gains import signed
from segmentation.evaluation.slices import Slice
from segmentation.runs.run import Run
from segmentation.runs.saved_slices import LONGEST_NAME, SavedSlice, read_slices, remove_slice, save_slice
from segmentation.ui.gallery.filters import Filters
from segmentation.ui.loaders.slices import gain_on_slice, score_saved
from segmentation.ui.shell.faults import refuse, show_errors
from segmentation.ui.shell.run import other_runs
from segmentation.ui.shell.words import PARTS, plain


def known_slices() -> dict[str, SavedSlice]:
    """Return the saved slices by name; none, after a sentence, if they cannot be read."""
    try:
        return read_slices(runs_folder())
    except RunError as error:
        refuse(error)
        return {}


def offer_saving(chosen: Slice) -> None:
    """Let the user keep a slice by name."""
    with st.popover("Save this slice", icon=":material/bookmark_add:", help="Its score in every run from then on."):
        name = st.text_input(
            "Name", max_chars=LONGEST_NAME, key="slice-name", help="What the slice is called for everybody."
        )
        st.caption("What is kept is what its patches have in common, so that it holds for other runs and data sets.")
        if st.button("Save", type="primary", key="save-slice", icon=":material/bookmark_add:"):
            with show_errors():
                saved = SavedSlice(conditions=list(chosen.conditions), class_name=chosen.class_name)
                save_slice(runs_folder(), name, saved)
                st.rerun()


def offer_removing(name: str) -> None:
    """Let the user remove a saved slice."""
    st.button(
        "Remove this slice",
        key="remove-slice",
        icon=":material/bookmark_remove:",
        help="For everybody; its patches and scores stay as they are.",
        on_click=_remove,
        args=(name,),
    )


def _remove(name: str) -> None:
    """Remove a slice, and choose no other in its place; a callback, before the widgets that show it are drawn."""
    with show_errors():
        remove_slice(runs_folder(), name)
        st.session_state["slice"] = None


def show_in_every_run(run: Run, filters: Filters, saved: SavedSlice) -> None:
    """Score a saved slice on every run of a run's classes, as a table."""
    more = st.expander(
        "In every run of these classes", key="slice-runs", bind="query-params", icon=":material/table_rows:"
    )
    rows = []
    if not more.open:
        return
    for other in (run, *other_runs(run, lambda other: other.confusion_matrices is not None).values()):
        scored = score_saved(other, PARTS[filters.part], filters.tiles, saved)
        if scored:
            rows.append(
                {
                    "Run": other.name,
                    "Data set": (other.dataset and other.dataset.name) or "–",
                    "Score": scored.score,
                    "Elsewhere": scored.rest,
                    "Loss": scored.loss,
                    "95 % interval of the loss": signed(scored.interval),
                    "Patches": scored.patches,
                    "Scenes": scored.scenes,
                }
            )
    number = st.column_config.NumberColumn(format="%.3f")
    columns = dict.fromkeys(("Score", "Elsewhere", "Loss"), number)
    more.dataframe(rows, hide_index=True, key="slice-in-runs", column_config=columns)
    more.caption(f"Patches: {filters.part.lower()} by each run's own protocol, so that runs may have others.")


def show_gains_on_slices(run: Run, other: Run, filters: Filters) -> None:
    """Say what another run gains on a run on each saved slice, and whether that is shown."""
    for name, saved in known_slices().items():
        gain = gain_on_slice(run, other, PARTS[filters.part], filters.tiles, saved)
        score = f"{saved.class_name} IoU" if saved.class_name else "accuracy"
        if gain is None or gain.gain != gain.gain:
            st.markdown(f":material/bookmark: Slice *{plain(name)}*: too few scenes of both runs to compare.")
            continue
        verdict = "shown" if gain.real else "not shown"
        st.markdown(
            f":material/bookmark: Slice *{plain(name)}*: {plain(score)} {gain.gain:+.3f} ({signed(gain.interval)}): "
            f"**{verdict}**"
        )
