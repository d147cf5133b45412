"""Which split each scene is in, as the data set says: by its folders, or by lists of names."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from segmentation.data.layouts.found import Found
from segmentation.data.layouts.listing import Listing, stem_of
from segmentation.data.layouts.names import SPLITS, split_of, words

MOST_BYTES = 1 << 24
"""A longer list of names is not read."""


def with_splits(listing: Listing, found: Found) -> Found:
    """Return what was found with the splits that folders, or else lists of names, give; unchanged if none do."""
    if any(pair.split for pair in found.pairs):
        return found
    of_folder = {tile: split_of(tile) for tile in {pair.image.rpartition("/")[0] for pair in found.pairs}}
    if len(set(of_folder.values()) - {""}) > 1:
        pairs = tuple(pair._replace(split=of_folder[pair.image.rpartition("/")[0]]) for pair in found.pairs)
        return replace(found, rule=f"{found.rule}; splits by folders", pairs=pairs)
    for lists in _lists(listing):
        of_name: dict[str, str] = {}
        for split, path in lists.items():
            for name in named_in(listing.root / path):
                of_name[name] = split if of_name.get(name, split) == split else ""
        splits = [_look_up(of_name, pair.image) for pair in found.pairs]
        if 2 * sum(map(bool, splits)) >= len(found.pairs) and len(set(splits) - {""}) > 1:
            pairs = tuple(pair._replace(split=split) for pair, split in zip(found.pairs, splits, strict=True))
            return replace(found, rule=f"{found.rule}; splits by {', '.join(sorted(lists.values()))}", pairs=pairs)
    return found


def _lists(listing: Listing) -> list[dict[str, str]]:
    """Return for every folder of lists their paths by the splits that their names say."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for path in listing.others(".txt"):
        folder, _, name = path.rpartition("/")
        said = [word for word in words(stem_of(name)) if word in SPLITS]
        if len(said) == 1:
            folders[folder].setdefault(said[0], path)
    several = [lists for lists in folders.values() if len(lists) > 1]
    return sorted(several, key=lambda lists: "segmentation" not in next(iter(lists.values())).lower())


def named_in(path: Path) -> list[str]:
    """Return what each line of a list may name: all of it, its first word, and the file that a path ends in."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError):
        return []
    if len(text) > MOST_BYTES:
        return []
    lines = [line.strip().strip("\"'") for line in text.splitlines()]
    firsts = [line.replace(",", " ").split()[0].removeprefix("./") for line in lines if line.strip(" ,")]
    return [*lines, *firsts, *(first.rpartition("/")[2] for first in firsts)]  # paths of another machine


def _look_up(of_name: dict[str, str], image: str) -> str:
    """Return the split of an image that is listed by its path, its name or its stem; empty if it is not."""
    name = image.rpartition("/")[2]
    known = (image, stem_of(image), name, stem_of(name))
    return next((of_name[key] for key in known if of_name.get(key)), "")
