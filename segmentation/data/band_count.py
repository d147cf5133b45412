"""How many bands an image has, by its header."""

from pathlib import Path

from PIL import TiffImagePlugin

from segmentation.data.remembered import until_changed

BANDS, EXTRA = 277, 338
"""TIFF tags: samples of a pixel, and what those beyond its colours are."""

ALPHA = (1, 2)
"""Extra samples that are transparency."""

MOST = 1 << 10
"""More bands than this are not offered."""


@until_changed(256)
def band_count(path: Path) -> int:
    """Return how many bands of an image can be chosen from, transparency aside: 3 where it is no TIFF or broken.

    Raises:
        ImageFileError: If it is not there.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 3
    try:
        with path.open("rb") as file:
            header = file.read(8)
            header += file.read(8) if b"+" in header[2:4] else b""  # BigTIFF
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            extra = directory.get(EXTRA, ())
            alpha = sum(kind in ALPHA for kind in (extra if isinstance(extra, tuple) else (extra,)))
            return min(MOST, max(1, int(directory.get(BANDS, 1)) - alpha))
    except Exception:  # Pillow raises whatever a broken header makes it trip over; reading the image says so
        return 3
