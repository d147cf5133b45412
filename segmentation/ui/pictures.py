"""Arrays in, pictures out: overlays, grids, thumbnails and rows of pictures (no Streamlit)."""

import math
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import sample_colorscale, unlabel_rgb

from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.scores import near_edges

STRIP = 1 << 22
"""Pixels of a picture that are shrunk at once."""

LONGEST = 1400
"""Longest side of a picture sent to the browser, in pixels: Streamlit would smooth larger ones."""


def fit(pixels: np.ndarray, longest: int = LONGEST, smooth: bool = False) -> np.ndarray:
    """Shrink a picture so that its longer side is at most `longest` pixels; smaller ones are left alone.

    Args:
        pixels: (height, width, 3) uint8.
        longest: In pixels.
        smooth: Average, for photographs. Masks keep hard edges: each pixel shown is a pixel of the mask.
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    shrunk = np.empty((rows, columns, *pixels.shape[2:]), np.uint8)
    step = max(1, STRIP // width * rows // height)  # Pillow takes a copy of what it shrinks
    for top in range(0, rows, step):
        end = min(top + step, rows)
        first, last = top * height / rows, end * height / rows
        strip = pixels[int(first) : math.ceil(last)]
        shrunk[top:end] = Image.fromarray(strip).resize(
            (columns, end - top),
            Image.Resampling.BOX if smooth else Image.Resampling.NEAREST,
            (0, first - int(first), width, last - int(first)),
        )
    return shrunk


def nearest(height: int, width: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the columns of a picture that `fit` keeps of a mask, each in its order."""
    scale = min(1.0, longest / max(height, width))
    counts = [max(1, round(length * scale)) for length in (height, width)]
    rows, columns = (
        ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)
        for count, length in zip(counts, (height, width), strict=True)
    )
    return rows, columns


def overlay(
    image: np.ndarray,
    indices: np.ndarray,
    palette: Palette,
    opacity: float,
    classes: Collection[int] | None = None,
) -> np.ndarray:
    """Lay class colours over an image.

    Args:
        image: (height, width, 3) uint8.
        indices: (height, width) uint8 class indices; void is laid over in black.
        palette: The classes' colours.
        opacity: 0 shows the image, 1 the mask.
        classes: The class indices to show; all by default.

    Returns:
        (height, width, 3) uint8.
    """
    colors = palette.decode(indices)
    if opacity == 1 and classes is None:
        return colors
    weight = np.full(256, opacity, np.float32)
    if classes is not None:
        weight[[index for index in range(len(palette)) if index not in classes]] = 0
    weight = weight[indices][..., None]
    return (image * (1 - weight) + colors * weight + 0.5).astype(np.uint8)


def outline(
    image: np.ndarray, indices: np.ndarray, palette: Palette, classes: Collection[int] | None = None
) -> np.ndarray:
    """Draw the borders of the classes over an image, two pixels wide, each side in its class's colour.

    Args:
        image: (height, width, 3) uint8.
        indices: (height, width) uint8 class indices, void 255.
        palette: The classes' colours.
        classes: The class indices to draw; all, and void, by default.

    Returns:
        (height, width, 3) uint8.
    """
    border = near_edges(indices, 1)
    if classes is not None:
        border &= np.isin(indices, list(classes))
    drawn = image.copy()
    drawn[border] = palette.decode(indices)[border]
    return drawn


def error_map(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, palette: Palette) -> np.ndarray:
    """Show wrong pixels in the colour of the class they are predicted as, over a faded grey image.

    Args:
        image: (height, width, 3) uint8.
        truth: (height, width) uint8 class indices; void, 255, is neither right nor wrong.
        predicted: (height, width) uint8 class indices.
        palette: The classes' colours.

    Returns:
        (height, width, 3) uint8.
    """
    grey = (image.mean(-1, keepdims=True) * 0.35 + 160).astype(np.uint8)
    wrong = (truth != predicted) & (truth != VOID)
    return np.where(wrong[..., None], palette.decode(predicted), np.repeat(grey, 3, axis=-1))


def heat(values: np.ndarray) -> np.ndarray:
    """Colour values from 0, dark blue, to 1, yellow: Cividis, which colour-blind eyes read alike.

    Args:
        values: (height, width) float in 0–1.

    Returns:
        (height, width, 3) uint8.
    """
    return _CIVIDIS[np.clip(values.astype(np.float32) * 255 + 0.5, 0, 255).astype(np.uint8)]


_CIVIDIS = np.array([unlabel_rgb(c) for c in sample_colorscale("Cividis", np.linspace(0, 1, 256))]).astype(np.uint8)


def titled(pictures: Sequence[tuple[str, np.ndarray]], palette: Palette) -> np.ndarray:
    """Put pictures of one shape side by side with their titles above and the legend below, for a report.

    Args:
        pictures: (title, (height, width, 3) uint8) each.
        palette: For the legend, with void.

    Returns:
        (height, width, 3) uint8 on white.
    """
    height, width = pictures[0][1].shape[:2]
    # Letters keep their proportion to the pictures; small pictures are enlarged by whole pixels to make room.
    times = max(1, -(-300 // width))
    height, width = height * times, width * times
    size = max(14, width // 40)
    font, line = ImageFont.load_default(size), round(size * 1.8)
    gap = line // 2
    names = [*palette.names, VOID_NAME]
    lengths = [font.getlength(name) + 2.4 * size for name in names]
    total = len(pictures) * (width + gap) + gap
    rows: list[list[tuple[float, str, int]]] = [[]]
    across = 0.0
    for entry, length in zip(zip(names, [*range(len(palette)), VOID], strict=True), lengths, strict=True):
        if across + length > total - gap and rows[-1]:
            rows.append([])
            across = 0.0
        rows[-1].append((gap + across, *entry))
        across += length
    page = Image.new("RGB", (total, height + line * (len(rows) + 1) + gap), "white")
    draw = ImageDraw.Draw(page)
    for place, (title, pixels) in enumerate(pictures):
        left = gap + place * (width + gap)
        draw.text((left, line / 2), title, "black", font, anchor="lm")
        page.paste(Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST), (left, line))
    for number, row in enumerate(rows):
        middle = line + height + gap + line * (number + 0.5)
        half = size / 2
        for left, name, index in row:
            draw.rectangle((left, middle - half, left + 2 * half, middle + half), palette.hex(index), "grey")
            draw.text((left + 1.5 * size, middle), name, "black", font, anchor="lm")
    return np.asarray(page)


def draw_patch_grid(image: np.ndarray, size: float) -> np.ndarray:
    """Return a copy with the patches' borders drawn and the strips that cropping drops faded.

    Args:
        image: (height, width, 3) uint8.
        size: Side of a patch, in pixels; a fraction where the image is shrunk.
    """
    height, width = image.shape[:2]
    ends = [[round(size * (i + 1)) for i in range(int((length + 0.5) / size))] for length in (height, width)]
    bottom, right = (max(side, default=0) for side in ends)
    drawn = image.copy()
    line = max(1, round(max(height, width) / 300))
    for row in ends[0]:
        drawn[row - line : row, :right] = 255
    for column in ends[1]:
        drawn[:bottom, column - line : column] = 255
    for strip in (np.s_[bottom:, :], np.s_[:bottom, right:]):
        drawn[strip] = drawn[strip] // 4 + 168
    return drawn


def draw_frame(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Return a copy with a square framed in white and black, outside it, and all else faded.

    Args:
        image: (height, width, 3) uint8.
        top: First row of the square, in pixels.
        left: First column.
        side: Of the square.
    """
    drawn = (image * 0.6 + 80).astype(np.uint8)
    for width, color in ((2, 0), (1, 255)):
        line = width * max(2, round(max(image.shape) / 400))
        drawn[max(0, top - line) : top + side + line, max(0, left - line) : left + side + line] = color
    drawn[top : top + side, left : left + side] = image[top : top + side, left : left + side]
    return drawn


def highlight(image: np.ndarray, there: np.ndarray, side: int) -> np.ndarray:
    """Cut a square out of an image where something is most, and fade all else in it.

    Args:
        image: (height, width, 3) uint8.
        there: (height, width) bool, where it is.
        side: Of the picture, in pixels; the square is twice as wide, as far as the image reaches.

    Returns:
        (rows, columns, 3) uint8, both at most `side`.
    """
    height, width = there.shape
    step = max(1, max(height, width) // 1024)
    coarse = Image.fromarray(there[::step, ::step].astype(np.uint8) * 255)
    cells = np.asarray(coarse.reduce(max(1, side // (2 * step))))
    row, column = (place * max(1, side // (2 * step)) * step for place in np.unravel_index(cells.argmax(), cells.shape))
    top = max(0, min(row - 3 * side // 4, height - 2 * side))
    left = max(0, min(column - 3 * side // 4, width - 2 * side))
    here = np.s_[top : top + 2 * side, left : left + 2 * side]
    grey = (image[here].mean(-1, keepdims=True) * 0.35 + 160).astype(np.uint8)
    return fit(np.where(there[here][..., None], image[here], grey), side, smooth=True)


def in_a_row(pictures: Sequence[np.ndarray], gap: int = 6) -> np.ndarray:
    """Put pictures of one height side by side with a transparent gap: (height, width, 4) uint8.

    Args:
        pictures: (height, width, 3) uint8 each, all of one height.
        gap: In pixels.
    """
    height = pictures[0].shape[0]
    spacer = np.zeros((height, gap, 4), np.uint8)
    row = []
    for picture in pictures:
        row += [np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]), spacer]
    return np.hstack(row[:-1])


def in_place(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Put pictures together in rows and columns: (height, width, 3) uint8.

    Args:
        rows: (height, width, 3) uint8 each. Each row is as high as its lowest picture and each column as wide as its
            narrowest: parts of one area differ by a pixel or so.
    """
    heights = [min(picture.shape[0] for picture in row) for row in rows]
    widths = [min(picture.shape[1] for picture in column) for column in zip(*rows, strict=True)]
    return np.vstack(
        [
            np.hstack([picture[:height, :width] for picture, width in zip(row, widths, strict=True)])
            for row, height in zip(rows, heights, strict=True)
        ]
    )
