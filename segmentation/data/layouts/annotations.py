"""Layouts whose labels are outlines in files of their own: COCO's JSON, and vector files over georeferenced images."""

from contextlib import suppress
from pathlib import PurePosixPath

from segmentation.data.coco import read_coco
from segmentation.data.layouts.found import Found, Pair
from segmentation.data.layouts.listing import Listing, stem_of, suffix_of
from segmentation.data.layouts.names import SPLITS, learn, tiles_of, words
from segmentation.data.vectors import SUFFIXES
from segmentation.errors import ImageFileError

COCO_NAMES = ("coco", "instances", "annotations")
"""Words in the name of a file of annotations."""


def coco_files(listing: Listing) -> list[Found]:
    """A JSON file of objects for many images: ``instances_train.json``, ``_annotations.coco.json``."""
    by_name: dict[str, list[str]] = {}
    for folder, names in listing.pictures.items():
        for name in names:
            by_name.setdefault(name, []).append(f"{folder}/{name}".lstrip("/"))
    tiles = tiles_of(list(listing.pictures))
    pairs: dict[str, Pair] = {}
    files = []
    for file in listing.others(".json"):
        if not set(COCO_NAMES).intersection(words(file.rpartition("/")[2])):
            continue
        with suppress(ImageFileError):  # JSON of another kind
            coco = read_coco(listing.root / file)
            files.append(file)
            split = next((word for word in reversed(words(stem_of(file))) if word in SPLITS), "")
            for image in coco.images:
                if path := _lies_at(image, by_name.get(PurePosixPath(image).name, []), file):
                    pairs.setdefault(path, Pair(path, file, tiles[path.rpartition("/")[0]], split))
    if len({pair.split for pair in pairs.values()} - {""}) < 2:
        pairs = {path: pair._replace(split="") for path, pair in pairs.items()}
    unpaired = [path for paths in by_name.values() for path in paths if path not in pairs]
    rule = f"images with the objects of {', '.join(files[:4])}{' …' if len(files) > 4 else ''}"
    return [Found(rule, tuple(pairs.values()), tuple(unpaired), (), "coco", "", ", ".join(files))] if pairs else []


def _lies_at(name: str, paths: list[str], file: str) -> str | None:
    """Return which of some paths an image of a file of annotations is at: the one that ends so and lies nearest."""
    folder = file.rpartition("/")[0]
    ends = [path for path in paths if f"/{path}".endswith(f"/{name}")] or paths
    return max(ends, key=lambda path: (path.startswith(f"{folder}/"), -len(path)), default=None)


def vector_files(listing: Listing) -> list[Found]:
    """Polygons over georeferenced images: one file for all of them, or one for each."""
    images = [f"{folder}/{name}".lstrip("/") for folder, names in listing.pictures.items() for name in names]
    images = [path for path in images if suffix_of(path) in (".tif", ".tiff")]
    files = list(listing.others(*SUFFIXES))
    if not images or not files:
        return []
    tiles = tiles_of(list(listing.pictures))
    if len(files) == 1:
        pairs = [Pair(path, files[0], tiles[path.rpartition("/")[0]]) for path in images]
        return [Found(f"images under the polygons of {files[0]}", tuple(pairs), (), (), "vectors", "", files[0])]
    by_stem = {stem_of(file.rpartition("/")[2]): file for file in files}
    rules = learn([([stem_of(path.rpartition("/")[2]) for path in images], by_stem)])
    if not rules:
        return []
    (rule, _), *_ = rules
    partners = {path: by_stem.get(rule.apply(stem_of(path.rpartition("/")[2])) or "") for path in images}
    pairs = [Pair(path, file, tiles[path.rpartition("/")[0]]) for path, file in partners.items() if file]
    unpaired = [path for path, file in partners.items() if not file]
    return [Found(f"images, each under the polygons of the file {rule}", tuple(pairs), tuple(unpaired), (), "vectors")]
