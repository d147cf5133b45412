"""Well-known data sets, known again by the names of their files and by what their masks hold."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from segmentation.data.encodings import Key
from segmentation.data.palette import VOID_COLOR, color_of_hex

LARGEST = 255
"""The value that is void in masks of values."""


class KnownSet(NamedTuple):
    """A data set that many people have.

    Args:
        name: What it is called.
        signature: A pattern that the lower-case path of an image or mask, after its folder's name, matches.
        classes: Names and colours to draw in, by what masks hold.
        void: What masks hold where nothing is labelled.
    """

    name: str
    signature: str
    classes: Mapping[Any, tuple[str, str]]
    void: tuple[Key, ...] = ()

    def fits(self, held: Iterable[Key], paths: Iterable[str]) -> bool:
        """Tell whether names and what masks hold both are this set's."""
        keys = set(held) - set(self.void)
        return bool(keys) and keys <= self.classes.keys() and any(re.search(self.signature, path) for path in paths)


def _by_color(classes: str) -> dict[Key, tuple[str, str]]:
    """Return classes by their colours from ``Name #rrggbb, …``."""
    entries = (entry.strip().rsplit(" ", 1) for entry in classes.split(","))
    return {color_of_hex(code): (name, code) for name, code in entries}


def _by_value(classes: str, first: int = 0) -> dict[Key, tuple[str, str]]:
    """Return classes by their values, which count from `first`, from ``Name #rrggbb, …``."""
    entries = (entry.strip().rsplit(" ", 1) for entry in classes.split(","))
    return {value: (name, code) for value, (name, code) in enumerate(entries, first)}


_BUILDINGS = {0: ("Not building", "#dddddd"), LARGEST: ("Building", "#cc3311")}
_ROADS = {0: ("Not road", "#dddddd"), LARGEST: ("Road", "#ee7733")}

_DRONE = (
    "Unlabeled #000000, Paved area #804080, Dirt #824c00, Grass #006600, Gravel #706757, Water #1c2aa8, "
    "Rocks #30291e, Pool #003259, Vegetation #6b8e23, Roof #464646, Wall #66669c, Window #fee40c, Door #fe940c, "
    "Fence #be9999, Fence pole #999999, Person #ff1660, Dog #663300, Car #098f96, Bicycle #770b20, Tree #333300, "
    "Bald tree #befabe, AR marker #709692, Obstacle #028773, Conflicting #ff0000"
)
_ISAID = (
    "Background #000000, Ship #00003f, Storage tank #003f3f, Baseball diamond #003f00, Tennis court #003f7f, "
    "Basketball court #003fbf, Ground track field #003fff, Bridge #007f3f, Large vehicle #007f7f, "
    "Small vehicle #00007f, Helicopter #0000bf, Swimming pool #0000ff, Roundabout #00bf7f, "
    "Soccer ball field #007fbf, Plane #007fff, Harbor #00649b"
)

KNOWN = (
    KnownSet(
        "DeepGlobe land cover",
        r"_(sat|mask)\.",
        _by_color(
            "Urban #00ffff, Agriculture #ffff00, Rangeland #ff00ff, Forest #00ff00, Water #0000ff, Barren #ffffff"
        ),
        (VOID_COLOR,),
    ),
    KnownSet(
        "LoveDA",
        r"(rural|urban)/(images|masks)_png/|loveda",
        _by_value(
            "Background #ffffff, Building #ff0000, Road #ffff00, Water #0000ff, Barren #9f81b7, Forest #00ff00, "
            "Agriculture #ffc380",
            1,
        ),
        (0, LARGEST),
    ),
    KnownSet(
        "ISPRS Potsdam and Vaihingen",
        r"top_potsdam|top_mosaic|potsdam|vaihingen",
        _by_color(
            "Impervious surface #ffffff, Building #0000ff, Low vegetation #00ffff, Tree #00ff00, Car #ffff00, "
            "Clutter #ff0000"
        ),
        (VOID_COLOR,),
    ),
    KnownSet(
        "LandCover.ai",
        r"(^|/)[mn]-\d|landcover\.?ai",
        _by_value("Background #bbbbbb, Building #ee3377, Woodland #117733, Water #0077bb, Road #222222"),
    ),
    KnownSet(
        "FloodNet",
        r"(train|val|test)-(org|label)-img/|floodnet",
        _by_value(
            "Background #444444, Flooded building #ff0000, Building #b47878, Flooded road #a09614, Road #8c8c8c, "
            "Water #3de6fa, Tree #0052ff, Vehicle #ff00f5, Pool #ffeb00, Grass #04fa07"
        ),
    ),
    KnownSet(
        "UAVid",
        r"uavid|seq\d+/(images|labels)/",
        _by_color(
            "Building #800000, Road #804080, Static car #c000c0, Tree #008000, Low vegetation #808000, Human #404000, "
            "Moving car #400080, Background clutter #000000"
        ),
    ),
    KnownSet(
        "OpenEarthMap",
        r"openearthmap|oem",
        _by_value(
            "Bareland #800000, Rangeland #00ff24, Developed space #949494, Road #ffffff, Tree #226126, Water #0045ff, "
            "Agriculture land #4bb549, Building #de1f07",
            1,
        ),
        (0, LARGEST),
    ),
    KnownSet("Inria buildings", r"aerialimagedataset/|inria|/gt/(austin|chicago|kitsap|tyrol-w|vienna)\d", _BUILDINGS),
    KnownSet("Massachusetts buildings", r"massachusetts.*building", _BUILDINGS),
    KnownSet("Massachusetts roads", r"massachusetts.*road", _ROADS),
    KnownSet("Semantic Drone", r"label_images_semantic/|semantic_drone", _by_value(_DRONE)),
    KnownSet("Semantic Drone", r"rgb_color_image_masks/|semantic_drone", _by_color(_DRONE)),
    KnownSet("iSAID", r"_instance_color_rgb|isaid", _by_color(_ISAID)),
    KnownSet("iSAID", r"isaid", _by_value(_ISAID), (LARGEST,)),
    KnownSet(
        "GID",
        r"(^|/)gid|label_5classes",
        _by_color("Built-up #ff0000, Farmland #00ff00, Forest #00ffff, Meadow #ffff00, Water #0000ff"),
        (VOID_COLOR,),
    ),
    KnownSet(
        "GID-15",
        r"(^|/)gid|label_15classes",
        _by_color(
            "Industrial land #c80000, Urban residential #fa0096, Rural residential #c89696, Traffic land #fa9696, "
            "Paddy field #00c800, Irrigated land #96fa00, Dry cropland #96c896, Garden plot #c800c8, "
            "Arbor woodland #9600fa, Shrub land #9696fa, Natural grassland #fac800, Artificial grassland #c8c800, "
            "River #0000c8, Lake #0096c8, Pond #00c8fa"
        ),
        (VOID_COLOR,),
    ),
)
"""Tried in this order; names of classes and their colours are the publishers'."""


def known_set(held: Iterable[Key], paths: Iterable[str]) -> KnownSet | None:
    """Return the well-known set whose names and whose masks' colours or values both are these; None if none's are.

    Args:
        held: The colours or values that masks hold.
        paths: Some paths of images and masks, after the name of the data set's folder, in lower case.
    """
    held, paths = list(held), list(paths)
    return next((known for known in KNOWN if known.fits(held, paths)), None)
