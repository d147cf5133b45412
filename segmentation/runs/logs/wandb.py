"""W&B's export of a chart as CSV: a column ``run - metric`` for each run, and its ``__MIN`` and ``__MAX``."""

from segmentation.runs.logs.columns import is_step
from segmentation.runs.logs.reading import Content, Reading
from segmentation.runs.logs.tables import read_table

BETWEEN = " - "

RANGES = ("__MIN", "__MAX")
"""The lowest and the highest of the values that W&B has thinned out to one."""


def is_export(content: Content) -> bool:
    """Tell whether a table's columns are an export's."""
    return any(BETWEEN in name and name.endswith(RANGES) for name in content.columns)


def read_export(content: Content) -> list[Reading]:
    """Read each run by itself."""
    (whole,) = read_table(content)
    shared = [name for name in whole.lines if BETWEEN not in name]
    runs: dict[str, dict[str, str]] = {}
    for column in whole.lines:
        run, between, metric = column.rpartition(BETWEEN)
        if between and not metric.endswith(RANGES) and not (is_step(metric) and any(map(is_step, shared))):
            runs.setdefault(run, {})[column] = metric
    readings = []
    for run, columns in runs.items():
        known = whole.lines[list(columns)].notna().any(axis=1)
        lines = whole.lines.loc[known, shared + list(columns)].rename(columns=columns).reset_index(drop=True)
        headers = None if whole.headers is None else whole.headers[known.to_numpy()]
        readings.append(Reading(lines, list(whole.notes), headers, run))
    return readings
