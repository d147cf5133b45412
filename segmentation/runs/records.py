"""What is in a run folder's files, checked before it is believed."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.data.palette import Palette
from segmentation.data.protocols import PROTOCOLS
from segmentation.errors import PaletteError

CONFIG_PARTS = {"configuration", "palette", "dataset"}

SCORES = {
    "protocol",
    "patches",
    "pixels",
    "accuracy",
    "jaccard",
    "mean_iou",
    "mean_iou_without_unlabeled",
    "iou",
    "confusion_matrix",
}

COUNTED = {"protocol", "patches", "pixels", "iou", "confusion_matrix"}

NAMES = {"patch", "tile", "scene", "part"}

PLACES = {"row", "column"}

SHARES = {"mean_iou", "accuracy", "confidence", "brightness", "contrast"}

PATCH_COLUMNS = NAMES | PLACES | SHARES | {"classes"}
"""What these files hold at the least: one that lacks any of it counts as unreadable."""

FURTHER = {"pixels": 2**40, "confidence_wrong": 1, "surely_wrong": 1}
"""What patches.csv holds since a later version, and the most that it can be."""

PARTS = ("train", "test")

LARGEST_JSON, DEEPEST_JSON = 8 << 20, 32
"""Bytes of a JSON file, and lists within lists: the scores of 255 classes take half a megabyte and three."""

LARGEST_TABLE, MOST_COLUMNS = 128 << 20, 70_000
"""Bytes of patches.csv, enough for 500,000 patches, and columns: those of 255 classes, each predicted as each."""


def palette_of(config: dict) -> Palette | None:
    """Return the classes that config.json names; None if they cannot be."""
    try:
        return Palette.from_dict(config["palette"])
    except (PaletteError, TypeError, KeyError, ValueError, AttributeError):
        return None


def can_be_shown(content: dict) -> bool:
    """Tell whether JSON is not nested too deep for who writes it out, and holds no half of a character."""
    layer = [content]
    for _ in range(DEEPEST_JSON):
        inner = []
        for value in layer:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not _is_text(value):
                return False
        if not inner:
            return True
        layer = inner
    return False


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_patch_table(path: Path, columns: set[str]) -> pd.DataFrame | None:
    """Read those of the columns that a CSV file has; None if it cannot be read, or not in bounded memory."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_TABLE:  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            header = file.readline(LARGEST_JSON)
        if header.count(b",") > MOST_COLUMNS:
            return None
        names = next(csv.reader([header.decode()]))
        if len(set(names)) < len(names):  # pandas would give the second another name
            return None
        return pd.read_csv(path, usecols=lambda name: name in columns)
    except (OSError, ValueError, csv.Error, StopIteration):  # pandas' parser errors are ValueErrors
        return None


def is_number(value: object, least: float = 0, most: float = 1e10) -> bool:
    """Tell whether a value out of a file is a number from `least` to `most`; the default suits counts and times."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def are_scores(metrics: dict, palette: Palette | None) -> bool:
    """Tell whether the content of metrics.json is scores of these classes."""
    if not set(metrics) >= SCORES or not isinstance(metrics["iou"], dict) or metrics["protocol"] not in PROTOCOLS:
        return False
    names = palette.names if palette else tuple(metrics["iou"])
    shares = [value for key, value in metrics.items() if key in SCORES - COUNTED] + list(metrics["iou"].values())
    try:
        matrix = np.asarray(metrics["confusion_matrix"])
    except ValueError:  # rows of different lengths
        return False
    return (
        all(share is None or is_number(share, 0, 1) for share in shares)
        and all(is_number(metrics[key], most=1e15) for key in ("patches", "pixels"))
        and tuple(metrics["iou"]) == names
        and matrix.shape == 2 * (len(names),)
        and np.issubdtype(matrix.dtype, np.integer)
    )
