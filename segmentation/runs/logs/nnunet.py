"""nnU-Net's ``training_log_….txt``: what it says of each epoch, in words, line after line.

Both versions are read: ``train_loss``, ``val_loss`` and ``Pseudo dice`` of version 2, ``train loss``, ``validation
loss`` and ``Average global foreground Dice`` of version 1.
"""

import re

import numpy as np

from segmentation.runs.logs.reading import Content, Entries, Reading

STAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+ ?: *"

BEGIN = re.compile(STAMP + r"(?:\r?\n?epoch: +|Epoch )\d+ *\r?$", re.MULTILINE)

SAID = re.compile(
    rf"^(?:{STAMP[1:]})?(?:"
    r"(?P<epoch>(?:epoch:|Epoch) +(?=\d))"
    r"|(?P<train_loss>train_loss |train loss :)|(?P<val_loss>val_loss |validation loss:)"
    r"|(?P<val_pseudo_dice>Pseudo dice |Average global foreground Dice:)|(?P<lr>Current learning rate:|lr:)"
    r"|(?P<seconds>Epoch time:|This epoch took)) *(?P<value>[^\r\n]*)",
    re.MULTILINE,
)
"""What is said of an epoch; the group that matches names the column."""

NUMBER = re.compile(r"nan|[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)

NUMPY = re.compile(r"np\.float\d+")
"""NumPy 2 writes its numbers as ``np.float32(0.5)``."""


def is_nnunet(content: Content) -> bool:
    """Tell whether a file is nnU-Net's log."""
    return BEGIN.search(content.text) is not None


def read_nnunet(content: Content) -> list[Reading]:
    """Read what is said of each epoch; dice is the mean over the classes, as nnU-Net draws it."""
    entries, count, classes = Entries(), -1, 0
    for found in SAID.finditer(content.text):
        numbers = [float(number) for number in NUMBER.findall(NUMPY.sub("", found["value"])[:10_000])]
        name = found.lastgroup if found.lastgroup != "value" else next(k for k, v in found.groupdict().items() if v)
        if name == "epoch":
            count += 1
        if not numbers or count < 0:
            continue
        if name == "val_pseudo_dice":
            known = [number for number in numbers if not np.isnan(number)]  # NaN: no such class in the validation
            classes = max(classes, len(numbers))
            if known:
                entries.add(count, name, sum(known) / len(known))
        else:
            entries.add(count, str(name), numbers[0])
    notes = [f"Pseudo dice is the mean over {classes} classes."] if classes > 1 else []
    return [Reading(entries.table(count + 1), notes)]
