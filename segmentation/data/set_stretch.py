"""The stretch of a whole data set, from a sample of its images, so that its scenes compare."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from segmentation.data.images import is_deep, read_sample
from segmentation.data.raster import Raster
from segmentation.data.stretch import COLORS, Stretch
from segmentation.errors import ImageFileError

SAMPLED, SAMPLE = 32, 256
"""Images that a data set's stretch is taken from, and pixels a side that each is shrunk to for that."""

Marks = tuple[tuple[Path, int, int], ...]
"""Images, each with its size and time."""


def stretch_of(
    images: Sequence[Path],
    bands: tuple[int, ...],
    shown: tuple[int, ...] = (),
    limits: Sequence[tuple[float, float]] = (),
) -> Stretch | None:
    """Return the stretch of some images; None if none has more than 8 bits and nobody has chosen anything.

    Args:
        images: Of the set; up to `SAMPLED` of them, evenly spread, are opened.
        bands: The bands to read, counted from 1; empty for those that tags say, or the first three.
        shown: Those of them that are shown; empty for those that tags say, or the first three.
        limits: What becomes 0 and 255 in each band; empty for what the images' values say.
    """
    found = []
    for path in images[:: max(1, -(-len(images) // SAMPLED))]:
        with suppress(OSError):
            status = path.stat()
            found.append((path, status.st_size, status.st_mtime_ns))
    marks = tuple(found)
    if len(bands) > COLORS and not shown:
        shown = _tagged_among(marks, bands)
    if limits:
        low, high = zip(*limits, strict=True)
        return Stretch(low, high, bands, shown)
    return _stretch_of(marks, bands, shown)


@lru_cache(16)
def _tagged_among(marks: Marks, bands: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of the bands the first image says are red, green and blue; empty if not all three are among them."""
    for path, *_ in marks:
        with suppress(ImageFileError), Raster(path) as raster:
            return raster.tagged if set(raster.tagged) <= set(bands) else ()
    return ()


@lru_cache(16)
def _stretch_of(marks: Marks, bands: tuple[int, ...], shown: tuple[int, ...]) -> Stretch | None:
    """Return the stretch of some images; None if none has more than 8 bits and nobody has chosen bands."""
    samples = []
    for path, *_ in marks:
        with suppress(ImageFileError):  # a health report says it
            if is_deep(path):
                samples.append(read_sample(path, SAMPLE, bands))
    if not samples:
        return Stretch((0.0,) * len(bands), (255.0,) * len(bands), bands, shown) if bands else None
    ((usual, _),) = Counter(map(len, samples)).most_common(1)
    return Stretch.of([sample for sample in samples if len(sample) == usual], bands, shown)
