"""How things are said, on every page alike."""

import re

from segmentation.data.palette import VOID_NAME
from segmentation.data.protocols import TEST, TRAIN, VALIDATION
from segmentation.intervals import LEAST, Interval, Intervals
from segmentation.runs.records import Metrics

SCORED = "Scored are labelled pixels, and under protocols patch and article also void, which counts there as Unlabeled."
"""Which pixels scores are of, on every page."""

INTERVAL_ALONE = (
    "95 % interval: scenes are drawn anew, with replacement, as many as there are, and 95 % of the scores lie within "
    "it. It says how far other scenes of the kind may score from these."
)
INTERVAL = f"Below it is its {INTERVAL_ALONE}"

PARTS = {"Held out": TEST, "Validation": VALIDATION, "Trained on": TRAIN}
"""What a protocol makes of a data set, by the name in a page's switch."""

FLATTERED = "flattered: its epoch was chosen on the patches that are scored"
"""What is said of the scores of a run in two parts."""


def plain(text: object) -> str:
    """Return Markdown that shows a text as it is: names come from files and from people."""
    text = " ".join(str(text).split())
    text = re.sub(r"[\\`*_\[\]<>$~|#!]|:(?=\w)", r"\\\g<0>", text)
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)  # what would begin a list


def code(text: object) -> str:
    """Return Markdown that shows a text as code."""
    return f"`{' '.join(str(text).split()).replace('`', chr(39))}`"


def protocol_line(metrics: Metrics) -> str:
    """Say where scores come from, as Markdown: protocol, patches, pixels; whose model and which data if elsewhere."""
    kind = "patches" if metrics.protocol == "all" else "held-out patches"
    parts = [f"protocol {metrics.protocol} · {metrics.patches:,} {kind} · {metrics.pixels:,} scored pixels"]
    if metrics.model_of:
        parts.append(f"model of {plain(metrics.model_of)}")
    if metrics.dataset and metrics.dataset.name:
        parts.append(f"on {plain(metrics.dataset.name)}")
    parts += [f"{plain(of)} counts as {plain(name or VOID_NAME)}" for of, name in (metrics.mapping or {}).items()]
    return " · ".join(parts)


def score(value: float | None) -> str:
    """Show a score with three decimals, and a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.3f}"


def in_classes(count: float) -> str:
    """Say over how many classes a mean is."""
    return "1 class" if count == 1 else f"{int(count)} classes"


def between(interval: Interval | None) -> str | None:
    """Show an interval; None where there is none."""
    if interval is None or interval.low != interval.low:
        return None
    return f"{interval.low:.3f} – {interval.high:.3f}"


def signed(interval: Interval) -> str:
    """Show the interval of a difference; a dash where there is none."""
    return "–" if interval.low != interval.low else f"{interval.low:+.3f} to {interval.high:+.3f}"


def drawn_line(intervals: Intervals | None) -> str:
    """Say what intervals come from, and how far they can be trusted themselves."""
    if intervals is None:
        return f"Fewer than {LEAST} scenes tell no interval"
    return f"Below the scores are their 95 % intervals, from {intervals.basis}"
