"""Colours and texts that charts share."""

import html

from segmentation.runs.logs.columns import key

ACCENT = "#0f766e"

QUIET = "#8a8f94"

POINTS = "#159a8c"
"""The accent, light enough to be seen as a point on dark ground too."""

WARM = "#b45309"
"""What stands against the accent; told apart by everybody, on light and on dark ground."""

RUN_COLORS = ("#159a8c", "#b45309", "#475569", "#be185d", "#4d7c0f", "#0369a1")
"""One a run; none is a class colour of the Dubai palette."""

TITLES = {
    "accuracy": "Accuracy",
    "jaccard": "Jaccard (article, soft)",
    "image_jaccard": "Jaccard, image by image",
    "loss": "Loss",
    "iou": "IoU",
    "mean_iou": "Mean IoU",
    "miou": "mIoU",
    "learning_rate": "Learning rate",
}


def literal(text: object) -> str:
    """Return what Plotly draws as this text: it takes tags, entities and ``%{…}`` in a name for markup.

    `html.unescape` turns it back.
    """
    return html.escape(str(text), quote=False).replace("%{", "%&#123;")


def title_of(metric: str) -> str:
    """Return a metric's name for people."""
    words = metric.replace("_", " ")
    return TITLES.get(key(metric), words[:1].upper() + words[1:])
