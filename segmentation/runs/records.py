"""What the JSON files of a run folder hold, each field declared once: metrics.json, config.json and status.json.

A new score is one field of `Metrics`, and its value in `segmentation.runs.scoring.summarize`: reading, checking,
writing and the printed table follow from the field.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np

from segmentation.configuration import Configuration
from segmentation.data.palette import Palette
from segmentation.data.protocols import PROTOCOLS
from segmentation.data.stretch import Stretch
from segmentation.errors import PaletteError
from segmentation.intervals import Intervals
from segmentation.runs.fields import Kind, Record, by_name, count, number, record, several, share, text
from segmentation.thresholds import STEPS

LARGEST_JSON, DEEPEST_JSON = 8 << 20, 32
"""Bytes of a JSON file, and lists within lists: the scores of 255 classes take half a megabyte and three."""

LARGEST_PATCH = 1 << 14
"""Pixels: the side of a patch."""

LONGEST_HISTOGRAM = 16 * (STEPS + 1)
"""Characters: numbers of up to fifteen digits."""

MOST_BLOCKS = 200
"""Of a network: more cannot be drawn, and ours have eleven."""

State = Literal["running", "finished", "stopped", "failed", "stalled"]


def _hyper_parameters(value: object) -> dict[str, Any]:
    """Check those hyper-parameters that are needed to look at a run; others are when it is trained on."""
    if not isinstance(value, dict):
        raise ValueError("Expected hyper-parameters by name.")
    if value.get("patch_size") is not None:
        count("Pixels.", 1, LARGEST_PATCH).read(value["patch_size"])
    if value.get("protocol") is not None:
        text("What is held out.", PROTOCOLS).read(value["protocol"])
    return value


def _palette(value: Any) -> Palette:  # noqa: ANN401 (anything JSON can hold)
    try:
        return Palette.from_dict(value)
    except (PaletteError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("Expected classes with names and colours.") from error


def _intervals(value: object) -> Intervals:
    intervals = Intervals.from_dict(value)
    if intervals is None:
        raise ValueError("Expected intervals of scores.")
    return intervals


def _stretch(value: object) -> Stretch:
    stretch = Stretch.from_dict(value)
    if stretch is None:
        raise ValueError("Expected the values that become black and white.")
    return stretch


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """How a training stands: status.json."""

    state: Annotated[State, text("How it stands.", get_args(State))]
    pid: Annotated[int | None, count("Its process.")] = None
    heartbeat: Annotated[float, number("When this was written, in seconds since 1970.")] = 0.0
    reason: Annotated[str | None, text("Why it stands so.")] = None
    phase: Annotated[str | None, text("What it does: starting, training or evaluation.")] = None
    progress: Annotated[float | None, number("Share of its steps that are done.", most=1)] = None
    fold: Annotated[int | None, count("The fold under way, from 1.")] = None
    folds: Annotated[int | None, count("Of all folds.")] = None
    epoch: Annotated[int | None, count("The epoch under way, from 1.")] = None
    epochs: Annotated[int | None, count("Of all epochs.")] = None
    seconds_an_epoch: Annotated[float | None, number("How long an epoch takes.")] = None
    seconds_left: Annotated[float | None, number("How long the rest will take.")] = None


@dataclass(frozen=True, kw_only=True)
class Block(Record):
    """A stretch of a network's layers whose outputs have one size."""

    shape: Annotated[list[int], several(count("Height, width and channels.", 1, 10**9), 3, 3)]
    layers: Annotated[dict[str, int], by_name(count("Layers by kind."))]


@dataclass(frozen=True, kw_only=True)
class Network(Record):
    """A network as `segmentation.model.diagram.describe` returns it."""

    name: Annotated[str, text("Its name in the registry.")]
    parameters: Annotated[int, count("Its weights.")]
    blocks: Annotated[list[Block], several(record(Block, "From the image to the output."), 1, MOST_BLOCKS)]
    skips: Annotated[
        list[list[int]], several(several(count("The two blocks that a skip connects."), 2, 2), most=MOST_BLOCKS)
    ]
    output: Annotated[list[int] | None, several(count("Height, width and classes.", 1, 10**9), 3, 3)] = None

    def __post_init__(self) -> None:
        if any(place >= len(self.blocks) for skip in self.skips for place in skip):
            raise ValueError("Expected skips between blocks that there are.")


@dataclass(frozen=True, kw_only=True)
class DatasetRecord(Record):
    """A data set that a run was trained on, or scored on."""

    name: Annotated[str | None, text("Its folder's name.")] = None
    fingerprint: Annotated[str | None, text("SHA-256 of its files.")] = None
    scenes: Annotated[int | None, count("Labelled scenes.")] = None
    stretch: Annotated[
        Stretch | None,
        Kind(
            "Which bands of images are read, and how values of more than 8 bits become bytes.",
            _stretch,
            "",
            Stretch.to_dict,
            null=True,
        ),
    ] = None
    skipped: Annotated[list[str] | None, several(text("Why a scene was left out, a sentence each."))] = None
    unlabelled: Annotated[int | None, count("Masks without a class.")] = None
    resized: Annotated[int | None, count("Masks that were resized to their images' size.")] = None
    patches: Annotated[int | None, count("Patches of all scenes.")] = None
    held_out: Annotated[int | None, count("Patches that are held out.")] = None
    trained_on: Annotated[int | None, count("Patches that are trained on.")] = None
    validated_on: Annotated[
        int | None, count("Patches on which the epoch is chosen; not known where those that are scored were taken.")
    ] = None

    @property
    def remarks(self) -> str:
        """What of it was left out or is odd, in words that follow what was done with it; nothing if all is well."""
        skipped, scenes = len(self.skipped or ()), self.scenes or 0
        parts = [f"without {skipped:,} of {scenes:,} scenes"] * (0 < skipped <= scenes)
        if self.unlabelled:
            parts.append(f"with {self.unlabelled:,} mask{'s' * (self.unlabelled > 1)} without a class")
        if self.resized:
            parts.append(f"with {self.resized:,} resized mask{'s' * (self.resized > 1)}")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """How often the pixels of each bin of confidence are right; the bins are of equal width, from 0 to 1."""

    pixels: Annotated[list[int], several(count("Pixels of each bin."))]
    confidence: Annotated[list[float], several(number("The sum of their confidence.", most=1e15))]
    right: Annotated[list[int], several(count("How many of them are right."))]

    def __post_init__(self) -> None:
        if not len(self.pixels) == len(self.confidence) == len(self.right):
            raise ValueError("Expected as many sums of confidence and right pixels as bins.")

    @property
    def table(self) -> np.ndarray:
        """The bins as `segmentation.calibration.calibration` counts them, (bins, 3) float64."""
        return np.array([self.pixels, self.confidence, self.right], float).T


CalibrationError = Annotated[
    float | None, share("expected calibration error", "How far apart accuracy and confidence are, over 15 bins.")
]

Brier = Annotated[
    float | None,
    # Up to 2; probabilities of half precision may pass that by a little.
    number("Mean squared error of all probabilities, 0 to 2: low is good.", 0, 3, "Brier score", null=True),
]

Bins = Annotated[Calibration | None, record(Calibration, "The bins that it comes from.")]

BinsByName = Annotated[dict[str, Calibration] | None, by_name(record(Calibration, "The bins of each of these."))]


@dataclass(frozen=True, kw_only=True)
class Tempered(Record):
    """What of a run's scores the temperature changes, at that temperature; named as in `Metrics`."""

    calibration_error: CalibrationError = None
    brier: Brier = None
    calibration: Bins = None
    calibration_by_class: BinsByName = None
    calibration_by_place: BinsByName = None


def _histogram(value: object) -> str:
    """Check a histogram: numbers of pixels in one text, since JSON would be written with a line for each."""
    if not isinstance(value, str) or len(value) > LONGEST_HISTOGRAM:
        raise ValueError("Expected numbers of pixels, with a space between.")
    bins = value.split(" ")
    if len(bins) != STEPS + 1 or not all(pixels.isascii() and pixels.isdigit() for pixels in bins):
        raise ValueError(f"Expected the pixels of {STEPS + 1} bins.")
    return value


@dataclass(frozen=True, kw_only=True)
class ProbabilityCounts(Record):
    """How many pixels of a part have which probability of each class, as `segmentation.thresholds` counts them."""

    true: Annotated[dict[str, str], by_name(Kind("By class its own pixels in each bin of probability.", _histogram))]
    other: Annotated[dict[str, str], by_name(Kind("Likewise the pixels of other classes.", _histogram))]

    def __post_init__(self) -> None:
        if self.true.keys() != self.other.keys():
            raise ValueError("Expected the same classes in both.")

    @classmethod
    def of(cls, counts: np.ndarray, names: Sequence[str]) -> Self:
        """Return the record of (classes, 2, bins) pixels as `count_probabilities` gives them."""
        other, true = (
            {name: " ".join(map(str, of_class[place].tolist())) for name, of_class in zip(names, counts, strict=True)}
            for place in range(2)
        )
        return cls(true=true, other=other)

    def of_class(self, name: str) -> np.ndarray:
        """Return the pixels of one class's bins, (2, bins) int64: of other classes, and its own."""
        return np.array([side[name].split(" ") for side in (self.other, self.true)], np.int64)


@dataclass(frozen=True, kw_only=True)
class AtThresholds(Record):
    """What is predicted of the held-out part under confidence thresholds."""

    thresholds: Annotated[dict[str, float], by_name(number("From which probability on pixels are of a class.", 0, 1))]
    confusion_matrix: Annotated[list[list[int]], several(several(count("Pixels by true and predicted class.")))]


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """The scores of a run on its held-out part or elsewhere, with the protocol that gave them: metrics.json."""

    protocol: Annotated[str, text("What was held out.", PROTOCOLS)]
    part: Annotated[str | None, text("The part that is scored.")] = None
    patches: Annotated[int, count("Held-out patches.")]
    pixels: Annotated[int, count("Scored pixels.")]
    accuracy: Annotated[float | None, share("accuracy", "Share of scored pixels that are right.")]
    jaccard: Annotated[float | None, share("Jaccard", "The article's: soft, all pixels and classes flattened.")]
    image_jaccard: Annotated[float | None, share("Jaccard by image", "The same, averaged image by image.")] = None
    mean_iou: Annotated[float | None, share("mean IoU", "Mean over the classes' IoU.")]
    mean_iou_without_unlabeled: Annotated[
        float | None, share("mean IoU without Unlabeled", "Mean over the other classes' IoU.")
    ]
    iou: Annotated[dict[str, float | None], by_name(share("IoU", "Intersection over union of each class."))]
    confusion_matrix: Annotated[list[list[int]], several(several(count("Pixels by true and predicted class.")))]
    mean_boundary_iou: Annotated[
        float | None, share("mean Boundary IoU", "Mean IoU near boundaries only: 2 % of a patch's diagonal.")
    ] = None
    mean_iou_by_image: Annotated[float | None, share("mIoU^I", "Mean over patches of each one's mean IoU.")] = None
    worst_10_by_image: Annotated[float | None, share("mIoU^I10", "The same over the worst 10 % of the patches.")] = None
    worst_5_by_image: Annotated[float | None, share("mIoU^I5", "The same over the worst 5 % of the patches.")] = None
    mean_iou_by_class: Annotated[
        float | None, share("mIoU^C", "Mean over classes of the mean IoU over the patches with each.")
    ] = None
    worst_10_by_class: Annotated[
        float | None, share("mIoU^C10", "The same over the worst 10 % of each class's patches.")
    ] = None
    worst_5_by_class: Annotated[
        float | None, share("mIoU^C5", "The same over the worst 5 % of each class's patches.")
    ] = None
    boundary_iou: Annotated[
        dict[str, float | None] | None, by_name(share("Boundary IoU", "IoU of each class near boundaries only."))
    ] = None
    calibration_error: CalibrationError = None
    brier: Brier = None
    calibration: Bins = None
    calibration_by_class: BinsByName = None
    calibration_by_place: BinsByName = None
    temperature: Annotated[
        float | None, number("What softens or sharpens probabilities; fitted on the validation part.", 0.01, 100)
    ] = None
    tempered: Annotated[Tempered | None, record(Tempered, "The scores that it changes, at that temperature.")] = None
    probabilities: Annotated[
        dict[str, ProbabilityCounts] | None,
        by_name(record(ProbabilityCounts, "Pixels by probability, of the validation and the test part.")),
    ] = None
    at_thresholds: Annotated[
        AtThresholds | None, record(AtThresholds, "What thresholds give instead, where some were asked for.")
    ] = None
    intervals: Annotated[
        Intervals | None, Kind("How far the scores can be trusted.", _intervals, write=Intervals.to_dict)
    ] = None
    mapping: Annotated[
        dict[str, str | None] | None,
        by_name(text("The run's class that a class of the data set counts as; none is void.", null=True)),
    ] = None
    model_of: Annotated[str | None, text("The run whose model it is, where the folder holds its scores alone.")] = None
    dataset: Annotated[
        DatasetRecord | None, record(DatasetRecord, "What is scored, where the model was not trained on it.")
    ] = None

    findings: Annotated[
        list[str] | None, several(text("What is odd about predictions from elsewhere, a sentence each."))
    ] = None

    def __post_init__(self) -> None:
        if {len(self.confusion_matrix), *map(len, self.confusion_matrix)} != {len(self.iou)}:
            raise ValueError("Expected a row and a column of the confusion matrix for each class.")

    def scores(self) -> Iterator[tuple[str, Kind, float | None]]:
        """Yield each score's name, what it is, and its value, those of single classes left out."""
        for name, kind in self.kinds.items():
            if kind.null:
                yield name, kind, getattr(self, name)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Record):
    """What is needed to understand and repeat a run: config.json."""

    configuration: Annotated[dict[str, Any], Kind("Its hyper-parameters.", _hyper_parameters)]
    dataset: Annotated[DatasetRecord, record(DatasetRecord, "What it was trained on.")]
    palette: Annotated[Palette, Kind("The classes.", _palette, write=Palette.to_dict)]
    architecture: Annotated[Network | None, record(Network, "The network, as pages draw it.")] = None
    versions: Annotated[dict[str, str], by_name(text("Versions of the packages."))] = field(default_factory=dict)
    backend: Annotated[str | None, text("What Keras trained with.")] = None
    commit: Annotated[str | None, text("The git commit of this code.", null=True)] = None
    created: Annotated[str | None, text("When the run began, UTC.")] = None

    @property
    def hyper_parameters(self) -> Configuration:
        """The configuration as this version understands it.

        Raises:
            ConfigurationError: If it holds what cannot be.
        """
        return Configuration.from_dict(self.configuration)


def read_json(path: Path) -> dict | None:
    """Return the object that a JSON file holds; None if it holds none, or nothing that can be shown."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_JSON:  # a pipe would be waited for
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and _can_be_shown(content) else None


def _can_be_shown(content: dict) -> bool:
    """Tell whether JSON is not nested too deep for who writes it out, and holds no half of a character."""
    layer: list = [content]
    for _ in range(DEEPEST_JSON):
        inner: list = []
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
