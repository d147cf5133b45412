"""Where a second run does better or worse."""

import pandas as pd
import streamlit as st

from segmentation.evaluation import diagnosis
from segmentation.evaluation.gains import say_gain, signed
from segmentation.evaluation.ranking import rank
from segmentation.intervals import LEAST, Gain
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run
from segmentation.ui.charts.evaluation import scatter_figure
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.filters import (
    COUNTED,
    Filters,
    choose_least,
    choose_order,
    choose_patches,
    hidden_line,
)
from segmentation.ui.gallery.saved_slices import show_gains_on_slices
from segmentation.ui.loaders.intervals import load_gains
from segmentation.ui.shell.run import other_runs
from segmentation.ui.shell.words import PARTS, plain


def two_runs(evaluated: EvaluatedRun) -> None:
    """Show which patches another run does better or worse."""
    run = evaluated.run
    others = other_runs(run, lambda other: other.patches is not None)
    name = st.selectbox(
        "Other run",
        list(others),
        index=None,
        key="with",
        bind="query-params",
        placeholder="Choose another run of these classes",
        help="Its scores of the same patches are set against this run's.",
    )
    other = others[name] if name else None
    table, filters = choose_patches(evaluated, other)
    st.sidebar.subheader("View", anchor=False)
    worst_first = choose_order()
    least = choose_least(run) if COUNTED in table else 0.0
    if name is None or other is None:
        st.info("Choose another run to see what got better and what got worse.", icon=":material/compare_arrows:")
        return
    class_name = filters.class_name
    column, title = (f"iou_{class_name}", f"IoU of {class_name}") if class_name else ("mean_iou", "Mean IoU")
    both = diagnosis.compare_runs(table, other.patches, PARTS[filters.part], column)
    both = both.dropna(subset="gain")
    if both.empty:
        st.info(plain(f"{run.name} and {name} have no patch of this part in common: choose another run or part."))
        return
    figures = st.grid(4, min_column_width=170)
    figures.metric("Patches of both", f"{len(both):,}")
    figures.metric(f"{plain(name)} is better on", f"{(both['gain'] > 0).sum():,}")
    figures.metric(f"{plain(name)} is worse on", f"{(both['gain'] < 0).sum():,}")
    meaning = plain(f"{name} less {run.name}, by patch.")
    gained = plain(title[0].lower() + title[1:]) if class_name is None else plain(title)
    figures.metric(f"Mean gain of {gained}", f"{both['gain'].mean():+.3f}", help=meaning)
    _say_what_is_real(evaluated.run, other, filters)
    show_gains_on_slices(evaluated.run, other, filters)
    st.plotly_chart(
        scatter_figure(
            both[column],
            both[f"other_{column}"],
            both["patch"],
            f"{title}, {run.name}",
            f"{title}, {name}",
            diagonal=True,
        ),
        key="two-runs",
        config={"displayModeBar": False},
    )
    ranked, hidden = rank(both, "gain", COUNTED if COUNTED in both else None, worst_first, least)

    def gain(row: pd.Series) -> str:
        return f"{row['gain']:+.3f}: {plain(title)} {row[f'other_{column}']:.3f} with {plain(name)}"

    first = "What got worse comes first." if worst_first else "What got better comes first."
    caption = plain(f"Ranked by the gain of {name} over {run.name}. {first}")
    caption += hidden_line(hidden, least, run, class_name)
    show_cards(evaluated, filters, ranked, caption, ("two runs", name, worst_first, least), other, gain)
    offer_actions(evaluated, ranked)


def _say_what_is_real(run: Run, other: Run, filters: Filters) -> None:
    """Say whether the other run's gain is more than chance, and by class in a table.

    It is that on all patches of the part and the tiles chosen: those without a class are where it may be invented.
    """
    class_name = filters.class_name
    gains = load_gains(run, other, PARTS[filters.part], filters.tiles)
    if gains is None:
        st.caption(
            f"To tell whether a gain is real takes {LEAST} scenes, and confusion matrices by patch of both runs."
        )
        return
    by_name, by_class = gains
    if class_name:
        st.markdown(_sentence(by_class[class_name], f"IoU of {class_name}", other))
    else:
        for name in ("accuracy", "mean_iou"):
            heading = Metrics.kinds[name].heading
            st.markdown(_sentence(by_name[name], heading[0].lower() + heading[1:], other))
    more = st.expander("Gain by class", key="gains", bind="query-params", icon=":material/balance:")
    if more.open:
        rows = {
            "Class": list(by_class),
            "Gain of IoU": [gain.gain for gain in by_class.values()],
            "95 % interval": [signed(gain.interval) for gain in by_class.values()],
            "Verdict": ["real" if gain.real else "not shown" for gain in by_class.values()],
        }
        number = st.column_config.NumberColumn(format="%+.3f")
        more.dataframe(rows, hide_index=True, key="class-gains", column_config={"Gain of IoU": number})
        more.caption(
            f"Intervals are wider than for one class alone, so that of {len(by_class)} classes of which nothing is "
            "to be shown, some would be called real in one comparison of twenty at most (Bonferroni)."
        )


def _sentence(gain: Gain, score: str, other: Run) -> str:
    """Say what a gain is worth, as Markdown."""
    said = say_gain(gain, score, other.name)
    if not said.verdict:
        return f":material/remove: {plain(said.before)}"
    icon = "check" if gain.real else "question_mark"
    return f":material/{icon}: {plain(said.before)} **{said.verdict}**{plain(said.after)}"
