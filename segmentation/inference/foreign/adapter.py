"""What a model from elsewhere wants and gives: its adapter, kept as ``model.toml`` in the run folder."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from segmentation.data.palette import VOID
from segmentation.data.stretch import MOST_BANDS
from segmentation.errors import ConfigurationError, RunError
from segmentation.files import replacing
from segmentation.runs.records import LARGEST_PATCH

Layout = Literal["nchw", "nhwc"]
Order = Literal["rgb", "bgr"]
Scale = Literal["0-255", "0-1", "-1-1"]
Output = Literal["logits", "probabilities", "classes"]

CHOICES: dict[str, tuple[str, ...]] = {
    "layout": get_args(Layout),
    "order": get_args(Order),
    "scale": get_args(Scale),
    "output": get_args(Output),
}

IMAGENET = "imagenet"
"""What stands for 0–1 with `MEAN` and `DEVIATION` where a scale is given by hand."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in 0–1, by which most networks of PyTorch want their images."""

LARGEST_TOML = 1 << 16
"""Bytes of a ``model.toml``: 255 names of classes take a tenth of it."""

COMMENTS = {
    "file": "the model: a file in this folder, or a path where it is larger than 2 GB",
    "sha256": "of the file, and of those with its weights if there are any",
    "layout": "nchw: (batch, bands, height, width); nhwc: (batch, height, width, bands)",
    "order": "of three bands: rgb or bgr",
    "scale": "what bytes become: 0-255, 0-1 or -1-1",
    "mean": "then taken off, one number per band in the model's order; [] for none",
    "deviation": "then divided by, likewise",
    "bands": "how many bands it sees",
    "height": "of its images, in pixels; 0 for any",
    "width": "likewise",
    "divisor": "of height and width, where they are any",
    "output": "logits, probabilities (of all classes, or of the second of two) or classes (their indices)",
    "classes": "in the model's order",
}
"""What ``model.toml`` says of each entry."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a model from elsewhere wants its images and gives its classes.

    Args:
        file: Its name in the run folder; an absolute path where it was too large to be copied.
        sha256: Of the file, in hexadecimal digits.
        layout: Where the bands stand in a batch of images.
        order: Of three bands.
        scale: What the bytes 0–255 become.
        mean: Taken off after the scale, one per band in the model's order; empty for none.
        deviation: Divided by after that; empty for none.
        bands: How many the model sees.
        height: Of the images that it takes, in pixels; 0 for any.
        width: Likewise.
        divisor: Of height and width, where they are any.
        output: What it gives: logits, probabilities or class indices.
        classes: Their names, in its order.

    Raises:
        ConfigurationError: If an entry cannot be, or two contradict each other.
    """

    file: str = ""
    sha256: str = ""
    layout: Layout = "nchw"
    order: Order = "rgb"
    scale: Scale = "0-1"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    bands: int = 3
    height: int = 0
    width: int = 0
    divisor: int = 1
    output: Output = "logits"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise _expected(f"{name} out of {', '.join(choices)}", getattr(self, name))
        for name, (least, most) in {
            "bands": (1, MOST_BANDS),
            "height": (0, LARGEST_PATCH),
            "width": (0, LARGEST_PATCH),
            "divisor": (1, 1024),
        }.items():
            if not (type(getattr(self, name)) is int and least <= getattr(self, name) <= most):
                raise _expected(f"{name} from {least} to {most}", getattr(self, name))
        for name in ("mean", "deviation"):
            numbers = getattr(self, name)
            if len(numbers) not in (0, self.bands) or not np.isfinite(numbers).all():
                raise _expected(f"{name} of {self.bands} numbers, or of none", list(numbers))
        if not all(value > 0 for value in self.deviation):
            raise _expected("deviations above 0", list(self.deviation))
        if bool(self.height) != bool(self.width):
            raise _expected("height and width, or neither", (self.height, self.width))
        if self.order == "bgr" and self.bands != 3:
            raise _expected("rgb, as the bands are read, of other than three bands", self.order)
        if not len(set(self.classes)) == len(self.classes) <= VOID:
            raise _expected(f"up to {VOID} different classes", list(self.classes))

    @property
    def input_words(self) -> str:
        """How it wants the values of an image, in words: "0–1 with ImageNet's mean and deviation, RGB"."""
        scale = {"0-255": "0–255", "0-1": "0–1", "-1-1": "−1–1"}[self.scale]
        if (self.scale, self.mean, self.deviation) == ("0-1", MEAN, DEVIATION):
            scale += " with ImageNet's mean and deviation"
        elif self.mean or self.deviation:
            scale += " with a mean or deviation of its own"
        return f"{scale}, {self.order.upper()}" if self.bands == 3 else scale

    @property
    def settings(self) -> dict[str, Any]:
        """All of it as `read_settings` returns what is given by hand, so that nothing is left to be found out."""
        sizes = ("height", "width") if self.height else ("divisor",)
        names = ("layout", "order", "scale", "mean", "deviation", *sizes, "output", "classes")
        return {name: getattr(self, name) for name in names}

    @property
    def shape_words(self) -> str:
        """How it wants images and what it gives, in words."""
        any_size = "any size" if self.divisor == 1 else f"sizes divisible by {self.divisor}"
        size = f"{self.width} × {self.height} px" if self.height else any_size
        given = {"logits": "logits", "probabilities": "probabilities", "classes": "class indices"}[self.output]
        return f"{self.layout.upper()}, {size}; gives {given} of {len(self.classes)} classes"


def _expected(what: str, received: object) -> ConfigurationError:
    return ConfigurationError(f"Expected {what}. Received: {received}")


def read_adapter(path: Path) -> Adapter:
    """Read a ``model.toml``, which anybody may have written.

    Raises:
        RunError: If it cannot be read, or says what cannot be.
    """
    name = f"{path.name} of {path.parent.name}"
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_TOML:  # a pipe would be waited for
            raise OSError("it is no file, or a large one")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        texts = [content["file"], content["sha256"], *lists["classes"]]
        if not all(isinstance(text, str) for text in texts) or not lists["classes"]:
            raise ValueError("a name is no text")
        return Adapter(**{**content, **lists})
    except ConfigurationError as error:
        raise RunError(f"{name} cannot be: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"{name} cannot be read: add the model again, or write what is missing in it.") from error


def write_adapter(adapter: Adapter, path: Path) -> None:
    """Write a ``model.toml`` with a comment on each entry.

    Raises:
        StorageError: If it cannot be written.
    """
    lines = ["# How this run's model wants its images, and what it gives. After a change: evaluate --save."]
    for name, value in asdict(adapter).items():
        shown = list(value) if isinstance(value, tuple) else value
        # JSON's texts, numbers and lists are TOML's, too, but for one control character.
        written = json.dumps(shown, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines += [f"# {COMMENTS[name]}", f"{name} = {written}"]
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",") if part.strip())


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


READERS: dict[str, Callable[[str], Any]] = {
    "mean": _numbers,
    "deviation": _numbers,
    "height": int,
    "width": int,
    "divisor": int,
    "classes": _names,
}
"""How an entry given by hand is read, where it is no word; the model's file and bands are not given so."""


def read_settings(entries: Iterable[str]) -> dict[str, Any]:
    """Read what of an adapter is given by hand, such as ``scale=0-1`` or ``mean=0.5,0.5,0.5``.

    Args:
        entries: Names of an `Adapter`'s entries, an equals sign and the value. ``scale=imagenet`` is 0–1 with
            ImageNet's mean and deviation.

    Raises:
        ConfigurationError: If one cannot be.
    """
    settings: dict[str, Any] = {}
    known = [field.name for field in fields(Adapter) if field.name in CHOICES or field.name in READERS]
    for entry in entries:
        name, sign, value = re.sub(r"\s*=\s*", "=", entry.strip(), count=1).partition("=")
        if not sign or name not in known:
            raise _expected(f"an entry such as scale=0-1, of {', '.join(known)}", entry)
        try:
            settings[name] = READERS.get(name, str.lower)(value)
        except ValueError as error:
            raise _expected(f"{name} as in {name}={'256' if name in _WHOLE else '0.5,0.5,0.5'}", entry) from error
    if settings.get("scale") == IMAGENET:
        settings |= {"scale": "0-1", "mean": MEAN, "deviation": DEVIATION}
    _check_alone(settings)
    return settings


_WHOLE = ("height", "width", "divisor")


def _check_alone(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot be whatever the model is; numbers are counted once its bands are known."""
    bands = len(settings.get("mean") or settings.get("deviation") or (0, 0, 0))
    if not bands <= MOST_BANDS:
        raise _expected(f"numbers for up to {MOST_BANDS} bands", bands)
    replace(Adapter(bands=bands), **settings)
