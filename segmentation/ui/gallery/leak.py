"""What the split leaks: held-out scores by the distance to what was trained on, and under other protocols."""

import math

import pandas as pd
import streamlit as st

from segmentation.evaluation.gains import signed
from segmentation.evaluation.leak import Leak
from segmentation.intervals import LEAST, Gain
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.charts.evaluation import leak_figure
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions
from segmentation.ui.loaders.intervals import load_comparison, load_leak
from segmentation.ui.loaders.scenes import load_ground_resolution
from segmentation.ui.shell.run import other_runs
from segmentation.ui.shell.words import score

SCORES = {"Accuracy": "accuracy", "Mean IoU": "mean_iou"}

TITLES = {
    "distance": "Distance to the nearest trained-on pixel of the scene",
    "surroundings": "Of the eight patches around, trained on",
}


def leak(evaluated: EvaluatedRun) -> None:
    """Show what nearness to trained-on patches is worth, and what runs score that hold out whole scenes or places."""
    run = evaluated.run
    st.sidebar.subheader("View", anchor=False)
    title = st.sidebar.segmented_control(
        "Score",
        list(SCORES),
        default="Accuracy",
        required=True,
        key="leak-score",
        bind="query-params",
        help="Which score is drawn. Each is read off the sum of the patches' confusion matrices.",
    )
    if check_confusions(run) is None:
        return
    found = load_leak(run)
    if found is None:
        st.info(
            "Nothing of this data set was trained on or nothing is held out, as far as the run says, so that no split "
            "can leak: choose a run with both parts.",
            icon=":material/join_inner:",
        )
        return
    labels = name_bins(found, load_ground_resolution(evaluated.dataset))
    name = SCORES[title]
    st.markdown(verdict(found, labels, name, title[0].lower() + title[1:], run.protocol == "tile"))
    trained_on = found.bins[found.bins["trained_on"]].iloc[0]
    st.plotly_chart(
        leak_figure(trained_on, found.held_out, labels, name, TITLES[found.by], title),
        key="leak",
        config={"displayModeBar": False},
    )
    unplaced = f" Left out: {found.unplaced:,} patches whose places make no sense." if found.unplaced else ""
    st.caption(
        "The bars are 95 % intervals, by a bootstrap of whole scenes; there is none of fewer than "
        f"{LEAST} scenes. Near and far patches may also differ in what they show.{unplaced}"
    )
    table = found.bins.assign(bin=["trained on", *labels], by=found.by)
    st.download_button(
        "Download the scores",
        to_safe_csv(table[["by", "bin", *found.bins.columns]]),
        f"{run.name}-leak.csv",
        "text/csv",
        key="leak-csv",
        icon=":material/download:",
        help="A row for each point of the chart, with both scores and their intervals.",
    )
    _show_other_protocols(run)


def name_bins(found: Leak, resolution: float | None) -> list[str]:
    """Return what each bin of held-out patches is called.

    Args:
        found: The bins.
        resolution: Metres to a pixel; None if they are not known.
    """
    if found.by == "surroundings":
        counts = ((0 if not begin else int(begin) + 1, int(end)) for begin, end in _ends(found))
        return [f"{end}" if begin == end else f"{begin}–{end}" for begin, end in counts]

    def length(pixels: float) -> str:
        return f"{pixels:,.0f} px" + (f" ({pixels * resolution:,.0f} m)" if resolution else "")

    names = []
    for begin, end in _ends(found):
        if math.isinf(begin):
            names.append("another scene")
        elif not end:
            names.append("0 px: touching")
        elif math.isinf(end):
            names.append(f"over {length(begin)}")
        else:
            names.append(f"up to {length(end)}" if not begin else f"{begin:,.0f} to {length(end)}")
    return names


def _ends(found: Leak) -> list[tuple[float, float]]:
    return list(found.held_out[["from", "to"]].itertuples(index=False, name=None))


def verdict(found: Leak, labels: list[str], name: str, title: str, new_place: bool = False) -> str:
    """Say in Markdown what the split's leak is worth, and what follows where it does not show.

    Args:
        found: The scores by bins.
        labels: What the bins are called.
        name: The score, as in `Metrics`.
        title: The score's name for people.
        new_place: Whether a whole tile is held out.
    """
    held_out = found.held_out
    near, far = held_out.iloc[0], held_out.iloc[-1]
    if found.in_other_scenes:
        told = (
            f"**No scene is in both parts**: {title} **{score(near[name])}** is that of scenes of which nothing was "
            "trained on. Within scenes nothing leaks. "
        )
        if new_place:
            return f"{told}A whole tile is held out: if it is a place of its own, this is what a new place scores."
        return (
            f"{told}Scenes that border each other, such as the parts of a mosaic, may still be alike along their seam: "
            "only a whole place held out (protocol tile) shows what a new place scores."
        )
    first = ""
    if found.by == "surroundings":
        first = (
            "**Every held-out patch touches a trained-on one**, so that this run does not show how it does farther "
            "away: its score holds for ground between patches that were trained on. What differs is how many of the "
            "eight patches around are trained on. "
        )
        near_name, far_name = f"with {labels[0]} of them", f"with {labels[-1]}"
    else:
        near_name, far_name = f"nearest to trained-on ones ({labels[0]})", f"farthest ({labels[-1]})"
    if len(held_out) == 1:
        return f"{first}**All held-out patches are alike in that** ({labels[0]}), so that nothing can be compared here."
    return (
        f"{first}Patches {near_name}: {title} **{score(near[name])}**; {far_name}: **{score(far[name])}**. "
        f"{_worth(found.gains[name])}"
    )


def _worth(gain: Gain) -> str:
    """Say whether a difference between far and near is more than chance."""
    of = f"a difference of {gain.gain:+.3f} ({signed(gain.interval)})"
    if gain.real and gain.gain < 0:
        return f":material/check: That is {of}: **shown**. So much of the score is owed to what lies near."
    if gain.real:
        return f":material/check: That is {of}: **shown**, but the farther ones do better: no leak shows here."
    return f":material/question_mark: That is {of}: **not shown** by {gain.units:,} {gain.unit}s."


def _show_other_protocols(run: Run) -> None:
    """Compare the run with those of the same network that hold out something else of the same data set."""
    st.subheader("The same network with other parts held out", anchor=False)
    rows = []
    for name, other in other_runs(run, lambda other: _holds_out_something_else(run, other)).items():
        gains = load_comparison(run, other)
        if other.metrics and gains:
            rows.append(
                {
                    "Run": name,
                    "Protocol": other.protocol,
                    "Held-out patches": other.metrics.patches,
                    "Accuracy": other.metrics.accuracy,
                    "Mean IoU": other.metrics.mean_iou,
                    **{
                        f"{title} less {run.name}'s": f"{gain.gain:+.3f} ({signed(gain.interval)}): "
                        + ("shown" if gain.real else "not shown")
                        for title, gain in ((title, gains[key]) for title, key in SCORES.items())
                    },
                }
            )
    if not rows:
        st.info(
            "No other run of this network holds out whole scenes or a whole place of this data set: "
            "`python -m segmentation train --protocol tile --held-out-tile …` trains one, and what it scores less is "
            "what the leak is worth.",
            icon=":material/compare_arrows:",
        )
        return
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="other-protocols",
        column_config={
            "Held-out patches": st.column_config.NumberColumn(format="localized"),
            **{title: st.column_config.NumberColumn(format="%.3f") for title in SCORES},
        },
    )
    st.caption(
        "How much less a run scores on whole scenes or on a place that it has not seen is what the leak is worth, as "
        "far as the runs are trained alike and the places are as hard. The scenes of each are drawn on their own. "
        "Under protocol patch void counts as Unlabeled, so that mean IoU is not quite the same score."
    )


def _holds_out_something_else(run: Run, other: Run) -> bool:
    network, theirs = run.architecture, other.architecture
    return (
        network is not None
        and theirs is not None
        and network.name == theirs.name
        and other.fingerprint == run.fingerprint
        and other.protocol not in (run.protocol, "all")
        and other.confusion_matrices is not None
    )
