"""What names say: which folders hold images and which masks, which names are splits, and how two files' names pair."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple

MASK_WORDS = frozenset(
    (
        *(
            "mask",
            "masks",
            "label",
            "labels",
            "labelled",
            "labeled",
            "lbl",
            "lbls",
            "ann",
            "anns",
            "anno",
            "annos",
            "annot",
        ),
        *("annotation", "annotations", "trainannot", "valannot", "testannot", "gt", "gts", "groundtruth", "truth"),
        *("target", "targets", "seg", "segs", "labelmap", "labelmaps"),
    )
)
"""Words in the name of a folder that holds masks."""

MASK_NAMES = frozenset(("segmentation", "segmentations", "segmentationclass", "segmentationclassraw"))
"""Whole names, without what is no letter, of folders that hold masks."""

IMAGE_WORDS = frozenset(
    (
        *("image", "images", "img", "imgs", "jpegimages", "jpeg", "org", "orig", "original", "rgb", "sat", "satellite"),
        *("top", "ortho", "orthos", "tif", "tiff", "photo", "photos", "picture", "pictures", "src", "source", "input"),
        *("inputs", "data", "raw", "irrg", "nrg"),
    )
)
"""Words in the name of a folder that holds images."""

NEUTRAL_WORDS = frozenset(
    (
        *(
            "png",
            "jpg",
            "dir",
            "all",
            "color",
            "colour",
            "colors",
            "colours",
            "semantic",
            "for",
            "participants",
            "class",
        ),
        *("classes", "bit", "of", "id", "ids", "indexed", "index", "full", "complete", "reference", "left", "fine"),
    )
)
"""Words beside those that tell one kind of masks from another, but not one part of a set from another."""

MASK_ENDINGS = frozenset(("mask", "masks", "label", "labels", "lab", "l", "gt", "seg", "annotation", "color", "truth"))
"""Words that end a mask's name where masks and images lie in one folder."""

IMAGE_ENDINGS = frozenset(("sat", "rgb", "image", "img", "im", "raw", "ortho", "orig", "tile", "photo", "input"))
"""Likewise an image's."""

SPLITS: dict[str, Literal["train", "validation", "test"]] = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "ts", "tst"), "test"),
}
"""What a word in a name says of the split."""

SAMPLED, TRIED = 64, 8
"""Names that a rule is learned from, and rules that are tried on all names."""

_TOKENS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^A-Za-z\d]+|[^\W\d_]+")


def words(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: ``imagesTr`` are ``images`` and ``tr``."""
    return [token.lower() for token in _TOKENS.findall(name) if token[0].isalnum()]


def role(name: str) -> Literal["mask", "image", None]:
    """Tell what a folder of this name holds; None if its name does not say."""
    parts = words(name)
    if MASK_WORDS.intersection(parts) or "".join(parts) in MASK_NAMES or parts[:2] == ["ground", "truth"]:
        return "mask"
    return "image" if IMAGE_WORDS.intersection(parts) else None


def role_of_path(folder: str) -> Literal["mask", "image", None]:
    """Tell what a folder holds by the deepest part of its path that says so."""
    return next(filter(None, map(role, reversed(folder.split("/")))), None)


def place(folder: str, kind: Literal["mask", "image"], strictness: int) -> str:
    """Return the path of a folder without what says that it holds images or masks: the same for both of a pair.

    Args:
        folder: Its path.
        kind: What it holds.
        strictness: 2 keeps every other word and number beside the one that says it, 1 only those that tell parts of a
            set apart, 0 none.
    """
    parts = folder.split("/")
    deepest = max((index for index, part in enumerate(parts) if role(part) == kind), default=None)
    kept = []
    for index, part in enumerate(parts):
        if index == deepest or (deepest is not None and part == parts[deepest]):
            left = [word for word in words(part) if word not in MASK_WORDS | IMAGE_WORDS]
            if "".join(words(part)) in MASK_NAMES or strictness == 0:
                left = []
            elif strictness == 1:
                left = [word for word in left if word not in NEUTRAL_WORDS and not word.isdigit()]
            kept.append("_".join(left))
        else:
            kept.append(part.lower())
    return "/".join(filter(None, kept))


def split_of(folder: str) -> str:
    """Return the part of a path that names a split, as it is written; empty if none does."""
    for part in reversed(folder.split("/")):
        for token in _TOKENS.findall(part):
            if token.lower() in SPLITS and (len(token) > 2 or role(part)):
                return token
    return ""


def tiles_of(folders: list[str]) -> dict[str, str]:
    """Return the tile of each folder of images: its path without the part that says what it holds, where that does."""
    tiles = {}
    for folder in folders:
        parts = folder.split("/")
        here = max((index for index, part in enumerate(parts) if role(part) == "image"), default=None)
        tiles[folder] = "/".join(part for index, part in enumerate(parts) if index != here)
    return tiles if len(set(tiles.values())) == len(set(folders)) else {folder: folder for folder in folders}


class Rule(NamedTuple):
    """How the name of a mask follows from its image's, both without their endings: by another word in one place.

    Args:
        image: What the image's name has there; may be empty.
        mask: What the mask's name has there; may be empty.
        at_start: Whether they stand at the beginning; otherwise at the last place.
    """

    image: str = ""
    mask: str = ""
    at_start: bool = False

    def apply(self, stem: str) -> str | None:
        """Return the mask's name for an image's; None if the image's name does not follow the rule."""
        if not self.image:
            return self.mask + stem if self.at_start else stem + self.mask
        if self.at_start:
            return self.mask + stem[len(self.image) :] if stem.startswith(self.image) else None
        before, found, after = stem.rpartition(self.image)
        return f"{before}{self.mask}{after}" if found else None

    def key(self, stem: str) -> str:
        """Return what an image's and its mask's name share."""
        before, found, after = (
            ("", self.image, stem[len(self.image) :]) if self.at_start else stem.rpartition(self.image)
        )
        return (f"{before.rstrip('_-. ')}{after}" if self.image and found else stem) or stem

    def __str__(self) -> str:
        if not self.image and not self.mask:
            return "of the same name"
        here = "before" if self.at_start else "after"
        if not self.image:
            return f"whose name has {self.mask} {here} the image's"
        if not self.mask:
            return f"whose name lacks the image's {self.image}"
        return f"whose name has {self.mask} where the image's has {self.image}"


SAME = Rule()


def candidates(images: Iterable[str], masks: Collection[str]) -> list[Rule]:
    """Return the rules by which some images' names become masks' names, the most frequent first.

    Rules that only turn one number into another are left out: those pair one scene's image with another's.
    """
    found: Counter[Rule] = Counter()
    for backwards in (False, True):
        ordered = sorted(mask[::-1] if backwards else mask for mask in masks)
        for stem in images:
            here = bisect_left(ordered, stem[::-1] if backwards else stem)
            for other in ordered[max(0, here - 2) : here + 4]:
                rule = _difference(stem, other[::-1] if backwards else other)
                if rule and rule.apply(stem) == (other[::-1] if backwards else other):
                    found[rule] += 1
    return [rule for rule, _ in found.most_common(TRIED)]


def _difference(image: str, mask: str) -> Rule | None:
    """Return the rule of one pair: what differs between the parts that both names begin and end with."""
    one, other = _TOKENS.findall(image), _TOKENS.findall(mask)
    if image == mask or "".join(one) != image or "".join(other) != mask:
        return SAME if image == mask else None
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    if start and not end and not one[start - 1].isalnum() and len(one) > start and len(other) > start:
        start -= 1  # the mark between the words is part of what differs: _sat and _mask
    here, there = "".join(one[start : len(one) - end]), "".join(other[start : len(other) - end])
    said = re.search(r"[^\W\d_]", here + there) or (
        not there and re.fullmatch(r"_0+", here)
    )  # _0000: the first channel
    if not said or not (start or end) or (start and end and not here):
        return None
    return Rule(here, there, at_start=not start)


def spread(items: list, most: int = SAMPLED) -> list:
    """Return at most so many of some items, evenly spread."""
    return items[:: max(1, -(-len(items) // most))]


def learn(groups: Sequence[tuple[Collection[str], Collection[str]]], same: bool = True) -> list[tuple[Rule, int]]:
    """Return the rules that pair images with masks, each with how many it pairs, the one that pairs most first.

    Args:
        groups: Names of images and of masks, both without endings, that may pair with each other.
        same: Whether an image's and its mask's name may be the same.
    """
    sets = [(images, frozenset(masks)) for images, masks in groups]
    alike = same * sum(len(masks.intersection(images)) for images, masks in sets)
    if alike * 2 > min(sum(len(images) for images, _ in sets), sum(len(masks) for _, masks in sets)):
        return [(SAME, alike)]
    found: Counter[Rule] = Counter({SAME: 1}) if alike else Counter()
    for images, masks in spread(sets):
        for rule in candidates(spread(sorted(images)), masks):
            found[rule] += 1
    counted = [
        (rule, sum(rule.apply(stem) in masks for images, masks in sets for stem in images))
        for rule, _ in found.most_common(TRIED)
    ]
    return sorted((entry for entry in counted if entry[1]), key=lambda entry: -entry[1])
