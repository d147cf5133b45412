"""The demo set: a small procedural desert city from above, with exact masks, in the real set's folder layout.

Tile 1 is a dense quarter along a canal, Tile 2 a coast with a highway and desert; half a metre a pixel. Each tile is one
contiguous area cut into 3 × 3 scenes. Plane points are complex numbers x + yj in pixels, so that turning is multiplying.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from segmentation.data.palette import DUBAI, VOID
from segmentation.errors import SegmentationError

VERSION = 1
"""Raise it whenever the pictures change: an older demo set is then made anew."""

MARKER = "demo.json"
TILES = ("Tile 1", "Tile 2")
COLUMNS = (0, 965, 1931, 2896)
ROWS = (0, 645, 1291, 1936)
"""Where a tile is cut into scenes. Like the real ones, their sizes differ by a pixel."""

PALETTE_MODE_SCENE = ("Tile 2", 4)
VOID_SCENES = {("Tile 1", 8): (slice(0, 4), slice(300, 420)), ("Tile 2", 6): (slice(200, 350), slice(-3, None))}
"""The real set's quirks: one mask is saved in palette mode, two have a sliver that nobody painted."""

BUILDING, LAND, ROAD, VEGETATION, WATER, UNLABELED = range(6)
RESERVED = 6
"""Land on which nothing may be built or planted: pavements, quays, beaches, tracks. Land in the masks."""

Color = tuple[int, int, int]
SAND, PALE_SAND, PAVEMENT, KERB = (190, 179, 162), (212, 202, 184), (168, 162, 152), (196, 192, 184)
ASPHALT, PAINT, LAWN, CROWN, DIRT = (92, 88, 88), (186, 182, 174), (104, 114, 72), (58, 70, 44), (150, 138, 122)
ROOFS = ((226, 222, 214), (212, 202, 184), (190, 180, 164), (166, 164, 162), (130, 128, 130), (204, 196, 188))
SHEDS = ((216, 218, 220), (150, 164, 178), (188, 184, 174), (128, 134, 140), (200, 190, 166))
TILED = ((168, 106, 80), (150, 98, 78))
CARS = ((232, 232, 230), (222, 222, 222), (60, 60, 66), (140, 142, 146), (150, 48, 42), (52, 74, 110))

SHADOW = -0.82 - 0.5j
"""Shadow cast by one pixel of height: a morning sun in the south-east, north up."""

DEPTHS = (0.0, 0.3, 0.48, 0.62, 0.8, 1.0)
DEPTH_COLORS = ((92, 180, 190), (82, 160, 164), (112, 142, 122), (58, 100, 90), (30, 66, 62), (19, 45, 46))
"""Water by the share of water around it: pools turquoise, shores shallow and sandy, the open sea dark."""

GRAIN = np.array(
    [
        [0.01, 0.02, 0.035, 0.045],  # Building
        [0.07, 0.05, 0.035, 0.035],  # Land
        [0.06, 0.03, 0.02, 0.03],  # Road
        [0.08, 0.09, 0.14, 0.13],  # Vegetation
        [0.05, 0.03, 0.03, 0.03],  # Water
        [0.05, 0.10, 0.20, 0.20],  # Unlabeled
    ],
    np.float32,
)
GRAIN_CELLS = ((260, 320), (45, 60), (9, 11), (3, 3))
"""Relative brightness noise of each class, and the (height, width) in pixels of the four kinds of grain."""


def make_demo(folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the demo set into `folder` and return it. `progress(done, total)` is called after every scene.

    Nothing is written if the set is already there. Otherwise it is built beside `folder` and moved into place in one
    step, so that nobody meets half a set, and two callers at once are both served.

    Raises:
        SegmentationError: If `folder` holds something else than a demo set.
    """
    if is_complete(folder):
        return folder
    _check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        _build(workshop / "new", progress)
        _publish(workshop / "new", folder, workshop / "old")
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return folder


def is_complete(folder: Path) -> bool:
    """Return whether `folder` holds all of this version's demo set."""
    parts = [(folder / tile, f"image_part_{part:03d}") for tile in TILES for part in range(1, 10)]
    return _version(folder) == VERSION and all(
        (tile / "images" / f"{name}.jpg").is_file() and (tile / "masks" / f"{name}.png").is_file()
        for tile, name in parts
    )


def _version(folder: Path) -> int | None:
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not (folder / MARKER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise SegmentationError(f"{folder} holds other files: choose an empty or a new folder for the demo set.")


def _publish(new: Path, folder: Path, old: Path) -> None:
    """Move `new` to `folder`, and an outdated set there to `old`, unless another process was faster."""
    if folder.exists() and not is_complete(folder):
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        if not is_complete(folder):
            raise


def _build(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    painters = {"Tile 1": paint_quarter, "Tile 2": paint_coast}
    for number, tile in enumerate(TILES):
        rng = np.random.default_rng((VERSION, number))
        canvas = painters[tile](rng)
        image, labels = photograph(canvas, rng), canvas.class_indices()
        (folder / tile / "images").mkdir(parents=True)
        (folder / tile / "masks").mkdir()
        for part in range(1, 10):
            row, column = divmod(part - 1, 3)
            window = slice(*ROWS[row : row + 2]), slice(*COLUMNS[column : column + 2])
            _save_scene(folder / tile, part, image[window], labels[window])
            if progress:
                progress(9 * number + part, 9 * len(TILES))
    (folder / MARKER).write_text(json.dumps({"version": VERSION}) + "\n", encoding="utf-8")


def _save_scene(tile: Path, part: int, image: np.ndarray, labels: np.ndarray) -> None:
    labels = labels.copy()
    if (tile.name, part) in VOID_SCENES:
        labels[VOID_SCENES[tile.name, part]] = VOID
    if (tile.name, part) == PALETTE_MODE_SCENE:
        mask = Image.fromarray(labels)
        mask.putpalette(np.ravel(DUBAI.colors).tolist())
    else:
        mask = Image.fromarray(DUBAI.decode(labels))
    Image.fromarray(image).save(tile / "images" / f"image_part_{part:03d}.jpg", quality=88)
    mask.save(tile / "masks" / f"image_part_{part:03d}.png")


class Canvas:
    """What stands on the ground of one tile, drawn at twice its size so that edges come out anti-aliased.

    Args:
        bend: How the plan lies on the ground: plan points to pixels of the tile. A conformal map keeps right angles.
        sand: Colour of the bare ground.
        rng: Source of every chance.
    """

    def __init__(self, bend: Callable[[np.ndarray], np.ndarray], sand: Color, rng: np.random.Generator) -> None:
        size = 2 * COLUMNS[-1], 2 * ROWS[-1]
        self.bend, self.rng = bend, rng
        self.labels, self.albedo = Image.new("L", size, LAND), Image.new("RGB", size, sand)
        self.shadow, self.basin = Image.new("L", size), Image.new("L", size)
        self._labels, self._albedo, self._shadow, self._basin = map(
            ImageDraw.Draw, (self.labels, self.albedo, self.shadow, self.basin)
        )

    def polygon(
        self, points: np.ndarray, color: Color, label: int | None = None, height: float = 0, shift: complex = 0
    ) -> None:
        """Fill a polygon of the plan; `label` None keeps the class below, `height` and `shift` are in pixels."""
        corners = 2 * (self.bend(points) + shift)
        if height:
            cast = corners + 2 * height * SHADOW
            sides = np.stack([corners, np.roll(corners, 1), np.roll(cast, 1), cast], axis=1)
            for side in (*sides, cast):
                self._shadow.polygon(side.view(float).tolist(), fill=255)
        outline = corners.view(float).tolist()
        if height:
            self._shadow.polygon(outline, fill=0)
        if label == WATER:
            self._basin.polygon(outline, fill=255)
        self._albedo.polygon(outline, fill=color)
        if label is not None:
            self._labels.polygon(outline, fill=label)

    def disc(
        self, at: complex, radius: float, color: Color, label: int | None = None, height: float = 0, shift: complex = 0
    ) -> None:
        """Fill a circle around a point of the plan; as `polygon`, with `radius` in pixels."""
        center = 2 * (complex(self.bend(at)) + shift)
        extent = 2 * radius * (1 + 1j)

        def square(middle: complex) -> list[float]:
            first, last = middle - extent, middle + extent
            return [first.real, first.imag, last.real, last.imag]

        if height:
            self._shadow.ellipse(square(center + height * SHADOW), fill=255)
            self._shadow.ellipse(square(center + 2 * height * SHADOW), fill=255)
            self._shadow.ellipse(square(center), fill=0)
        self._albedo.ellipse(square(center), fill=color)
        if label is not None:
            self._labels.ellipse(square(center), fill=label)

    def lies_on(self, points: np.ndarray, label: int) -> bool:
        """Return whether a convex shape of the plan lies on the tile, at least partly, and there on `label` alone."""
        middle = np.mean(points)
        rim = np.concatenate([points, (points + np.roll(points, 1)) / 2])
        spots = self.bend(np.concatenate([middle + share * (rim - middle) for share in (1, 0.6, 0.25)]))
        inside = [(int(2 * s.real), int(2 * s.imag)) for s in spots if 0 <= s.real < COLUMNS[-1] and 0 <= s.imag < ROWS[-1]]
        return bool(inside) and all(self.labels.getpixel(spot) == label for spot in inside)

    def class_indices(self) -> np.ndarray:
        """Return the mask, (height, width) uint8 class indices."""
        table = np.array([BUILDING, LAND, ROAD, VEGETATION, WATER, UNLABELED, LAND], np.uint8)
        return table[np.asarray(self.labels)[::2, ::2]]

    def mix(self, color: Color, spread: float = 7) -> Color:
        """Return `color` a little brighter or darker, by chance."""
        return tuple(np.clip(np.add(color, self.rng.normal(0, spread)), 0, 255).astype(int).tolist())

    def pick(self, colors: Sequence[Color], spread: float = 7) -> Color:
        """Return one of `colors`, varied."""
        return self.mix(colors[self.rng.integers(len(colors))], spread)


# Shapes of the plan


def box(center: complex, length: float, width: float, along: complex = 1) -> np.ndarray:
    """Return the four corners of a rectangle whose `length` runs in the unit direction `along`."""
    return center + along * np.array([-length - width * 1j, length - width * 1j, length + width * 1j, -length + width * 1j]) / 2


def blob(rng: np.random.Generator, center: complex, radius: float, stretch: float = 1) -> np.ndarray:
    """Return an irregular closed outline of 40 points."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wobble = sum(rng.normal(0, 0.16 / k) * np.cos(k * angles + rng.uniform(0, 6)) for k in (2, 3, 5))
    circle = radius * (1 + wobble) * np.exp(1j * angles)
    return center + stretch * circle.real + 1j * circle.imag


def beside(line: np.ndarray, distance: float | np.ndarray) -> np.ndarray:
    """Return the line that runs `distance` to the side of `line`."""
    direction = np.gradient(line)
    return line + distance * 1j * direction / np.abs(direction)


def ribbon(line: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Return the outline of a band along `line`."""
    return np.concatenate([beside(line, width / 2), beside(line, -width / 2)[::-1]])


def stations(line: np.ndarray, step: float) -> list[tuple[complex, complex]]:
    """Return a point, and the unit direction there, at every `step` along `line`."""
    moves = np.diff(line)
    length = np.concatenate([[0], np.abs(moves).cumsum()])
    at = np.arange(step / 2, length[-1], step)
    direction = (moves / np.abs(moves))[np.searchsorted(length, at) - 1]
    return list(zip(np.interp(at, length, line).tolist(), direction.tolist(), strict=True))


# Things that stand on the plan


def tree(canvas: Canvas, at: complex, radius: float) -> None:
    """Plant a crown of a few lobes, lit from the sun's side."""
    rng = canvas.rng
    color = canvas.mix(CROWN, 9)
    lit = tuple(channel + 20 for channel in color)
    lobes = [at] if radius < 4 else [at, *(at + radius * 0.5 * np.exp(1j * rng.uniform(0, 6.3, 3)))]
    for lobe in lobes:
        canvas.disc(lobe, 0.75 * radius, color, VEGETATION, height=1.3 * radius)
    for lobe in lobes:
        canvas.disc(lobe, 0.4 * radius, lit, shift=-0.25 * radius * SHADOW)


def grove(canvas: Canvas, outline: np.ndarray, count: int, sizes: tuple[float, float] = (4, 9), on: int = LAND) -> None:
    """Scatter trees over an area, in clumps, where the class is `on`."""
    rng = canvas.rng
    low, high = outline.real.min() + 1j * outline.imag.min(), outline.real.max() + 1j * outline.imag.max()
    while count > 0:
        heart = rng.uniform(low.real, high.real) + 1j * rng.uniform(low.imag, high.imag)
        for _ in range(rng.integers(1, 7)):
            at, radius = heart + complex(*rng.normal(0, 14, 2)), rng.uniform(*sizes)
            if canvas.lies_on(box(at, 2, 2), on):
                tree(canvas, at, radius)
            count -= 1


def avenue_of_trees(canvas: Canvas, line: np.ndarray, step: float, radius: float) -> None:
    """Plant a row of trees with gaps, except on roads and water."""
    for at, _ in stations(line, step):
        if canvas.rng.random() < 0.8 and (canvas.lies_on(box(at, 4, 4), RESERVED) or canvas.lies_on(box(at, 4, 4), VEGETATION)):
            tree(canvas, at, radius * canvas.rng.uniform(0.8, 1.2))


def roof(canvas: Canvas, center: complex, length: float, width: float, color: Color, height: float) -> None:
    """Build a flat roof with a parapet, a stair head and plant."""
    rng = canvas.rng
    parapet, inner_shade = (tuple(min(255, int(c * k)) for c in color) for k in (1.1, 0.72))
    canvas.polygon(box(center, length, width), parapet, BUILDING, height)
    canvas.polygon(box(center, length - 3, width - 3), inner_shade)
    canvas.polygon(box(center, length - 4, width - 4), color, shift=0.9 * SHADOW)
    for _ in range(1 + int(length * width / 500)):
        at = center + complex(rng.uniform(-0.36, 0.36) * length, rng.uniform(-0.36, 0.36) * width)
        if rng.random() < 0.25:
            canvas.polygon(box(at, 8, 7), inner_shade, shift=2.5 * SHADOW)
            canvas.polygon(box(at, 8, 7), parapet)
        else:
            canvas.polygon(box(at, 3, 2.5), (96, 94, 92), shift=1.3 * SHADOW)
            canvas.polygon(box(at, 3, 2.5), canvas.mix((206, 206, 204), 16))


def hip_roof(canvas: Canvas, center: complex, length: float, width: float, color: Color, height: float) -> None:
    """Build a tiled roof of four slopes, each as bright as it faces the sun."""
    corners = box(center, length, width)
    ridge = box(center, length - width, 0) if length > width else box(center, 0, width - length)
    canvas.polygon(corners, color, BUILDING, height)
    for i in range(4):
        slope = np.array([corners[i], corners[(i + 1) % 4], ridge[(i + 1) % 4], ridge[i]])
        outward = np.diff(canvas.bend(slope[:2]))[0] * -1j
        light = 1 - 0.2 * (outward / abs(outward) * SHADOW.conjugate()).real
        canvas.polygon(slope, tuple(min(255, int(c * light)) for c in color))


def shed(canvas: Canvas, center: complex, length: float, width: float, height: float = 16) -> None:
    """Build a warehouse: a low gable roof of metal sheets."""
    color = canvas.pick(SHEDS)
    canvas.polygon(box(center, length, width), color, BUILDING, height)
    canvas.polygon(box(center - width * 0.25j, length, width / 2), tuple(int(c * 0.9) for c in color))
    for x in np.arange(-length / 2 + 6, length / 2 - 3, 9):
        canvas.polygon(box(center + x, 0.8, width - 2), tuple(int(c * 0.86) for c in color))
        if canvas.rng.random() < 0.2:
            canvas.polygon(box(center + x + 4, 4, width * 0.2), canvas.mix((232, 234, 232)))


def car(canvas: Canvas, at: complex, along: complex) -> None:
    """Put a car, or now and then a lorry, on a road."""
    length, width = (9, 4.2) if canvas.rng.random() < 0.93 else (20, 5.4)
    canvas.polygon(box(at, length, width, along), canvas.pick(CARS), height=2.5)
    canvas.polygon(box(at + along, length * 0.28, width * 0.75, along), (52, 56, 62))


def traffic(canvas: Canvas, line: np.ndarray, gap: float) -> None:
    """Let cars drive along a lane, about `gap` apart."""
    for at, along in stations(line, gap):
        at += along * canvas.rng.uniform(-0.4, 0.4) * gap
        if canvas.lies_on(box(at, 12, 5, along), ROAD):
            car(canvas, at, along)


def car_park(canvas: Canvas, center: complex, length: float, width: float) -> None:
    """Lay out a car park with rows of bays along its length, partly full."""
    canvas.polygon(box(center, length + 3, width + 3), KERB, RESERVED)
    canvas.polygon(box(center, length, width), canvas.mix(ASPHALT), ROAD)
    for y in np.arange(-width / 2 + 7, width / 2 - 5, 17):
        for x in np.arange(-length / 2 + 6, length / 2 - 5, 6.5):
            canvas.polygon(box(center + x + 3.2 + 1j * y, 0.7, 10), PAINT)
            if canvas.rng.random() < 0.5:
                car(canvas, center + x + 1j * y, 1j)


def pave(canvas: Canvas, streets: Sequence[tuple[np.ndarray, float]]) -> None:
    """Build streets, each a line and a width, with pavements and kerbs; where they meet, they merge."""
    for margin, color, label in ((14, PAVEMENT, RESERVED), (2.5, KERB, RESERVED), (0, ASPHALT, ROAD)):
        for line, width in streets:
            canvas.polygon(ribbon(line, width + margin), color, label)


def mark(canvas: Canvas, line: np.ndarray, dashed: bool = True) -> None:
    """Paint a dashed or a solid line on the road."""
    for at, along in stations(line, 20 if dashed else 12):
        if canvas.lies_on(box(at, 2, 2), ROAD):
            canvas.polygon(box(at, 8 if dashed else 12.5, 0.9, along), PAINT)


def carriageway(canvas: Canvas, line: np.ndarray, lanes: int, gap: float) -> None:
    """Mark the lanes of a one-way road that `pave` has built 7.5 pixels a lane, and fill it with cars."""
    for lane in range(lanes):
        if lane:
            mark(canvas, beside(line, 7.5 * (lane - lanes / 2)))
        traffic(canvas, beside(line, 7.5 * (lane + 0.5 - lanes / 2)), gap)
    for edge in (-1, 1):
        mark(canvas, beside(line, edge * (3.75 * lanes - 1.5)), dashed=False)


def villa(canvas: Canvas, plot: complex, street: int) -> None:
    """Build a walled villa on a plot of 69 × 81 pixels whose street lies in the direction of y = `street`."""
    rng = canvas.rng
    if not canvas.lies_on(box(plot, 69, 81), LAND):
        return
    yard = canvas.pick((SAND, PAVEMENT, PALE_SAND), 9)
    canvas.polygon(box(plot, 69, 81), canvas.mix(PALE_SAND), RESERVED, height=2.5)
    canvas.polygon(box(plot, 66, 78), yard, LAND)
    back, front = plot - 27j * street, plot + 8j * street + rng.uniform(-6, 6)
    if rng.random() < 0.6:
        canvas.polygon(box(back + rng.uniform(-12, 12), rng.uniform(30, 62), rng.uniform(14, 26)), canvas.mix(LAWN), VEGETATION)
    if rng.random() < 0.25:
        pool = back + rng.uniform(-15, 15)
        canvas.polygon(box(pool, 21, 14), canvas.mix(PALE_SAND), LAND)
        canvas.polygon(box(pool, 16, 9), DEPTH_COLORS[0], WATER)
    length, width, height = rng.uniform(36, 50), rng.uniform(32, 46), rng.uniform(11, 17)
    wing = front + rng.choice([-1, 1]) * length * 0.3 - 1j * street * rng.uniform(4, 16)
    canvas.polygon(box(front + 30j * street - 12, 14, 26), canvas.mix(PAVEMENT), LAND)
    if rng.random() < 0.75:
        color = canvas.pick(ROOFS)
        roof(canvas, front, length, width, color, height)
        roof(canvas, wing, length * 0.5, width * 0.8, canvas.mix(color, 5), height * 0.7)
    else:
        color = canvas.pick(TILED)
        hip_roof(canvas, wing, length * 0.5, width, color, height * 0.8)
        hip_roof(canvas, front, length, width * 0.75, color, height)
    if rng.random() < 0.5:
        car(canvas, front + 36j * street - 12, 1j)
    for _ in range(rng.integers(0, 7)):
        side = rng.choice([-30, 30]) + 1j * rng.uniform(-38, 38) if rng.random() < 0.5 else complex(rng.uniform(-31, 31), -36 * street)
        tree(canvas, plot + side, rng.uniform(3, 6))


def villas(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Fill a block with two rows of villas, back to back; here and there a plot is still empty."""
    for x in np.arange(-length / 2 + 35, length / 2 - 30, 70.4):
        for side in (-1, 1):
            if canvas.rng.random() < 0.92:
                villa(canvas, center + x + 1j * side * depth / 4, side)


def apartments(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Fill a block with slabs of flats around car parks."""
    for x in np.arange(-length / 2 + 68, length / 2 - 50, 140):
        if canvas.lies_on(box(center + x, 130, depth), LAND):
            canvas.polygon(box(center + x, 128, depth - 6), canvas.mix(PAVEMENT), LAND)
            car_park(canvas, center + x, 118, 40)
            color = canvas.pick(ROOFS)
            for side in (-1, 1):
                roof(canvas, center + x + side * (depth / 2 - 31) * 1j, 112, canvas.rng.uniform(36, 42), color, 30)
            for spot in np.linspace(-56, 56, 7) + 25j * canvas.rng.choice([-1, 1]):
                tree(canvas, center + x + spot, canvas.rng.uniform(4, 6))


def park(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Fill an area with lawn, paths, a pond and trees."""
    area = box(center, length - 8, depth - 8)
    canvas.polygon(area, canvas.mix(LAWN), VEGETATION)
    for _ in range(int(length * depth / 12000)):
        at = center + complex(*canvas.rng.uniform(-0.42, 0.42, 2) * (length, depth))
        canvas.polygon(blob(canvas.rng, at, 26, 1.6), canvas.mix((118, 124, 80)), VEGETATION)
    across = np.linspace(-0.5, 0.5, 40)
    for turn in (-1, 1):
        path = center + across * (length - 8) + turn * 0.36j * depth * np.sin(across * 7 + turn)
        canvas.polygon(ribbon(path, 5), canvas.mix(PALE_SAND), RESERVED)
    canvas.polygon(blob(canvas.rng, center + length * 0.2, depth * 0.17, 1.5), canvas.mix(PALE_SAND), RESERVED)
    canvas.polygon(blob(canvas.rng, center - length * 0.2, depth * 0.2, 1.5), DEPTH_COLORS[1], WATER)
    grove(canvas, area, int(length * depth / 900), (4, 9), VEGETATION)


def building_site(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Fill an area with dug earth, a raw slab, and heaps of debris that nobody could name."""
    rng = canvas.rng
    canvas.polygon(blob(rng, center, depth * 0.42, length / depth), canvas.mix(DIRT, 12), LAND)
    spots = center + rng.uniform(-0.4, 0.4, 7) * length + 1j * rng.uniform(-0.4, 0.4, 7) * depth
    for spot in spots:
        canvas.polygon(blob(rng, spot, rng.uniform(14, 26), 1.3), canvas.mix((138, 132, 128), 16), UNLABELED)
        for _ in range(14):
            piece = spot + complex(*rng.normal(0, 8, 2))
            canvas.polygon(box(piece, *rng.uniform(2, 6, 2), np.exp(1j * rng.uniform(0, 3))), canvas.pick((*ROOFS, DIRT), 20), height=1)
    if canvas.lies_on(box(center, 80, 50), LAND):
        roof(canvas, center, 80, 50, canvas.mix((176, 170, 160)), 9)
        for x in np.arange(-36, 40, 9):
            canvas.polygon(box(center + x, 1, 46), (140, 134, 126))


def desert(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Leave an area bare but for tyre tracks, patches of other soil and a few shrubs."""
    rng = canvas.rng
    for _ in range(3 + int(length * depth / 30000)):
        at = center + complex(*rng.uniform(-0.5, 0.5, 2) * (length, depth))
        soil = blob(rng, at, rng.uniform(10, 30), rng.uniform(1, 2))
        if canvas.lies_on(soil, LAND):
            canvas.polygon(soil, canvas.pick((SAND, PALE_SAND, SAND, (172, 160, 142)), 6))
    for _ in range(1 + int(length / 250)):
        across = np.linspace(-0.6, 0.6, 30)
        bow = rng.uniform(-0.5, 0.5, 3) * depth
        track = center + across * length + 1j * (bow[0] + bow[1] * across * 2 + bow[2] * np.sin(5 * across))
        color = canvas.pick((PALE_SAND, DIRT, (172, 160, 142)), 5)
        for side in (-2.2, 2.2):
            for piece in np.split(beside(track, side), [10, 20]):
                canvas.polygon(ribbon(piece, 1.3), color) if canvas.lies_on(ribbon(piece, 6), LAND) else None
    grove(canvas, box(center, length, depth), int(length * depth / 2600), (1.2, 3.2))


# The two tiles


def _bend(degrees: float, bow: complex) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map z → z + bow z², turned and centred on the tile: conformal, so the plan's corners stay square."""
    middle, turn = (COLUMNS[-1] + 1j * ROWS[-1]) / 2, np.exp(1j * np.radians(degrees))
    return lambda points: middle + turn * (points + bow * points * points)


def roundabout(canvas: Canvas, center: complex, radius: float) -> None:
    """Build a roundabout with a planted island."""
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 48, endpoint=False))
    rings = ((1.14, PAVEMENT, RESERVED), (1.03, KERB, RESERVED), (1, ASPHALT, ROAD), (0.55, KERB, RESERVED), (0.5, LAWN, VEGETATION))
    for share, color, label in rings:
        canvas.polygon(center + share * radius * circle, color, label)
    avenue_of_trees(canvas, center + 0.36 * radius * circle, 9, 4)
    traffic(canvas, center + 0.78 * radius * circle, 50)


def paint_quarter(rng: np.random.Generator) -> Canvas:
    """Draw Tile 1: a street grid of villas and flats, parks, and a canal with bridges."""
    canvas = Canvas(_bend(-11, 5e-5 * np.exp(0.9j)), SAND, rng)
    pitch = 460 + 204j
    x, y = np.linspace(-2000, 2000, 80), 1j * np.linspace(-1500, 1500, 60)
    across, down = -1j * pitch.imag + x, -pitch.real + y
    lanes = [x + 1j * pitch.imag * k for k in range(-6, 7)] + [y + pitch.real * m for m in range(-4, 5)]
    pave(canvas, [(line, 17) for line in lanes])
    for line in lanes:
        mark(canvas, line)
    for m in range(-4, 5):
        for k in range(-6, 7):
            canvas.polygon(box(pitch.real * m + 1j * pitch.imag * k, 30, 17), ASPHALT)
            canvas.polygon(box(pitch.real * m + 1j * pitch.imag * k, 17, 30), ASPHALT)

    canal = x + 1j * (330 + 140 * np.sin(x / 520))
    width = 190 + 50 * np.sin(x / 330)
    for margin, color, label in ((64, PAVEMENT, RESERVED), (12, KERB, RESERVED), (0, DEPTH_COLORS[3], WATER)):
        canvas.polygon(ribbon(canal, width + margin), color, label)
    for bridge in (down, y + pitch.real):
        middle = canal[np.abs(canal.real - bridge[0].real).argmin()]
        canvas.polygon(box(bridge[0].real + 1j * middle.imag, 76 if bridge is down else 34, 240), PAVEMENT, RESERVED, height=7)
    pave(canvas, [(y + pitch.real, 17)])
    mark(canvas, y + pitch.real)
    halves = [beside(line, side * 20) for line in (across[::-1], down[::-1]) for side in (-1, 1)]
    pave(canvas, [(line, 24) for line in halves])
    for line, side in zip(halves, (-1, 1, -1, 1), strict=True):
        carriageway(canvas, line[::-side], 3, 110)
    for line in (across, down):
        for piece in np.array_split(line, 9):
            canvas.polygon(ribbon(piece, 9), canvas.mix(LAWN), VEGETATION)
        avenue_of_trees(canvas, line, 15, 4.5)
    roundabout(canvas, -pitch, 84)

    fillers, chances = (villas, apartments, desert, building_site, park), (0.58, 0.18, 0.12, 0.05, 0.07)
    for m in range(-4, 4):
        for k in range(-6, 6):
            center = pitch.real * (m + 0.5) + 1j * pitch.imag * (k + 0.5)
            fill = fillers[rng.choice(len(fillers), p=chances)]
            if fill in (park, building_site) and not canvas.lies_on(box(center, 424, 168), LAND):
                fill = villas
            fill(canvas, center, 422, 166)
    for side in (-1, 1):
        avenue_of_trees(canvas, beside(canal, side * (width / 2 + 22)), 17, 5.5)
    for line in lanes:
        avenue_of_trees(canvas, beside(line, 13), 44, 4)
        traffic(canvas, beside(line, 4), 170)
        traffic(canvas, beside(line[::-1], 4), 170)
    return canvas


def paint_coast(rng: np.random.Generator) -> Canvas:
    """Draw Tile 2: sea, beach and marina, a lagoon, a highway with an interchange, sheds, a park and desert."""
    canvas = Canvas(_bend(5, -2.5e-5j), (194, 182, 170), rng)
    x = np.linspace(-2200, 2200, 120)
    coast = x + 1j * (480 + 90 * np.sin(x / 430 + 1) + 26 * np.sin(x / 150))
    for inland, color, label in ((60, PALE_SAND, RESERVED), (9, DIRT, RESERVED), (0, DEPTH_COLORS[3], WATER)):
        canvas.polygon(np.concatenate([coast - 1j * inland, [2200 + 2500j, -2200 + 2500j]]), color, label)
    lagoon = blob(rng, -640 + 120j, 150, 2)
    inlet = np.array([-560 + 150j, -500 + 300j, -520 + 480j, -480 + 640j])
    for margin, color, label in ((26, PALE_SAND, RESERVED), (0, DEPTH_COLORS[3], WATER)):
        canvas.polygon(ribbon(inlet, 54 + margin), color, label)
        canvas.polygon(-640 + 120j + (lagoon + 640 - 120j) * (1 + margin / 200), color, label)
    return canvas


# The photograph


def noise(rng: np.random.Generator, cell: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return smooth noise, `shape` float32 of mean 0 and spread near 1, whose bumps are `cell` pixels high and wide."""
    grid = rng.standard_normal((shape[0] // cell[0] + 3, shape[1] // cell[1] + 3), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize(shape[::-1], Image.Resampling.BICUBIC))


def water_colors(canvas: Canvas) -> tuple[Image.Image, np.ndarray]:
    """Return the water as it would look everywhere, and how wet the ground is, (height, width) float32 from 0 to 1."""
    size = COLUMNS[-1], ROWS[-1]
    water = canvas.basin.reduce(8)
    depth = np.asarray(water.filter(ImageFilter.GaussianBlur(11)), np.float32) / 255
    depth += 0.035 * noise(canvas.rng, (14, 20), depth.shape) * (depth > 0.3)
    colors = np.stack([np.interp(depth, DEPTHS, channel) for channel in zip(*DEPTH_COLORS, strict=True)], axis=-1)
    wet = water.filter(ImageFilter.GaussianBlur(2)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray(colors.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC), np.asarray(wet, np.float32) / 255


def photograph(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Light the canvas and take its picture: (height, width, 3) uint8."""
    shape, labels = (ROWS[-1], COLUMNS[-1]), canvas.class_indices()
    sea, wet = water_colors(canvas)
    is_water = canvas.labels.point(lambda label: 255 * (label == WATER)).reduce(2)
    color = np.array(Image.composite(sea, canvas.albedo.reduce(2), is_water), np.float32)
    relief = sum(GRAIN[:, kind][labels] * noise(rng, cell, shape) for kind, cell in enumerate(GRAIN_CELLS))
    relief += 1 - 0.12 * wet * (labels == LAND) + 0.05 * noise(rng, (700, 900), shape)
    # No roof lies in a shadow: houses stand too far apart, and parts of one house have no shadow on each other.
    canvas.shadow.paste(0, mask=canvas.labels.point(lambda label: 255 * (label == BUILDING)))
    shade = np.asarray(canvas.shadow.reduce(2).filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255
    for channel, (sky, warmth) in enumerate(((0.62, 0.012), (0.58, 0.0), (0.5, -0.015))):
        color[..., channel] *= relief * (1 - sky * shade)
    image = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    sensor = np.asarray(image, np.float32) + 2.5 * rng.standard_normal((*shape, 1), dtype=np.float32)
    return np.clip(sensor, 0, 255).astype(np.uint8)
