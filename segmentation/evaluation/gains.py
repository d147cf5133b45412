"""How far a run's scores can be trusted, and what another run gains on it: from their folders, and in words."""

from typing import NamedTuple

from segmentation.intervals import Gain, Interval, Intervals, find_gains, find_intervals
from segmentation.runs.run import Run

MOST_UNITS = 100_000
"""Of scenes that would show a gain: where it takes more, there is none worth the word."""


def intervals_of(run: Run) -> Intervals | None:
    """Return the intervals of the scores of a run's held-out patches; None if it has none, or too few scenes."""
    if run.metrics and run.metrics.intervals:
        return run.metrics.intervals
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return None
    test = (run.patches["part"] == "test").to_numpy()
    return find_intervals(run.patches[test], run.confusion_matrices[test], run.palette)


def gains_between(
    run: Run, other: Run, part: str = "test", tiles: tuple[str, ...] = ()
) -> tuple[dict[str, Gain], dict[str, Gain]] | None:
    """Return what another run gains on a run, as `find_gains`, on the patches that both have in a part.

    Args:
        run: A run.
        other: Another, of the same classes in the same order.
        part: Of the patches.
        tiles: Only patches of these; all if there is none.

    Returns:
        None with too few scenes in common, or where the confusion matrices of a run's patches are not known.
    """
    pairs = []
    for one in (run, other):
        if one.patches is None or one.palette is None or one.confusion_matrices is None:
            return None
        chosen = one.patches["part"] == part
        if tiles:
            chosen &= one.patches["tile"].isin(tiles)
        pairs.append((one.patches[chosen], one.confusion_matrices[chosen.to_numpy()], one.palette))
    (table, matrices, palette), (other_table, other_matrices, _) = pairs
    return find_gains((table, matrices), (other_table, other_matrices), palette)


class GainInWords(NamedTuple):
    """A sentence in three parts, of which the verdict is to be seen.

    Args:
        before: What is claimed.
        verdict: ``real`` or ``not shown``; nothing where there is no gain.
        after: What would show it.
    """

    before: str
    verdict: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.before} {self.verdict}{self.after}".rstrip()


def say_gain(gain: Gain, score: str, name: str) -> GainInWords:
    """Say what a gain is worth.

    Args:
        gain: Of a run over another.
        score: What it is of, as within a sentence.
        name: Of the run that gains.
    """
    if not gain.gain:
        return GainInWords(f"Both runs have the same {score}")
    of = f"of {score} ({signed(gain.interval)})"
    if gain.real:
        better = "better" if gain.gain > 0 else "worse"
        return GainInWords(f"{name} is {better} by {abs(gain.gain):.3f} {of}:", "real")
    few = f": {gain.units:,} {gain.unit}s are too few to tell {abs(gain.gain):.3f} apart"
    needed = f"; about {gain.units_needed:,} would" if 0 < gain.units_needed < MOST_UNITS else ""
    return GainInWords(f"A gain of {gain.gain:+.3f} {of} is", "not shown", few + needed)


def signed(interval: Interval) -> str:
    """Show the interval of a difference; a dash where there is none."""
    return "–" if interval.low != interval.low else f"{interval.low:+.3f} to {interval.high:+.3f}"
