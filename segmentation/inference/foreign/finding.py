"""How a model from elsewhere wants its images, found out: from its graph, one forward pass, and a few labelled patches.

The graph tells the layout, the type and often the size; a forward pass tells which sizes it takes, and what it gives.
How its images are scaled nothing tells: the usual ways are tried, and the one by which it is right most often is taken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from segmentation.data.palette import VOID
from segmentation.data.patches import Patches, class_counts
from segmentation.data.stretch import COLORS
from segmentation.errors import RunError
from segmentation.inference.foreign.adapter import DEVIATION, IMAGENET, MEAN, Adapter, Layout, Output
from segmentation.inference.foreign.computing import as_input, channels_last, compute, forward_of, no_map, window_of
from segmentation.inference.foreign.files import unusable
from segmentation.inference.foreign.opened import Opened
from segmentation.inference.prediction import most_probable
from segmentation.inference.windows import mirrored

SIZES = (
    *({"divisor": 1, "at": 161}, {"divisor": 32, "at": 160}, {"divisor": 64, "at": 192}, {"divisor": 14, "at": 168}),
    *({"height": side, "width": side, "at": side} for side in (128, 224, 256, 384, 512, 640, 1024)),
)
"""What a model whose graph names no size is tried with, in this order: sizes by what divides them, then single ones."""

NORMALIZATIONS: tuple[dict[str, Any], ...] = (
    {"scale": "0-1", "mean": MEAN, "deviation": DEVIATION},
    {"scale": "0-1", "mean": (), "deviation": ()},
    {"scale": "0-255", "mean": (), "deviation": ()},
    {"scale": "-1-1", "mean": (), "deviation": ()},
)
"""The usual ways to scale images, the more usual first."""

CLEAR, TIE = 0.05, 0.005
"""An accuracy that is higher by so much is clearly higher, and one that is not higher by so much is the same."""

MOST_SAMPLES, LEAST_SAMPLES = 16, 4
"""Patches that each way is tried on; fewer where a model takes large images."""

LOOKED_AT = 2000
"""Patches among which these are chosen."""


class Finding(NamedTuple):
    """An adapter that was found, and what is to be said of it.

    Args:
        adapter: How the model is applied.
        remarks: A sentence each.
    """

    adapter: Adapter
    remarks: list[str]


def find_shape(opened: Opened, bands: int, classes: tuple[str, ...], settings: Mapping[str, Any]) -> Adapter:
    """Return an adapter that knows layout and size; it says nothing of scale and output yet.

    Args:
        opened: The model.
        bands: Of the images that it is to see.
        classes: Their names.
        settings: What of the adapter is given by hand.

    Raises:
        RunError: If it takes images of other bands, of no size that is tried, or gives no map of the classes.
    """
    failure: RunError | None = None
    for layout in [settings["layout"]] if "layout" in settings else _layouts(opened, bands):
        axes = (2, 3) if layout == "nchw" else (1, 2)
        height, width = (opened.shape[axis] for axis in axes)
        # Where one side alone is fixed, the other is taken to be as long.
        known = Adapter(layout=layout, bands=bands, classes=classes, height=height or width, width=width or height)
        for size in _sizes(known, settings):
            side = size.pop("at", 160)
            adapter = replace(known, **size)
            images = np.zeros((1, *window_of(adapter, side, side), bands), np.uint8)
            try:
                output = compute(opened, as_input(images, adapter, opened.dtype))
            except RunError as error:
                failure = failure or error
                continue
            if channels_last(output, adapter, *images.shape[1:3]) is not None:
                return adapter
            failure = no_map(opened, adapter, output)
    raise failure or unusable(opened.file, "it takes no images")


def _layouts(opened: Opened, bands: int) -> list[Layout]:
    """Return where its bands can stand, the likeliest first.

    Raises:
        RunError: If its images have other bands.
    """
    _, *lengths = opened.shape
    places: dict[Layout, int] = {"nchw": lengths[0], "nhwc": lengths[2]}
    sides = {"nchw": lengths[1:], "nhwc": lengths[:2]}
    able = [layout for layout, length in places.items() if length == bands]
    if not able:  # of any number of bands: then height and width are both fixed, or neither
        able = [layout for layout in places if not places[layout] and all(sides[layout]) == any(sides[layout])]
    if not able:
        shape = " × ".join(str(length or "any") for length in opened.shape)
        raise unusable(
            opened.file,
            f"it takes images of {shape}, and the data set's are read in {bands} bands: choose others in dataset.toml",
        )
    return sorted(able, key=lambda layout: layout != opened.layout)


def _sizes(known: Adapter, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the sizes to try: those given, else the graph's own, else the usual ones."""
    given = {name: settings[name] for name in ("height", "width", "divisor") if name in settings}
    if given:
        yield given
    elif known.height:
        yield {}
    else:
        yield from map(dict, SIZES)


def find_values(opened: Opened, shape: Adapter, patches: Patches, settings: Mapping[str, Any]) -> Finding:
    """Return the adapter by which a model is right most often on a few patches.

    Args:
        opened: The model.
        shape: What `find_shape` has found.
        patches: Labelled patches, the masks in the adapter's classes.
        settings: What of the adapter is given by hand.

    Raises:
        RunError: If it cannot compute them.
    """
    window = window_of(shape, *patches.images.shape[1:3])
    images, masks = _samples(patches, len(shape.classes), window[0] * window[1])
    ways = [replace(shape, **way) for way in _ways(opened, shape, settings)]
    output: Output = settings["output"] if "output" in settings else _output(opened, ways, images[:2])
    ways = [replace(way, output=output) for way in ways]
    if len(ways) == 1:
        return Finding(ways[0], [f"Input: {ways[0].input_words}, as given"] if settings else [])
    scored, failure = [], None
    for way in ways:
        try:
            scored.append((_accuracy(forward_of(opened, way)(images), masks), way))
        except RunError as error:  # half precision overflows where values are scaled otherwise than it wants them
            failure = failure or error
    if failure and not scored:
        raise failure
    return _winner(scored, masks)


def _samples(patches: Patches, classes: int, area: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a few patches (images, masks) in which every class is, if any patch has it.

    Args:
        patches: The patches.
        classes: How many.
        area: Pixels that the model computes for one.
    """
    count = int(np.clip(MOST_SAMPLES * 160**2 // area, LEAST_SAMPLES, MOST_SAMPLES))
    among = np.unique(np.linspace(0, len(patches.masks) - 1, LOOKED_AT).astype(int))
    counts = class_counts(patches.masks[among], classes)[:, :classes]
    chosen: list[int] = []
    for turn in range(min(count, len(among))):
        wanted = counts[:, turn % classes].copy()
        if not wanted.any():
            wanted = counts.sum(1)
        wanted[chosen] = -1
        chosen.append(int(wanted.argmax()))
    return patches.images[among[chosen]], patches.masks[among[chosen]]


def _ways(opened: Opened, shape: Adapter, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the ways to give it an image that what is given by hand leaves open."""
    given = {name: settings[name] for name in ("scale", "mean", "deviation") if name in settings}
    if opened.takes_bytes:
        normalizations: tuple[dict[str, Any], ...] = ({"scale": "0-255", **given},)
    elif given:
        normalizations = ({"scale": "0-1", **given},)
    elif shape.bands == COLORS:
        normalizations = NORMALIZATIONS
    else:  # nobody has ImageNet's mean of other bands
        normalizations = tuple(way for way in NORMALIZATIONS if not way["mean"])
    orders = [settings["order"]] if "order" in settings else ["rgb", "bgr"] if shape.bands == COLORS else ["rgb"]
    for way in normalizations:
        for order in orders:
            yield {**way, "order": order}


def _output(opened: Opened, ways: list[Adapter], images: np.ndarray) -> Output:
    """Tell what a model gives, by its values for a few images: those of logits leave 0–1 in one way at least."""
    least, most = np.inf, -np.inf
    for way in ways:
        (height, width), (rows, columns) = window_of(way, *images.shape[1:3]), images.shape[1:3]
        filled = images[:, mirrored(np.arange(height), rows)[:, None], mirrored(np.arange(width), columns)]
        output = compute(opened, as_input(filled, way, opened.dtype))
        turned = channels_last(output, way, height, width)
        if turned is None:
            raise no_map(opened, way, output)
        if output.dtype.kind in "iu" or (turned.shape[-1] == 1 and (output % 1 == 0).all() and output.max() > 1):
            return "classes"
        if np.isfinite(output).all():
            least, most = min(least, output.min()), max(most, output.max())
    return "probabilities" if least >= -0.001 and most <= 1.001 else "logits"


def _accuracy(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Return the share of labelled pixels that are right; 0 where none is labelled."""
    labelled = masks != VOID
    return float((most_probable(probabilities)[0] == masks)[labelled].mean()) if labelled.any() else 0.0


def _winner(scored: list[tuple[float, Adapter]], masks: np.ndarray) -> Finding:
    """Return the best of several ways, and say by how much; of two orders RGB, unless BGR is better."""
    best = max(score for score, _ in scored)
    top = next(way for score, way in scored if score == best)
    orders = {way.order: (score, way) for score, way in scored if _normalization(way) == _normalization(top)}
    if "rgb" in orders and best - orders["rgb"][0] <= TIE:
        best, top = orders["rgb"]
    said = [f"Input: {top.input_words}: accuracy {best:.2f}"]
    others = [(score, way) for score, way in scored if _normalization(way) != _normalization(top)]
    following, second = max(others, key=lambda pair: pair[0], default=(0.0, top))
    if others:
        said.append(f"the next, {second.input_words}: {following:.2f}")
    if len(orders) == 2:
        other = orders["bgr" if top.order == "rgb" else "rgb"]
        said.append(
            "BGR gives the same, so RGB is taken"
            if abs(best - other[0]) <= TIE
            else f"{other[1].order.upper()} in its place: {other[0]:.2f}"
        )
    labelled = np.bincount(masks[masks != VOID], minlength=1)
    guessing = labelled.max() / max(1, labelled.sum())  # what whoever always says the same class reaches
    remarks = ["; ".join(said)]
    if (others and best - following < CLEAR) or best <= guessing:
        remarks.append(
            "No way of scaling its images is clearly the right one: if the predictions are wrong, say scale and order, "
            f"on the command line by --adapter scale=0-255, 0-1, -1-1 or {IMAGENET}, and --adapter order=rgb or bgr"
        )
    return Finding(top, remarks)


def _normalization(way: Adapter) -> tuple:
    return way.scale, way.mean, way.deviation
