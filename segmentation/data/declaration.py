"""``dataset.toml``: what a data set's owner says of it, in place of what would be guessed."""

import hashlib
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import TypeVar, cast

from segmentation.data.classes import Meaning, distinct_colors
from segmentation.data.drawing import BACKGROUND, Outlines
from segmentation.data.encodings import Encoding, Key
from segmentation.data.layouts.found import Found, Kind, Pair
from segmentation.data.layouts.listing import Listing, suffix_of
from segmentation.data.layouts.names import tiles_of
from segmentation.data.layouts.splits import named_in
from segmentation.data.locate import cache_folder
from segmentation.data.palette import VOID, Color, Palette
from segmentation.data.remembered import until_changed
from segmentation.data.stretch import MOST_BANDS, can_be_shown
from segmentation.data.vectors import SUFFIXES as VECTOR_SUFFIXES
from segmentation.errors import DeclarationError, ImageFileError, PaletteError

DECLARATION = "dataset.toml"
"""The file in a data set's root."""

MOST_BYTES = 1 << 20
"""A larger one is refused."""

KNOWN = frozenset(
    (
        "images",
        "masks",
        "nearest",
        "palette_numbers",
        "attribute",
        "bands",
        "show_bands",
        "stretch",
        "splits",
        "classes",
    )
)
"""What it may say."""

KNOWN_OF_CLASS = frozenset(("name", "value", "color", "show", "ignore", "merge"))
"""What it may say of a class."""

_PLACES = {"{split}": r"(?P<split>[^/]+)", "{tile}": r"(?P<tile>.+)", "{stem}": r"(?P<stem>[^/]+)", "*": r"[^/]*"}

Said = TypeVar("Said")

MOST_PLACES = 8
"""Placeholders and stars in a pattern."""


@dataclass(frozen=True)
class DeclaredClass:
    """What ``dataset.toml`` says of a class.

    Args:
        name: Its name.
        keys: The values or colours that say it in masks; of outlines, what the file calls it.
        show: The colour to draw it in; by default that of the masks, or one of ours.
        ignore: Whether its pixels are void.
        merge: The name of the class that its pixels are of instead; empty for its own.
    """

    name: str
    keys: tuple[Key | str, ...]
    show: tuple[int, int, int] | None = None
    ignore: bool = False
    merge: str = ""


@dataclass(frozen=True)
class Declaration:
    """What ``dataset.toml`` says; what it leaves out is found as if it were not there.

    Args:
        images: Pattern of the images' paths; empty if it does not say.
        masks: Pattern of the masks' paths likewise.
        classes: The classes.
        nearest: Whether colours or values of no class count as the nearest class's.
        palette_numbers: Whether the numbers in palette files are the values.
        attribute: Of a vector file: which one names the class.
        bands: The bands to train on, counted from 1.
        shown: Those of them that are shown as red, green and blue, or as grey.
        stretch: What becomes 0 and 255 in each of the bands.
        splits: For each split the lists of names, or the names; they may hold ``*``.
    """

    images: str = ""
    masks: str = ""
    classes: tuple[DeclaredClass, ...] = ()
    nearest: bool = False
    palette_numbers: bool = False
    attribute: str = ""
    bands: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()
    stretch: tuple[tuple[float, float], ...] = ()
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def pairing(self) -> "Declaration":
        """What of it decides which image belongs to which mask, and to which split."""
        return Declaration(self.images, self.masks, splits=self.splits)

    def find(self, listing: Listing) -> Found | None:
        """Return the scenes of its patterns; None if it has none.

        Raises:
            DeclarationError: If no scene fits them.
        """
        if not (self.images and self.masks):
            return None
        images = _matching(listing, self.images)
        if "{" not in self.masks:  # one file of outlines for all
            masks = dict.fromkeys(images, self.masks) if self.masks in listing.others(suffix_of(self.masks)) else {}
        else:
            masks = _matching(listing, self.masks)
        both = [(path, masks[key], *key[1::-1]) for key, path in images.items() if key in masks]
        tiles = tiles_of(list({path.rpartition("/")[0] for path, *_ in both}))
        pairs = [Pair(path, mask, tile or tiles[path.rpartition("/")[0]], split) for path, mask, tile, split in both]
        if not pairs:
            raise DeclarationError(
                f"{DECLARATION}: {len(images):,} images fit {self.images!r}, {len(masks):,} masks {self.masks!r}, but "
                "no two of them have the same split, tile and stem: correct the patterns."
            )
        unpaired = [images[key] for key in images.keys() - masks.keys()]
        unpaired += [masks[key] for key in masks.keys() - images.keys()]
        ending = suffix_of(self.masks)
        kind: Kind = "vectors" if ending in VECTOR_SUFFIXES else "coco" if ending == ".json" else "masks"
        rule = f"images {self.images} with masks {self.masks}, as {DECLARATION} says"
        return Found(rule, tuple(pairs), tuple(unpaired), (), kind, self.images, self.masks)

    def with_splits(self, listing: Listing, found: Found) -> Found:
        """Return what was found with the splits that it says; unchanged if it says none."""
        if not self.splits:
            return found
        named = [(split, _expanded(listing, names)) for split, names in self.splits]

        def split_of(pair: Pair) -> str:
            path = pair.image
            forms = (path, path.rpartition(".")[0], path.rpartition("/")[2], Path(path).stem)
            fits = (any(fnmatchcase(form, name) for form, name in product(forms, stars)) for _, (_, stars) in named)
            plain = (not names.isdisjoint(forms) for _, (names, _) in named)
            return next((split for (split, _), yes in zip(named, map(max, plain, fits), strict=True) if yes), "")

        pairs = tuple(pair._replace(split=split_of(pair)) for pair in found.pairs)
        return replace(found, rule=f"{found.rule}; splits by {DECLARATION}", pairs=pairs)

    def meaning(self, guess: Meaning) -> Meaning:
        """Return what masks mean, by its classes or else by what was guessed.

        Args:
            guess: What masks mean without it.

        Raises:
            DeclarationError: If its classes contradict each other.
        """
        encoding = guess.encoding
        if not self.classes:
            if self.nearest and isinstance(encoding, Encoding):
                return guess._replace(encoding=replace(encoding, nearest=True))
            return guess
        kept = [of for of in self.classes if not of.ignore and not of.merge]
        place = {of.name: index for index, of in enumerate(kept)}
        unknown = next((of.merge for of in self.classes if of.merge and of.merge not in place), None)
        if unknown:
            raise DeclarationError(f"{DECLARATION}: no class is called {unknown!r}, into which another is merged.")
        keys = [(key, place[of.merge or of.name]) for of in self.classes if not of.ignore for key in of.keys]
        said, classes = tuple(key for key, _ in keys), tuple(index for _, index in keys)
        if len(set(said)) < len(said):
            raise DeclarationError(f"{DECLARATION}: two classes share a value or a colour: each needs its own.")
        free = iter(distinct_colors(len(kept) + 3 * VOID))
        colors: list[tuple[int, int, int]] = []
        for of in kept:
            own = of.show or next((key for key in of.keys if isinstance(key, tuple)), None)
            colors.append(own or next(color for color in free if color not in colors))
        try:
            palette = Palette(tuple(of.name for of in kept), tuple(colors))
        except PaletteError as error:
            raise DeclarationError(f"{DECLARATION}: {error}") from error
        words = f"{guess.words.split(',')[0].split(';')[0]}, named in {DECLARATION}"
        if isinstance(encoding, Outlines):
            values = tuple(key for key in said if not isinstance(key, tuple))
            # Files that were written before the background had a name call it 0.
            background = encoding.background and (BACKGROUND in values or (0 in values and len(values) > 1))
            outlines = Outlines(encoding.kind, values, classes, self.attribute or encoding.attribute, background)
            return Meaning(outlines, palette, words)
        if self.nearest:  # what is nearest to an ignored class is ignored, too
            ignored = [key for of in self.classes if of.ignore for key in of.keys if key not in said]
            said, classes = (*said, *ignored), classes + (VOID,) * len(ignored)
        keyed = tuple(key for key in said if not isinstance(key, str))
        kinds = {isinstance(key, tuple) for key in keyed}
        if len(kinds) > 1 or len(keyed) < len(said):
            raise DeclarationError(f"{DECLARATION}: give every class a value, or every class a color.")
        words = f"{'colours' if True in kinds else 'values'}, named in {DECLARATION}"
        return Meaning(
            Encoding("color" if True in kinds else "value", keyed, classes, self.nearest, self.palette_numbers),
            palette,
            words,
        )


def own_declaration(root: Path) -> Path:
    """Return where what a ``dataset.toml`` would say is kept for a data set in whose folder nobody may write."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()
    return cache_folder() / "declarations" / f"{digest}.toml"


def declaration_file(root: Path) -> Path | None:
    """Return the ``dataset.toml`` in a data set's root, else the one that is kept for it; None if there is neither."""
    return next((path for path in (root / DECLARATION, own_declaration(root)) if path.is_file()), None)


def read_declaration(root: Path) -> Declaration:
    """Return what a data set's `declaration_file` says; an empty one if there is none.

    Raises:
        DeclarationError: If it cannot be read, or says what cannot be.
    """
    path = declaration_file(root)
    try:
        return _read(path) if path else Declaration()
    except ImageFileError:  # it has just gone
        return Declaration()


@until_changed(8)
def _read(path: Path) -> Declaration:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DeclarationError(f"{DECLARATION} has more than {MOST_BYTES >> 20} MB: shorten it.")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise DeclarationError(f"{DECLARATION} cannot be read ({error}): correct it.") from error
    _check_keys(content, KNOWN, "")
    try:
        return Declaration(
            images=checked_pattern(_kind(content, "images", str, ""), "images"),
            masks=checked_pattern(_kind(content, "masks", str, ""), "masks"),
            classes=tuple(_class(of) for of in content.get("classes", ())),
            nearest=_kind(content, "nearest", bool, False),
            palette_numbers=_kind(content, "palette_numbers", bool, False),
            attribute=_kind(content, "attribute", str, ""),
            bands=_bands(content.get("bands", ())),
            shown=_shown(content.get("show_bands", ()), content.get("bands", ())),
            stretch=_limits(content.get("stretch", ()), len(content.get("bands", ()))),
            splits=tuple(
                (split, (names,) if isinstance(names, str) else tuple(map(str, names)))
                for split, names in content.get("splits", {}).items()
            ),
        )
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise DeclarationError(f"{DECLARATION} says something of the wrong kind ({error}): correct it.") from error


def _check_keys(content: dict, known: frozenset[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise DeclarationError(
                f"{DECLARATION}{where} says {key!r}, which means nothing here: {', '.join(sorted(known))}."
            )


def _kind(content: dict, key: str, kind: type[Said], default: Said | None = None) -> Said:
    value = content.get(key, default)
    if not isinstance(value, kind):
        raise TypeError(f"{key} = {value!r}")
    return value


def checked_pattern(pattern: str, key: str) -> str:
    """Return a pattern as it is compared with paths.

    Args:
        pattern: As somebody has written it.
        key: Whose it is, images or masks.

    Raises:
        DeclarationError: If it has more placeholders than can be tried in bounded time.
    """
    if sum(pattern.count(place) for place in _PLACES) > MOST_PLACES:
        raise DeclarationError(f"{DECLARATION}: {key} has more than {MOST_PLACES} placeholders: use fewer.")
    return pattern.removeprefix("./")


def _bands(bands: Sequence[int]) -> tuple[int, ...]:
    if len(bands) > MOST_BANDS or not all(type(band) is int and 0 < band < 1 << 16 for band in bands):
        raise ValueError(f"bands = {bands!r}: 1 to {MOST_BANDS} of them, counted from 1")
    return tuple(bands)


def _shown(shown: Sequence[int], bands: Sequence[int]) -> tuple[int, ...]:
    if not can_be_shown(shown, bands):
        raise ValueError(f"show_bands = {shown!r}: three of bands, or one")
    return tuple(shown)


def _limits(limits: Sequence[Sequence[float]], bands: int) -> tuple[tuple[float, float], ...]:
    told = tuple((float(low), float(high)) for low, high in limits)
    if told and (len(told) not in ((bands,) if bands else (1, 3)) or not all(low < high for low, high in told)):
        raise ValueError(f"stretch = {limits!r}: a lower and a higher value for each band")
    return told


def _class(of: dict) -> DeclaredClass:
    _check_keys(of, KNOWN_OF_CLASS, ", a class,")
    told = of.get("value", of.get("color", ()))
    several = told if isinstance(told, list) and not ("color" in of and told and isinstance(told[0], int)) else [told]
    keys = tuple(_color(key) if "color" in of else key for key in several if key != ())
    if not all(isinstance(key, tuple | str) or (type(key) is int and 0 <= key < 65_535) for key in keys):
        raise ValueError(f"value = {told!r}: whole numbers from 0 to 65,534")
    show = _color(of["show"]) if "show" in of else None
    name = _kind(of, "name", str)
    return DeclaredClass(name, keys, show, _kind(of, "ignore", bool, False), _kind(of, "merge", str, ""))


def _color(color: object) -> tuple[int, int, int]:
    """Return ``"#ff0000"`` or ``[255, 0, 0]`` as three channels."""
    channels = tuple(bytes.fromhex(color.removeprefix("#")) if isinstance(color, str) else cast("Sequence", color))
    if len(channels) != 3 or not all(type(channel) is int and 0 <= channel <= 255 for channel in channels):
        raise ValueError(f"color = {color!r}: such as #ff0000")
    return cast("Color", channels)


def _matching(listing: Listing, pattern: str) -> dict[tuple[str, str, str], str]:
    """Return the paths that fit a pattern, by split, tile and stem; of two with the same the first."""
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{split\}|\{tile\}|\{stem\}|\*)", pattern):
        again = part.startswith("{") and part in seen
        parts.append(f"(?P={part[1:-1]})" if again else _PLACES.get(part, re.escape(part)))
        seen.add(part)
    fits = re.compile("".join(parts)).fullmatch
    found: dict[tuple[str, str, str], str] = {}
    for folder, names in listing.folders.items():
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if match := fits(path):
                of = match.groupdict()
                found.setdefault((of.get("split", ""), of.get("tile", ""), of.get("stem", "")), path)
    return found


def _expanded(listing: Listing, names: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return names, those in lists among them, and patterns with a star."""
    plain: set[str] = set()
    for name in names:
        plain.update(named_in(listing.root / name) if name in set(listing.others(".txt", ".csv")) else {name})
    return plain, [name for name in names if "*" in name]
