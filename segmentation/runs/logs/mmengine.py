"""Logs of mmengine (``vis_data/scalars.json``) and of mmcv before it (``*.log.json``): a JSON object a line.

mmcv says the ``mode`` of a line. mmengine does not, but only lines of training have a learning rate or ``iter``; what
``step`` counts in its lines of validation, epochs or iterations, depends on the configuration. So a line of validation
belongs to the step and the epoch of the line of training before it.
"""

import re

from segmentation.runs.logs.reading import Content, Entries, Reading, counted, number_of, parsed, read_by_steps

FIRST_LINES = 20
"""A line of the log is among these; before it is what the environment was."""


def is_mmengine(content: Content) -> bool:
    """Tell whether a file holds mmengine's or mmcv's lines."""
    if not content.text.startswith("{"):
        return False
    lines = content.text[: 1 << 20].split("\n", FIRST_LINES)[:FIRST_LINES]
    return any(_is_its_own(line) for text in lines if isinstance(line := parsed(text), dict))


def _is_its_own(line: dict) -> bool:
    """Tell whether no other trainer writes such a line: many say their step."""
    return _mode(line) is not None and not {"mode", "iter", "data_time"}.isdisjoint(line)


def _mode(line: dict) -> str | None:
    """Return the part of the data that a line is about: ``train`` or ``val``; None if it is about none."""
    if "mode" in line:
        return line["mode"] if line["mode"] in ("train", "val") else None
    if number_of(line.get("step")) is None:
        return None
    return "train" if "iter" in line or any(name.split("/")[-1] == "lr" for name in line) else "val"


def read_mmengine(content: Content) -> list[Reading]:
    """Read the lines of training and validation."""
    entries, count, broken = Entries(), 0, 0
    step: object = None
    epoch: object = None
    for found in re.finditer(r"[^\r\n]+", content.text):
        line = parsed(found[0])
        mode = _mode(line) if isinstance(line, dict) else None
        if not isinstance(line, dict) or mode is None:
            broken += not isinstance(line, dict)
            continue
        if mode == "train" or step is None:
            step, epoch = line.get("step", line.get("iter")), line.get("epoch")
        entries.add(count, "step", step)
        entries.add(count, "epoch", epoch)
        for name, value in line.items():
            if name not in ("mode", "step", "iter", "epoch"):
                named = name if name.startswith(("train/", "val/")) or name == "lr" else f"{mode}/{name}"
                entries.add(count, named, value)
        count += 1
    notes = [f"{counted(broken, 'line')} left out: no valid JSON, or half written."] if broken else []
    return [read_by_steps(entries.table(count), notes)]
