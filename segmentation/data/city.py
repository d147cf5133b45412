"""A small procedural desert city, seen from above: what is drawn, and how it is photographed.

Tile 1 is a dense quarter along a canal; Tile 2 is coast, highway and desert. A pixel is half a metre. Points of a plan
are complex numbers x + yj in pixels, so that a multiplication turns them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

COLUMNS, ROWS = (0, 965, 1931, 2896), (0, 645, 1291, 1936)
"""Where a tile is cut into scenes. Like the real ones, their sizes differ by a pixel."""
BUILDING, LAND, ROAD, VEGETATION, WATER, UNLABELED = range(6)
RESERVED = 6
"""Land that nothing may be built on, such as pavements, quays and beaches. It is Land in the masks."""

Color = tuple[int, int, int]
SAND, PALE_SAND, DIRT = (190, 179, 162), (212, 202, 184), (160, 148, 132)
PAVEMENT, KERB, ASPHALT, PAINT = (168, 162, 152), (196, 192, 184), (92, 88, 88), (186, 182, 174)
LAWN, CROWN, POOL, STONE, WHITE = (102, 111, 72), (58, 70, 44), (92, 180, 190), (128, 122, 116), (228, 228, 226)
ROOFS = ((226, 222, 214), (212, 202, 184), (190, 180, 164), (166, 164, 162), (142, 141, 142), (204, 196, 188))
TILES, SHEETS = ((158, 108, 86), (142, 98, 80)), ((216, 218, 220), (150, 164, 178), (188, 184, 174), (134, 138, 144))
CARS = (WHITE, WHITE, (206, 208, 210), (140, 142, 146), (60, 60, 66), (52, 70, 100), (140, 56, 48))

SHADOW = -0.82 - 0.5j
"""The shadow of one pixel of height: north is up, and the morning sun stands in the south-east."""

DEPTHS = (0.1, 0.45, 0.6, 0.8, 1.0)
DEPTH_COLORS = ((116, 138, 112), (92, 134, 118), (54, 98, 88), (30, 66, 62), (19, 45, 46))
"""The colour of open water by the share of water around it, which stands for its depth."""

GRAIN = np.array(
    [
        [0.01, 0.02, 0.01, 0.05],  # Building
        [0.07, 0.05, 0.06, 0.04],  # Land
        [0.06, 0.03, 0.00, 0.03],  # Road
        [0.10, 0.09, 0.14, 0.13],  # Vegetation
        [0.06, 0.04, 0.02, 0.04],  # Water
        [0.05, 0.10, 0.20, 0.20],  # Unlabeled
    ],
    np.float32,
)
"""How much the brightness of each class varies: broadly, in mottles, by relief, and finely."""


class Canvas:
    """What stands on the ground of one tile, drawn at twice its size so that edges come out anti-aliased."""

    def __init__(self, degrees: float, bow: complex, sand: Color, rng: np.random.Generator) -> None:
        """Start with bare ground.

        Args:
            degrees: How far the plan is turned on the tile.
            bow: How much it is bent: a plan point z lies at z + bow z², a conformal map, so corners stay square.
            sand: Colour of the ground.
            rng: Source of every chance.
        """
        self.turn, self.bow, self.rng = np.exp(1j * np.radians(degrees)), bow, rng
        size = 2 * COLUMNS[-1], 2 * ROWS[-1]
        self.labels, self.albedo = Image.new("L", size, LAND), Image.new("RGB", size, sand)
        # Open water also where a bridge spans it: depth is taken from here.
        self.shadow, self.basin = Image.new("L", size), Image.new("L", size)
        self._labels, self._albedo, self._shadow, self._basin = (
            ImageDraw.Draw(image) for image in (self.labels, self.albedo, self.shadow, self.basin)
        )

    def locate(self, points: np.ndarray) -> np.ndarray:
        """Return where on the tile plan points lie, in pixels from its upper left corner."""
        return (COLUMNS[-1] + 1j * ROWS[-1]) / 2 + self.turn * (points + self.bow * points * points)

    def polygon(
        self, points: np.ndarray, color: Color, label: int | None = None, height: float = 0, shift: complex = 0
    ) -> None:
        """Fill a polygon of the plan.

        Args:
            points: Its corners.
            color: Colour in full sun.
            label: Class index, or None if the class below stays.
            height: What its shadow is cast by, in pixels; 0 casts none.
            shift: How far to move it on the tile, in pixels.
        """
        corners = 2 * (self.locate(points) + shift)
        outline = corners.view(float).tolist()
        if height:
            cast = corners + 2 * height * SHADOW
            sides = np.stack([corners, np.roll(corners, 1), np.roll(cast, 1), cast], axis=1)
            for side in (*sides, cast):
                self._shadow.polygon(side.view(float).tolist(), fill=255)
            self._shadow.polygon(outline, fill=0)
        self._albedo.polygon(outline, fill=color)
        if label is not None:
            self._labels.polygon(outline, fill=label)
        if label == WATER and color != POOL:
            self._basin.polygon(outline, fill=255)

    def crown(self, at: complex, radius: float, color: Color) -> None:
        """Draw one round lobe of a tree, its highlight and its shadow."""
        center = complex(self.locate(np.array(at)))
        for draw, fill, middle, size in (
            (self._shadow, 255, center + 0.6 * radius * SHADOW, radius),
            (self._shadow, 255, center + 1.3 * radius * SHADOW, radius),
            (self._shadow, 0, center, radius),
            (self._labels, VEGETATION, center, radius),
            (self._albedo, color, center, radius),
            (self._albedo, shaded(color, 1.35), center - 0.35 * radius * SHADOW, 0.5 * radius),
        ):
            low, high = 2 * (middle - size * (1 + 1j)), 2 * (middle + size * (1 + 1j))
            draw.ellipse((low.real, low.imag, high.real, high.imag), fill=fill)

    def lies_on(self, points: np.ndarray, *allowed: int) -> bool:
        """Return whether a convex shape of the plan lies on the tile, at least partly, and there on `allowed` alone."""
        middle, rim = np.mean(points), np.concatenate([points, (points + np.roll(points, 1)) / 2])
        spots = 2 * self.locate(np.concatenate([middle + share * (rim - middle) for share in (1, 0.6, 0.25)]))
        width, height = self.labels.size
        inside = [(int(z.real), int(z.imag)) for z in spots if 0 <= z.real < width and 0 <= z.imag < height]
        return bool(inside) and all(self.labels.getpixel(place) in allowed for place in inside)

    def class_indices(self) -> np.ndarray:
        """Return the mask: (height, width) uint8 class indices."""
        labels = np.array(self.labels)[::2, ::2]
        labels[labels == RESERVED] = LAND
        return labels

    def pick(self, *colors: Color, spread: float = 7) -> Color:
        """Return one of `colors`, a little brighter or darker, by chance."""
        color = colors[self.rng.integers(len(colors))]
        return shaded(color, 1 + self.rng.normal(0, spread) / 170)

    def spot(self, length: float, width: float) -> complex:
        """Return a random point of a rectangle around 0."""
        return complex(*self.rng.uniform(-0.5, 0.5, 2) * (length, width))


def shaded(color: Color, factor: float) -> Color:
    """Return `color` times `factor`."""
    red, green, blue = (min(255, round(channel * factor)) for channel in color)
    return red, green, blue


# Shapes of a plan


def box(center: complex, length: float, width: float, along: complex = 1) -> np.ndarray:
    """Return the corners of a rectangle whose length runs in the unit direction `along`."""
    half, side = length / 2, 0.5j * width
    return center + along * np.array([-half - side, half - side, half + side, side - half])


def blob(rng: np.random.Generator, center: complex, radius: float, stretch: float = 1) -> np.ndarray:
    """Return an irregular round outline, `stretch` times as long as it is high."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wobble = sum(rng.normal(0, 0.16 / k) * np.cos(k * angles + rng.uniform(0, 6)) for k in (2, 3, 5))
    circle = radius * (1 + wobble) * np.exp(1j * angles)
    return center + stretch * circle.real + 1j * circle.imag


def beside(line: np.ndarray, distance: float | np.ndarray) -> np.ndarray:
    """Return the line that runs `distance` to the right of `line`."""
    direction = np.gradient(line)
    return line + distance * 1j * direction / np.abs(direction)


def ribbon(line: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Return the outline of a band along `line`."""
    return np.concatenate([beside(line, width / 2), beside(line, -width / 2)[::-1]])


def stations(line: np.ndarray, step: float) -> Iterator[tuple[complex, complex]]:
    """Yield a point, and the unit direction there, at every `step` along `line`."""
    moves = np.diff(line)
    length = np.concatenate([[0], np.abs(moves).cumsum()])
    at = np.arange(step / 2, length[-1], step)
    directions = (moves / np.abs(moves))[np.searchsorted(length, at) - 1]
    yield from zip(np.interp(at, length, line).tolist(), directions.tolist(), strict=True)


def cells(length: float, size: float) -> np.ndarray:
    """Return the middles of as many cells of at least `size` as fill `length`, around 0."""
    count = int(length // size)
    return (np.arange(count) - (count - 1) / 2) * length / max(count, 1)


# Trees and houses


def tree(canvas: Canvas, at: complex, radius: float) -> None:
    """Plant a crown of one to four lobes."""
    color = canvas.pick(CROWN, spread=22)
    lobes = [0] if radius < 4 else [0, *(0.5 * radius * np.exp(2j * np.pi * canvas.rng.random(3)))]
    for lobe in lobes:
        canvas.crown(at + lobe, 0.75 * radius, color)


def grove(
    canvas: Canvas, center: complex, length: float, depth: float, clumps: int, largest: float, on: int = LAND
) -> None:
    """Scatter clumps of trees, up to `largest` in radius, over an area where the class is `on`."""
    for _ in range(clumps):
        heart = center + canvas.spot(length, depth)
        for _ in range(canvas.rng.integers(1, 8)):
            at = heart + complex(*canvas.rng.normal(0, 14, 2))
            if canvas.lies_on(box(at, 2, 2), on):
                tree(canvas, at, largest * canvas.rng.uniform(0.4, 1))


def tree_row(canvas: Canvas, line: np.ndarray, step: float, radius: float) -> None:
    """Plant a row of trees with gaps on pavements and lawns."""
    for at, _ in stations(line, step):
        if canvas.rng.random() < 0.8 and canvas.lies_on(box(at, 4, 4), RESERVED, VEGETATION):
            tree(canvas, at, radius * canvas.rng.uniform(0.8, 1.2))


def roof(
    canvas: Canvas, center: complex, length: float, width: float, color: Color, height: float, along: complex = 1
) -> None:
    """Build a flat roof with a parapet, stair heads and cooling boxes."""
    canvas.polygon(box(center, length, width, along), shaded(color, 1.1), BUILDING, height)
    canvas.polygon(box(center, length - 3, width - 3, along), shaded(color, 0.72))
    canvas.polygon(box(center, length - 4, width - 4, along), color, shift=0.9 * SHADOW)
    for _ in range(1 + int(length * width / 500)):
        at = center + along * canvas.spot(0.75 * length, 0.75 * width)
        size, top = (8, shaded(color, 1.1)) if canvas.rng.random() < 0.25 else (3, canvas.pick(WHITE, spread=16))
        canvas.polygon(box(at, size, 0.85 * size, along), shaded(color, 0.6), shift=0.35 * size * SHADOW)
        canvas.polygon(box(at, size, 0.85 * size, along), top)


def hip_roof(canvas: Canvas, center: complex, length: float, width: float, color: Color, height: float) -> None:
    """Build a tiled roof of four slopes, each as bright as it faces the sun."""
    corners = box(center, length, width)
    ridge = box(center, max(length - width, 0), max(width - length, 0))
    canvas.polygon(corners, color, BUILDING, height)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)):
        eaves = np.diff(canvas.locate(corners[[i, j]]))[0]
        facing = (eaves / abs(eaves) * -1j * SHADOW.conjugate()).real
        canvas.polygon(np.array([corners[i], corners[j], ridge[j], ridge[i]]), shaded(color, 1 - 0.2 * facing))


# Roads


def pave(canvas: Canvas, roads: Sequence[tuple[np.ndarray, float]], verge: int = RESERVED) -> None:
    """Build roads, each a line and a width, with pavements and kerbs; where they meet, they merge."""
    for margin, color, label in ((14, PAVEMENT, verge), (2.5, KERB, verge), (0, ASPHALT, ROAD)):
        for line, width in roads:
            canvas.polygon(ribbon(line, width + margin), color, label)


def bridge(
    canvas: Canvas, center: complex, along: complex, length: float, roads: Sequence[tuple[float, float]]
) -> None:
    """Carry roads, each an offset and a width, over what lies below."""
    deck = 14 + 2 * max(abs(offset) + width / 2 for offset, width in roads)
    # It comes down to the ground at its ends, and so does its shadow. Its pavements are not reserved: no trees there.
    for share, height in ((0.8, 9), (0.9, 5), (1, 1)):
        canvas.polygon(box(center, share * length, deck, along), PAVEMENT, LAND, height)
    way = center + along * np.linspace(-length / 2, length / 2, 12)
    pave(canvas, [(beside(way, offset), width) for offset, width in roads], verge=LAND)


def roundabout(canvas: Canvas, center: complex, radius: float, built: bool = False) -> None:
    """Lay the bed of a roundabout; once its roads are `built`, its lanes and the planted island."""
    circle = radius * np.exp(1j * np.linspace(0, 2 * np.pi, 48, endpoint=False))
    lanes = ((1, ASPHALT, ROAD), (0.55, KERB, RESERVED), (0.5, LAWN, VEGETATION))
    for share, color, label in lanes if built else ((1.14, PAVEMENT, RESERVED), (1.03, KERB, RESERVED)):
        canvas.polygon(center + share * circle, color, label)
    if built:
        tree_row(canvas, center + 0.36 * circle, 9, 4)
        traffic(canvas, center + 0.78 * circle, 50)


def mark(canvas: Canvas, line: np.ndarray, step: float = 20, dash: float = 8) -> None:
    """Paint a dashed line on a road; one whose dashes are longer than its steps is solid."""
    for at, along in stations(line, step):
        if canvas.lies_on(box(at, 2, 2), ROAD):
            canvas.polygon(box(at, dash, 0.9, along), PAINT)


def car(canvas: Canvas, at: complex, along: complex) -> None:
    """Put a car, or now and then a lorry, on a road."""
    length, width = (9, 4.2) if canvas.rng.random() < 0.95 else (20, 5.4)
    canvas.polygon(box(at, length, width, along), canvas.pick(*CARS), height=2.5)
    canvas.polygon(box(at + along, 0.28 * length, 0.75 * width, along), (52, 56, 62))


def traffic(canvas: Canvas, line: np.ndarray, gap: float) -> None:
    """Let cars drive along a lane, about `gap` apart."""
    for at, along in stations(line, gap):
        place = at + along * canvas.rng.uniform(-0.4, 0.4) * gap
        if canvas.lies_on(box(place, 12, 5, along), ROAD):
            car(canvas, place, along)


def street(canvas: Canvas, line: np.ndarray, gap: float) -> None:
    """Mark the middle of a paved road of two lanes, and let cars drive both ways, about `gap` apart."""
    mark(canvas, line)
    for lane in (beside(line, 4), beside(line[::-1], 4)):
        traffic(canvas, lane, gap)


def carriageway(canvas: Canvas, line: np.ndarray, lanes: int) -> None:
    """Mark the lanes of a paved one-way road, 7.5 pixels each, and let cars drive on them."""
    for lane in range(lanes):
        if lane:
            mark(canvas, beside(line, 7.5 * (lane - lanes / 2)))
        traffic(canvas, beside(line, 7.5 * (lane + 0.5 - lanes / 2)), 120)
    for edge in (-1, 1):
        mark(canvas, beside(line, edge * (3.75 * lanes - 1.5)), step=12, dash=12.5)


def car_park(canvas: Canvas, center: complex, length: float, width: float) -> None:
    """Lay out rows of bays, half of them taken."""
    canvas.polygon(box(center, length + 3, width + 3), KERB, RESERVED)
    canvas.polygon(box(center, length, width), canvas.pick(ASPHALT), ROAD)
    for y in cells(width, 16):
        for x in cells(length - 8, 6.5):
            canvas.polygon(box(center + x + 3.2 + 1j * y, 0.7, 10), PAINT)
            if canvas.rng.random() < 0.5:
                car(canvas, center + x + 1j * y, 1j)


def track(canvas: Canvas, line: np.ndarray, width: float, color: Color) -> None:
    """Let a track of bare earth run over open land; it looks like a road and is none."""
    pieces = [ribbon(line[start : start + 4], width) for start in range(0, len(line) - 3, 3)]
    for piece in [piece for piece in pieces if canvas.lies_on(piece, LAND)]:
        canvas.polygon(piece, color, RESERVED)


# What fills a block of `length` by `depth` pixels


def villa(canvas: Canvas, plot: complex, front: complex) -> None:
    """Build a walled villa on a plot of 69 by 81 pixels; `front` is the direction of its street, 1j or -1j."""
    rng = canvas.rng
    if not canvas.lies_on(box(plot, 69, 81), LAND):
        return
    canvas.polygon(box(plot, 69, 81), canvas.pick(PALE_SAND), RESERVED, height=2.5)
    canvas.polygon(box(plot, 66, 78), canvas.pick(SAND, PAVEMENT, PALE_SAND, spread=9), LAND)
    back, house = plot - 27 * front, plot + 8 * front + rng.uniform(-5, 5)
    if rng.random() < 0.75:
        lawn = box(back + rng.uniform(-10, 10), rng.uniform(34, 64), rng.uniform(16, 27))
        canvas.polygon(lawn, canvas.pick(LAWN), VEGETATION)
    if rng.random() < 0.25:
        pool = back - 4 * front + rng.uniform(-15, 15)
        canvas.polygon(box(pool, 21, 14), canvas.pick(PALE_SAND), LAND)
        canvas.polygon(box(pool, 16, 9), POOL, WATER)
    length, width, height = rng.uniform(44, 57), rng.uniform(36, 50), rng.uniform(11, 17)
    wing = house + rng.choice([-0.3, 0.3]) * length - front * rng.uniform(4, 14)
    canvas.polygon(box(house + 30 * front - 12, 14, 22), canvas.pick(PAVEMENT), LAND)
    if rng.random() < 0.75:
        color = canvas.pick(*ROOFS)
        roof(canvas, house, length, width, color, height)
        roof(canvas, wing, 0.5 * length, 0.8 * width, canvas.pick(color), 0.7 * height)
    else:
        color = canvas.pick(*TILES)
        hip_roof(canvas, wing, 0.5 * length, width, color, 0.8 * height)
        hip_roof(canvas, house, length, 0.75 * width, color, height)
    if rng.random() < 0.5:
        car(canvas, plot + 36 * front - 12, 1j)
    for _ in range(rng.integers(0, 8)):
        by_wall = rng.choice([-30, 30]) + 1j * rng.uniform(-38, 38), rng.uniform(-31, 31) - 34 * front
        tree(canvas, plot + by_wall[rng.integers(2)], rng.uniform(3, 6.5))


def villas(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Two rows of villas, back to back; here and there a plot is still empty."""
    for x in cells(length, 70.4):
        for front in (-1j, 1j):
            if canvas.rng.random() < 0.95:
                villa(canvas, center + x + front * depth / 4, front)


def apartments(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Slabs of flats around car parks."""
    for x in cells(length, 134):
        middle = center + x
        if canvas.lies_on(box(middle, 130, depth), LAND):
            canvas.polygon(box(middle, 130, depth - 6), canvas.pick(PAVEMENT), LAND)
            car_park(canvas, middle, 114, 34)
            color = canvas.pick(*ROOFS)
            for side in (-1j, 1j):
                canvas.polygon(box(middle + 22 * side, 114, 7), canvas.pick(LAWN), VEGETATION)
                roof(canvas, middle + side * (depth / 2 - 31), 118, canvas.rng.uniform(40, 46), color, 30)
                for spot in cells(116, 17):
                    tree(canvas, middle + spot + 22 * side, canvas.rng.uniform(3.5, 5.5))


def mall(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """A big flat roof with skylights, between car parks."""
    for side in (-1, 1):
        car_park(canvas, center + side * (length / 2 - 52), 84, depth - 16)
    roof(canvas, center, length - 200, depth - 20, canvas.pick(*ROOFS), 20)
    for x in cells(length - 230, 34):
        canvas.polygon(box(center + x, 16, 0.4 * depth), (120, 142, 156))


def sheds(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Warehouses with gable roofs of metal sheets, in paved yards."""
    for at in (center + x + 1j * y for x in cells(length, 160) for y in cells(depth, 92)):
        if not canvas.lies_on(box(at, 150, 84), LAND) or canvas.rng.random() < 0.1:
            continue
        canvas.polygon(box(at, 150, 84), canvas.pick(PAVEMENT, spread=10), LAND)
        color, ridge, width = canvas.pick(*SHEETS), canvas.rng.uniform(100, 142), canvas.rng.uniform(48, 68)
        canvas.polygon(box(at, ridge, width), color, BUILDING, height=16)
        canvas.polygon(box(at - 0.25j * width, ridge, width / 2), shaded(color, 0.9))
        for x in cells(ridge, 9):
            canvas.polygon(box(at + x, 0.8, width - 2), shaded(color, 0.86))
            if canvas.rng.random() < 0.2:
                canvas.polygon(box(at + x + 4, 4, 0.2 * width), canvas.pick(WHITE))


def park(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Lawns, paths, a playground, a pond and trees."""
    canvas.polygon(box(center, length - 8, depth - 8), canvas.pick(LAWN), VEGETATION)
    for _ in range(int(length * depth / 12000)):
        clearing = blob(canvas.rng, center + canvas.spot(0.8 * length, 0.6 * depth), 26, 1.6)
        canvas.polygon(clearing, canvas.pick((118, 124, 80)), VEGETATION)
    across = np.linspace(-0.5, 0.5, 40)
    for phase in canvas.rng.uniform(0, 6, 2):
        path = center + across * (length - 8) + 0.36j * depth * np.sin(7 * across + phase)
        canvas.polygon(ribbon(path, 5), canvas.pick(PALE_SAND), RESERVED)
    side = canvas.rng.choice([-0.24, 0.24]) * length
    canvas.polygon(blob(canvas.rng, center + side, 0.17 * depth, 1.5), canvas.pick(PALE_SAND), RESERVED)
    canvas.polygon(blob(canvas.rng, center - side, 0.25 * depth, 1.6), DEPTH_COLORS[1], WATER)
    grove(canvas, center, length, depth, int(length * depth / 2800), 9, VEGETATION)


def palms(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """A plantation of date palms."""
    canvas.polygon(box(center, length, depth), canvas.pick(DIRT), LAND)
    for x in cells(length, 19):
        for y in cells(depth, 19):
            if canvas.rng.random() < 0.93:
                tree(canvas, center + x + 1j * y, canvas.rng.uniform(6, 9))


def building_site(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Dug earth, a raw slab, and heaps of debris that nobody could name."""
    rng = canvas.rng
    for _ in range(6):
        dug = blob(rng, center + canvas.spot(0.6 * length, 0.6 * depth), depth * rng.uniform(0.12, 0.25), 1.5)
        canvas.polygon(dug, canvas.pick((170, 158, 142), spread=8), LAND)
    for _ in range(7):
        heap = center + canvas.spot(0.8 * length, 0.8 * depth)
        canvas.polygon(blob(rng, heap, rng.uniform(14, 26), 1.3), canvas.pick((142, 134, 126), spread=16), UNLABELED)
        for _ in range(14):
            middle, sides = heap + complex(*rng.normal(0, 8, 2)), rng.uniform(2, 6, 2)
            piece = box(middle, sides[0], sides[1], np.exp(3j * rng.random()))
            canvas.polygon(piece, canvas.pick(*ROOFS, DIRT, spread=20), height=1)
    if canvas.lies_on(box(center, 80, 50), LAND):
        roof(canvas, center, 80, 50, canvas.pick((176, 170, 160)), 9)


def desert(canvas: Canvas, center: complex, length: float, depth: float) -> None:
    """Bare land with the tracks of wheels and a few shrubs."""
    across = np.linspace(-0.55, 0.55, 61)
    for _ in range(1 + int(length * depth / 150000)):
        lift, tilt, bow = canvas.rng.uniform(-0.5, 0.5, 3) * depth
        path = center + across * length + 1j * (lift + 2 * tilt * across + bow * np.sin(5 * across))
        color = canvas.pick(PALE_SAND, DIRT)
        for wheels in (-2.2, 2.2):
            track(canvas, beside(path, wheels), 1.3, color)
    grove(canvas, center, length, depth, int(length * depth / 10400), 3.2)


# The two tiles

FILLERS = {"v": villas, "a": apartments, "m": mall, "p": park, "s": building_site, "d": desert}
QUARTER = (
    "vvavvavv",
    "vpvavmvv",
    "avsvavpa",
    "vavpvavd",
    "vvavvvsv",
    "avmvsvav",
    "vvpvvavv",
    "vvvvvvvv",
    "vvdvvvvv",
    "avpavpsv",
    "vsvvavva",
    "vvavpvav",
)
"""The blocks of Tile 1, by their fillers. Where the canal leaves too little room, villas stand instead."""


def paint_quarter(rng: np.random.Generator) -> Canvas:
    """Draw Tile 1: a street grid of villas and flats, parks, and a canal with bridges."""
    canvas = Canvas(-11, 5e-5 * np.exp(0.9j), SAND, rng)
    columns, rows, avenue = (np.arange(9) - 4) * 520.0, (np.arange(13) - 6) * 206.0, 3
    for places in (columns, rows):
        # An avenue is 48 pixels wider than a street.
        places += 24 * np.sign(np.arange(len(places)) - avenue)
    x, y = np.linspace(-2200, 2200, 90), 1j * np.linspace(-1500, 1500, 60)
    streets = [x + 1j * row for row in np.delete(rows, avenue)] + [column + y for column in np.delete(columns, avenue)]
    avenues = [x + 1j * rows[avenue], columns[avenue] + y]
    halves = [beside(line, side)[:: int(np.sign(side))] for line in avenues for side in (20, -20)]
    crossing = columns[avenue] + 1j * rows[avenue]
    roundabout(canvas, crossing, 84)
    pave(canvas, [(line, 15) for line in streets] + [(line, 24) for line in halves])

    canal, width = x + 1j * (330 + 140 * np.sin(x / 520)), 200 + 50 * np.sin(x / 330)
    for margin, color, label in ((64, PAVEMENT, RESERVED), (12, KERB, RESERVED), (0, DEPTH_COLORS[-1], WATER)):
        canvas.polygon(ribbon(canal, width + margin), color, label)
    for column, roads in ((columns[avenue], ((-20, 24), (20, 24))), (columns[5], ((0, 15),))):
        bridge(canvas, column + 1j * np.interp(column, x, canal.imag), 1j, 300, roads)

    for line in streets:
        street(canvas, line, 170)
    for junction in (columns[:, None] + 1j * rows).ravel():
        canvas.polygon(box(junction, 15, 15), ASPHALT)
    for half in halves:
        carriageway(canvas, half, 3)
    for line in avenues:
        for piece in np.array_split(line, 9):
            canvas.polygon(ribbon(piece, 9), canvas.pick(LAWN), VEGETATION)
        tree_row(canvas, line, 15, 4.5)
    roundabout(canvas, crossing, 84, built=True)

    edges = np.where(np.arange(13) == avenue, 40, 16)
    for j, letters in enumerate(QUARTER):
        for i, letter in enumerate(letters):
            left, right = columns[i] + edges[i], columns[i + 1] - edges[i + 1]
            top, bottom = rows[j] + edges[j], rows[j + 1] - edges[j + 1]
            block = (left + right + 1j * (top + bottom)) / 2, right - left, bottom - top
            is_whole = canvas.lies_on(box(block[0], block[1] - 8, block[2] - 8), LAND)
            (FILLERS[letter] if is_whole else villas)(canvas, *block)
    for side in (-1, 1):
        tree_row(canvas, beside(canal, side * (width / 2 + 12)), 17, 5)
        tree_row(canvas, beside(canal, side * (width / 2 + 25)), 14, 6)
    for line in streets:
        tree_row(canvas, beside(line, 12), 34, 4.5)
    return canvas


def paint_coast(rng: np.random.Generator) -> Canvas:
    """Draw Tile 2: sea, beach and marina, a lagoon, a highway with an interchange, sheds, parks and desert."""
    canvas = Canvas(5, -2.5e-5j, (196, 184, 172), rng)
    x = np.linspace(-2200, 2200, 120)
    swing, beach = 90 * np.sin(x / 430 + 1), 60 + 14 * np.sin(x / 90) + 10 * np.sin(x / 37)
    highway, shore_road = x + 1j * (60 * np.sin(x / 800) - 290), x + 1j * (swing + 366)
    coast = x + 1j * (swing + 26 * np.sin(x / 150) + 602)
    bands = ((beach, PALE_SAND, RESERVED), (14, (184, 171, 153), RESERVED), (0, DEPTH_COLORS[-1], WATER))
    for inland, color, label in bands:
        canvas.polygon(np.concatenate([coast - 1j * inland, [2200 + 2500j, -2200 + 2500j]]), color, label)
    heart, down = -620 + 70j, np.linspace(0, 1, 30)
    lagoon, inlet = blob(rng, 0, 120, 2), heart + 640j * down + 40 * np.sin(6 * down)
    for margin, color, label in ((30, PALE_SAND, RESERVED), (0, DEPTH_COLORS[-1], WATER)):
        canvas.polygon(ribbon(inlet, 64 + margin), color, label)
        canvas.polygon(heart + lagoon * (1 + margin / 160), color, label)
    marina(canvas, 180 + 692j, 760 + 642j)

    def on(line: np.ndarray, place: float) -> complex:
        return complex(place, np.interp(place, x, line.imag))

    starts = (on(highway, -1060) + 32j, -120 - 1300j, on(highway, 800) + 32j)
    links = [np.linspace(start, on(shore_road, start.real), 60) for start in starts]
    over, way = on(highway, -120), np.linspace(0, 1, 24)
    slips = [over + 460 * a * way**2 + 330j * b * (1 - way) ** 2 for a in (-1, 1) for b in (-1, 1)]
    halves = [beside(highway, 32), beside(highway, -32)[::-1]]
    widths = [(halves, 45), ([shore_road, *links], 20), (slips, 12)]
    pave(canvas, [(line, width) for lines, width in widths for line in lines])
    for half in halves:
        carriageway(canvas, half, 6)
    canvas.polygon(ribbon(highway, 9), LAWN, VEGETATION)
    bridge(canvas, over, 1j, 260, ((0, 20),))
    bridge(canvas, on(shore_road, -592), np.exp(0.21j), 150, ((0, 20),))
    for line in (shore_road, *links):
        street(canvas, line, 90)

    for at, along in stations((shore_road + coast - 1j * beach + 19j) / 2, 138):
        resort(canvas, at, along)
    for fill, left, right, top, bottom in COAST:
        fill(canvas, complex(left + right, top + bottom) / 2, right - left, bottom - top)
    bends = np.linspace(0, 6, 90)
    track(canvas, np.linspace(-100 - 800j, 1700 - 520j, 90) + 60j * np.sin(bends), 11, (164, 154, 140))
    track(canvas, np.linspace(-140 - 560j, -1700 - 420j, 90) - 40j * np.sin(bends), 11, (170, 160, 146))
    desert(canvas, -860j, 3200, 900)
    for line in (beside(shore_road, 14), beside(shore_road, -14), coast - 1j * (beach - 8)):
        tree_row(canvas, line, 20, 5.5)
    grove(canvas, heart, 760, 440, 65, 9)
    return canvas


def marina(canvas: Canvas, west: complex, east: complex) -> None:
    """Build two breakwaters and, between them, jetties with boats, which belong to no class."""
    for arm in (west + np.array([0, -10 + 110j, 150 + 190j, 380 + 200j]), east + np.array([0, 110j, -80 + 170j])):
        for width, color in ((30, STONE), (14, PAVEMENT)):
            canvas.polygon(ribbon(arm, width), color, RESERVED)
    for start in np.linspace(west, east, 7)[1:-1]:
        jetty = start + np.array([0, 105j])
        canvas.polygon(ribbon(jetty, 5), PAVEMENT, RESERVED, height=2)
        for berth, _ in stations(jetty, 13):
            for side in (-13, 13):
                if canvas.rng.random() < 0.7 and canvas.lies_on(box(berth + side, 16, 6), WATER):
                    canvas.polygon(box(berth + side, 15, 5), canvas.pick(WHITE), UNLABELED, height=3)


def resort(canvas: Canvas, at: complex, along: complex) -> None:
    """Build a hotel by the sea, with a pool on its lawn."""
    if canvas.lies_on(box(at, 124, 64, along), LAND):
        canvas.polygon(box(at, 124, 64, along), canvas.pick(LAWN), VEGETATION)
        roof(canvas, at - 14j * along, 104, 28, canvas.pick(*ROOFS[:3]), 34, along)
        canvas.polygon(box(at + 16j * along, 44, 20, along), canvas.pick(PALE_SAND), LAND)
        canvas.polygon(box(at + 16j * along, 36, 12, along), POOL, WATER)
        for spot in cells(124, 15):
            tree(canvas, at + (spot + 28j) * along, canvas.rng.uniform(4, 6.5))


COAST = (
    (sheds, -1800, -1090, -280, 250),
    (villas, -1030, -160, -235, -68),
    (villas, -350, -150, -60, 110),
    (villas, -1040, -860, -60, 110),
    (villas, -1040, -700, 115, 285),
    (villas, -480, -150, 120, 290),
    (park, -70, 760, -185, 5),
    (apartments, -80, 770, 20, 190),
    (mall, 0, 700, 205, 405),
    (building_site, 850, 1180, -160, 60),
    (villas, 840, 1240, 75, 240),
    (sheds, 1200, 1850, -150, 240),
    (sheds, -1700, -640, -820, -440),
    (palms, -540, -200, -640, -440),
    (palms, 20, 470, -690, -430),
    (building_site, 560, 860, -680, -460),
    (villas, 900, 1500, -580, -410),
    (park, 900, 1420, -760, -600),
)
"""The blocks of Tile 2 on its plan: filler, left, right, top, bottom."""

PAINTERS: dict[str, Callable[[np.random.Generator], Canvas]] = {"Tile 1": paint_quarter, "Tile 2": paint_coast}


# The photograph


def enlarged(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a float32 `field` smoothly resized to (height, width)."""
    height, width = shape
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, bump: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return (height, width) float32 of mean 0 and spread near 1 whose bumps are `bump` pixels high and wide."""
    grid = rng.standard_normal((shape[0] // bump[0] + 3, shape[1] // bump[1] + 3), dtype=np.float32)
    return enlarged(grid, shape)


def soil(rng: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ground's relative brightness and its warmth, both (height, width) float32."""
    # The coarse grain is made at half size: nobody sees the difference, and it takes a quarter of the time.
    half = labels[::2, ::2]
    broad, warmth = noise(rng, (110, 150), half.shape), noise(rng, (60, 90), half.shape)
    mottle = noise(rng, (18, 24), half.shape) + 0.5 * noise(rng, (6, 7), half.shape)
    crests = -np.abs(noise(rng, (18, 50), half.shape) + 0.4 * noise(rng, (6, 9), half.shape))
    terrain = 3 * crests * np.clip(broad, 0, 1) + noise(rng, (4, 5), half.shape)
    relief = terrain - np.roll(terrain, (-1, -2), axis=(0, 1))
    coarse = sum(GRAIN[half, kind] * grain for kind, grain in enumerate((broad, mottle, relief)))
    coarse += 1 + 0.04 * noise(rng, (350, 450), half.shape)
    fine = GRAIN[labels, 3] * noise(rng, (3, 3), labels.shape)
    return enlarged(coarse, labels.shape) + fine, enlarged(warmth * (half == LAND), labels.shape)


def open_water(canvas: Canvas) -> tuple[Image.Image, np.ndarray]:
    """Return the colour that open water would have everywhere, and how wet shores are, (height, width) float32."""
    basin = canvas.basin.reduce(8)
    near, far = (np.asarray(basin.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255 for radius in (6, 24))
    depth = 0.55 * near + 0.45 * far
    currents = 0.05 * noise(canvas.rng, (40, 70), depth.shape) + 0.04 * noise(canvas.rng, (9, 16), depth.shape)
    bands = [np.interp(depth + currents, DEPTHS, band).astype(np.uint8) for band in zip(*DEPTH_COLORS, strict=True)]
    water = Image.merge("RGB", [Image.fromarray(band) for band in bands])
    wet = np.asarray(basin.filter(ImageFilter.GaussianBlur(2)), np.float32) / 255
    size = COLUMNS[-1], ROWS[-1]
    return water.resize(size, Image.Resampling.BICUBIC), enlarged(wet, size[::-1])


def haze(scenes: Sequence[int]) -> np.ndarray:
    """Return the share of haze in the air, (height, width) float32: much over `scenes`, little elsewhere."""
    y, x = np.linspace(0, 3, 121)[:, None], np.linspace(0, 3, 181)
    veils = [((x - (n - 1) % 3 - 0.5) / 0.55) ** 4 + ((y - (n - 1) // 3 - 0.5) / 0.55) ** 4 for n in scenes]
    share = 0.03 + 0.5 * np.sum([np.exp(-veil) for veil in veils], axis=0)
    return enlarged(share.astype(np.float32), (ROWS[-1], COLUMNS[-1]))


def photograph(canvas: Canvas, hazy: Sequence[int]) -> np.ndarray:
    """Light the canvas and take its picture, with haze over the scenes `hazy`: (height, width, 3) uint8."""
    labels = canvas.class_indices()
    water, wet = open_water(canvas)
    is_open = ImageChops.darker(canvas.basin, canvas.labels.point(lambda label: 255 * (label == WATER)))
    ground = np.asarray(Image.composite(water, canvas.albedo.reduce(2), is_open.reduce(2)))
    brightness, warmth = soil(canvas.rng, labels)
    brightness -= 0.1 * wet * (labels == LAND)
    # Houses stand too far apart to shade each other, and the parts of one house are to leave no shadow on each other.
    canvas.shadow.paste(0, mask=canvas.labels.point(lambda label: 255 * (label == BUILDING)))
    shade = np.asarray(canvas.shadow.reduce(2).filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255
    # Noise rides on the haze: a sensor adds it to dark pixels too.
    veil = haze(hazy) + 0.012 * canvas.rng.standard_normal(labels.shape, dtype=np.float32)
    bands = []
    for band, (sunlight, redness, white) in enumerate(((0.62, 0.015, 246), (0.58, 0.0, 240), (0.5, -0.03, 230))):
        light = ground[..., band] * brightness
        light *= (1 - sunlight * shade) * (1 + redness * warmth)
        light += veil * (white - light)
        bands.append(Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)))
    return np.asarray(Image.merge("RGB", bands).filter(ImageFilter.GaussianBlur(0.55)))


def render(tile: str, rng: np.random.Generator, hazy: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a tile.

    Args:
        tile: A key of `PAINTERS`.
        rng: Source of every chance.
        hazy: Scenes (1 to 9) that lie in bright haze.

    Returns:
        Image (height, width, 3) uint8, and class indices (height, width) uint8.
    """
    canvas = PAINTERS[tile](rng)
    return photograph(canvas, hazy), canvas.class_indices()
