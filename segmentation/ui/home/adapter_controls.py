"""What of a model's adapter is said by hand: what is left open is found out."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from segmentation.inference.foreign.adapter import IMAGENET, read_settings
from segmentation.runs.records import LARGEST_PATCH

OPEN = "Found out"
"""Stands in a control that says nothing."""

CHOICES: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "scale": (
        "Scale",
        {"0-255": "0–255", "0-1": "0–1", "-1-1": "−1–1", IMAGENET: "ImageNet's mean and deviation"},
        "What the bytes 0–255 of an image become before the model sees them.",
    ),
    "order": ("Channel order", {"rgb": "RGB", "bgr": "BGR"}, "OpenCV reads BGR; most others read RGB."),
    "output": (
        "Output",
        {"logits": "Logits", "probabilities": "Probabilities", "classes": "Class indices"},
        "What the model gives for each pixel.",
    ),
    "layout": (
        "Layout",
        {"nchw": "Channels first (NCHW)", "nhwc": "Channels last (NHWC)"},
        "Where the channels stand in a batch of images: PyTorch has them first, TensorFlow last.",
    ),
}
"""Label, choices and help of what is one of a few."""

SIZES = {
    "height": ("Height, px", LARGEST_PATCH, "Of the images that the model takes. Larger ones are cut into windows."),
    "width": ("Width, px", LARGEST_PATCH, "Of the images that the model takes. Say both, or neither."),
    "divisor": ("Divisor", 1024, "Of height and width, for a model that takes any size: often 32."),
}
"""Label, largest value and help of whole numbers."""

TEXTS = {
    "mean": ("Mean", OPEN, "Taken off after the scale, one number per channel, such as 0.485, 0.456, 0.406."),
    "deviation": ("Deviation", OPEN, "Divided by after the mean, one number per channel, such as 0.229, 0.224, 0.225."),
    "classes": (
        "Classes of the model",
        "The data set's",
        "Where they are others or in another order: their names in the model's order, separated by commas, such as "
        "Background, Building, Road. They are matched with the data set's by name.",
    ),
}
"""Label, what stands for nothing, and help of lists."""


def choose_adapter(key: str) -> dict[str, Any]:
    """Let the user say how a model wants its images; return what is said as `read_settings` does.

    Args:
        key: Of the widgets: those of another model begin anew.

    Raises:
        ConfigurationError: If something that is said cannot be.
    """
    cells = st.grid(3, min_column_width=150)
    said: dict[str, object] = {}
    for name, (label, choices, about) in CHOICES.items():
        said[name] = cells.selectbox(
            label,
            list(choices),
            index=None,
            format_func=choices.__getitem__,
            key=f"{name}-{key}",
            placeholder=OPEN,
            help=about,
        )
    for name, (label, most, about) in SIZES.items():
        said[name] = cells.number_input(label, 1, most, None, key=f"{name}-{key}", placeholder=OPEN, help=about)
    for name, (label, nothing, about) in TEXTS.items():
        said[name] = cells.text_input(label, key=f"{name}-{key}", placeholder=nothing, help=about)
    return read_settings(f"{name}={value}" for name, value in said.items() if value)
