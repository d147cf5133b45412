"""Keras Tuner's ``trial.json``: of each metric the values at some epochs, one for each execution of the trial."""

from segmentation.runs.logs.reading import Content, Entries, Reading, number_of


def _metrics(content: Content) -> dict | None:
    """Return the metrics of a trial; None if the file is none."""
    outer = content.document.get("metrics") if isinstance(content.document, dict) else None
    metrics = outer.get("metrics") if isinstance(outer, dict) else None
    return metrics if isinstance(metrics, dict) else None


def is_trial(content: Content) -> bool:
    """Tell whether a file is a trial's state."""
    return _metrics(content) is not None


def read_trial(content: Content) -> list[Reading]:
    """Read a trial's metrics, each the mean over its executions."""
    observed: list[tuple[str, int, float]] = []
    executions = 1
    for name, metric in (_metrics(content) or {}).items():
        for observation in _observations(metric):
            values = observation["value"] if isinstance(observation.get("value"), list) else [observation.get("value")]
            numbers = [number for value in values if (number := number_of(value)) is not None]
            if numbers and type(epoch := observation.get("step")) is int:
                observed.append((name, epoch, sum(numbers) / len(numbers)))
                executions = max(executions, len(numbers))
    lines = {epoch: line for line, epoch in enumerate(sorted({epoch for _, epoch, _ in observed}))}
    entries = Entries()
    for epoch, line in lines.items():
        entries.add(line, "epoch", epoch)
    for name, epoch, value in observed:
        entries.add(lines[epoch], name, value)
    notes = [f"Each value is the mean of {executions} executions."] if executions > 1 else []
    if len(lines) == 1:
        notes.append("A trial keeps the values of its best epoch only.")
    return [Reading(entries.table(len(lines)), notes)]


def _observations(metric: object) -> list[dict]:
    """Return what was observed of a metric."""
    found = metric.get("observations") if isinstance(metric, dict) else None
    return [observation for observation in found if isinstance(observation, dict)] if isinstance(found, list) else []
