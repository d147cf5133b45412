"""Logs of a JSON object a line that says its step or epoch, as Detectron2's ``metrics.json`` and many scripts write."""

import re

from segmentation.runs.logs.reading import Content, Entries, Reading, counted, number_of, parsed, read_by_steps

STEPS = ("step", "global_step", "iteration", "iter")
"""What counts the steps, by the names in use; the first that a line has counts."""

FIRST_LINES = 20
"""A line that says how far the training is stands among these."""


def is_json_lines(content: Content) -> bool:
    """Tell whether a file holds JSON objects, a line each, that say how far the training was."""
    if not content.text.startswith("{"):
        return False
    lines = content.text[: 1 << 20].split("\n", FIRST_LINES)[:FIRST_LINES]
    return any(_says_how_far(line) for text in lines if isinstance(line := parsed(text), dict))


def _says_how_far(line: dict) -> bool:
    return any(number_of(line.get(name)) is not None for name in (*STEPS, "epoch"))


def read_json_lines(content: Content) -> list[Reading]:
    """Read the numbers of all lines that say how far the training was."""
    entries, count, broken = Entries(), 0, 0
    for found in re.finditer(r"[^\r\n]+", content.text):
        line = parsed(found[0])
        if not isinstance(line, dict) or not _says_how_far(line):
            broken += not isinstance(line, dict)
            continue
        step = next((name for name in STEPS if number_of(line.get(name)) is not None), None)
        for name, value in line.items():
            entries.add(count, "step" if name == step else name, value)
        count += 1
    notes = [f"{counted(broken, 'line')} left out: no valid JSON, or half written."] if broken else []
    return [read_by_steps(entries.table(count), notes)]
