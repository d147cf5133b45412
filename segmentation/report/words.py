"""What a report says in sentences: the answer first, then what to keep in mind."""

from collections.abc import Iterator

from segmentation.data.protocols import DESCRIPTIONS, touching
from segmentation.intervals import FEW, LEAST, Interval, Intervals
from segmentation.report.repeating import command, mapping_words
from segmentation.report.scored import ClassRow, Comparison
from segmentation.runs.run import Run

NAMED = 12
"""Findings that are listed one by one."""


NBSP = "\N{NO-BREAK SPACE}"


def score(value: float | None) -> str:
    """Show a score with three decimals, and a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.3f}"


def between(interval: Interval | None) -> str:
    """Show an interval; nothing where there is none."""
    return "" if interval is None or interval.low != interval.low else f"{interval.low:.3f} – {interval.high:.3f}"


def answer(run: Run, intervals: Intervals | None, classes: list[ClassRow], comparison: Comparison | None) -> list[str]:
    """Return how good a run is, in a few sentences.

    Args:
        run: The run.
        intervals: Of its scores.
        classes: With their scores.
        comparison: With a second run, if there is one.
    """
    metrics = run.metrics
    if metrics is None:
        return [f"{run.name} has no scores yet. {_unscored(run)}"]
    by_name = intervals.by_name if intervals else {}
    right = "–" if metrics.accuracy is None else f"{100 * metrics.accuracy:.1f}{NBSP}%"
    shown = {name: between(by_name.get(name)) for name in ("accuracy", "mean_iou")}
    spread = {name: f" (95{NBSP}% interval {ends})" if ends else "" for name, ends in shown.items()}
    known = [row for row in classes if row.iou == row.iou]
    sentences = [
        f"{run.name} labels {right} of the scored pixels right{spread['accuracy']}; its mean IoU is "
        f"{score(metrics.mean_iou)}{spread['mean_iou']}."
    ]
    if len(known) > 1:
        best, worst = max(known, key=lambda row: row.iou), min(known, key=lambda row: row.iou)
        sentences.append(
            f"It does best at {best.name} (IoU {score(best.iou)}) and worst at {worst.name} ({score(worst.iou)})."
        )
    if comparison and comparison.sentences:
        sentences += [f"{sentence}." for sentence in comparison.sentences]
    return sentences


def _unscored(run: Run) -> str:
    if run.status.state == "running":
        return "Its training is under way: the curves show how far it is."
    if run.model is None:
        return f"It has no model to score either: {', '.join(run.problems) or run.why_no_model}."
    return f"{command('evaluate', '--run', run.name, '--save')} gives it some."


def scored_line(run: Run) -> str:
    """Say which pixels the scores are of."""
    metrics = run.metrics
    if metrics is None:
        return ""
    kind = "patches" if metrics.protocol == "all" else "held-out patches"
    scenes = ""
    if run.patches is not None:
        count = run.patches.loc[run.patches["part"] == "test", "scene"].nunique()
        scenes = f" from {_count(count, 'scene')}"
    return (
        f"Scored: {metrics.patches:,} {kind}{scenes}, {metrics.pixels:,} pixels. Protocol {metrics.protocol}: "
        f"{_protocol_words(run)}."
    )


def _protocol_words(run: Run) -> str:
    metrics = run.metrics
    if metrics is None:
        return ""
    if metrics.protocol == "all" and run.config and run.config.dataset.fingerprint == run.fingerprint:
        return "every scene, though most were trained on"
    tile = run.config.configuration.get("held_out_tile") if run.config else None
    described = DESCRIPTIONS.get(metrics.protocol, metrics.protocol)
    return f"{described} ({tile})" if metrics.protocol == "tile" and tile else described


def cautions(run: Run, intervals: Intervals | None, fingerprint: str | None) -> Iterator[str]:
    """Yield what to keep in mind when the scores are read, a sentence each.

    Args:
        run: The run.
        intervals: Of its scores.
        fingerprint: Of the data set that the pictures are of; None if there is none.
    """
    status = run.status
    if status.state != "finished":
        why = f": {status.reason}" if status.reason else ""
        far = f", epoch {status.epoch} of {status.epochs}" if status.epoch and status.epochs else ""
        yield f"The run has not finished. It is {status.state}{far}{why}."
    if run.metrics:
        if intervals is None:
            yield f"No interval can be told: that takes {LEAST} scenes, and confusion matrices by patch."
        elif intervals.units < FEW:
            yield f"The intervals come from {intervals.units} {intervals.unit}s, so few that they are uncertain too."
    yield from _leaks(run)
    if run.metrics and run.metrics.model_of:
        yield f"The model is that of {run.metrics.model_of}, scored on data that it was not trained on."
    if words := mapping_words(run):
        yield f"Names of classes differ: {', '.join(words)}."
    if run.left_out:
        yield f"Of the data: {run.left_out}."
    if fingerprint and run.fingerprint and fingerprint != run.fingerprint:
        yield (
            "The data set at hand is not the one that was scored, or its files have changed since: pictures and scores "
            "may not belong together."
        )
    if run.problems:
        yield f"Of the run's files, {', '.join(run.problems)}."


def _leaks(run: Run) -> Iterator[str]:
    """Yield why the scores may flatter."""
    table = run.patches
    if table is None or run.metrics is None:
        return
    seen = table[table["part"].isin(["train", "test"])]
    test = (seen["part"] == "test").to_numpy()
    if 0 < test.sum() < len(test):
        near = int(touching(seen, test).sum())
        some = "All" if near == test.sum() else f"{near:,} of"
        if near:
            yield (
                f"{some} {int(test.sum()):,} held-out patches touch one that was trained on: the model has seen what "
                "lies beside them, and scores better than it would in a new place."
            )
    if run.is_flattered and not run.metrics.model_of:
        yield "The epoch that was kept is the one that did best on the held-out part: its scores flatter a little."


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + "s" * (number != 1)
