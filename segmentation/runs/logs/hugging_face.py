"""Hugging Face's ``trainer_state.json``: a line of ``log_history`` for each time that the Trainer logged or evaluated.

A line has ``step`` and ``epoch``, a fraction; ``loss`` is of training, ``eval_…`` of validation. The last one sums the
whole training up.
"""

import math

from segmentation.runs.logs.reading import Content, Entries, Reading, read_by_steps

SUMMARY = {"total_flos", "train_runtime"}
"""What only the line has that sums the training up: its ``train_loss`` is the mean over all epochs."""


def is_trainer_state(content: Content) -> bool:
    """Tell whether a file is a trainer's state."""
    return isinstance(content.document, dict) and isinstance(content.document.get("log_history"), list)


def read_trainer_state(content: Content) -> list[Reading]:
    """Read the log in a trainer's state."""
    entries, count = Entries(), 0
    for line in content.document["log_history"]:  # type: ignore[index]
        if not isinstance(line, dict) or not SUMMARY.isdisjoint(line):
            continue
        for name, value in line.items():
            if name == "epoch" and isinstance(value, int | float) and math.isfinite(value):
                value = math.ceil(round(value, 6))  # in the second epoch its fraction is between 1 and 2
            entries.add(count, name, value)
        count += 1
    return [read_by_steps(entries.table(count))]
