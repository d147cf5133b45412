"""Layouts in which every image has a mask of its own: in folders side by side, or in one folder under another name."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from segmentation.data.layouts.found import Found, Pair
from segmentation.data.layouts.listing import Listing, is_picture, stem_of, suffix_of
from segmentation.data.layouts.names import (
    IMAGE_ENDINGS,
    MASK_ENDINGS,
    MASK_WORDS,
    SAME,
    SPLITS,
    Rule,
    learn,
    place,
    role,
    role_of_path,
    tiles_of,
    words,
)

DERIVED = frozenset(("instance", "instances", "color", "colors", "colour", "colours", "polygons", "depth", "trainids"))
"""Words of masks that say something else than the class, or say it twice."""


def images_and_masks(listing: Listing) -> list[Found]:
    """Folders called images and masks side by side, at any depth, with files of the same names."""
    pairs, unpaired = [], []
    for folder in listing.folders:
        parent, _, name = folder.rpartition("/")
        other = f"{parent}/masks" if parent else "masks"
        if name != "images" or other not in listing.folders or _below_another(parent):
            continue
        images, masks = (_by_stem(listing.folders[of], of) for of in (folder, other))
        for stem in images.keys() & masks.keys():
            pairs.append(Pair(images[stem][0], masks[stem][0], parent))
            unpaired += images[stem][1:] + masks[stem][1:]
        for files, others in ((images, masks), (masks, images)):
            unpaired += [path for stem in files.keys() - others.keys() for path in files[stem]]
    rule = "images and masks of the same name, in folders named images and masks side by side"
    nested = {pair.tile for pair in pairs} != {""}
    patterns = ["{tile}/" * nested + f"{kind}/{{stem}}.*" for kind in ("images", "masks")]
    return [Found(rule, tuple(pairs), tuple(unpaired), (), "masks", *patterns)] if pairs else []


def _below_another(folder: str) -> bool:
    """Tell whether a folder lies in one that holds images or masks itself."""
    return bool({"images", "masks"}.intersection(folder.split("/")))


def _by_stem(names: Sequence[str], folder: str) -> dict[str, list[str]]:
    """The paths of the image files of a folder by their names without endings."""
    files: dict[str, list[str]] = {}
    for name in names:
        if is_picture(name):
            files.setdefault(stem_of(name), []).append(f"{folder}/{name}" if folder else name)
    return files


def parallel_folders(listing: Listing) -> list[Found]:
    """Two folders of which one's name says that it holds masks, each above, below or beside the splits and tiles.

    Returns:
        One reading, or several where more than one kind of masks pairs with the same images.
    """
    partners = _partners(listing)
    families: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for images, masks in partners:
        families[_family(masks)].append((images, masks))
    readings: list[list[tuple[str, str]]] = []
    for folders in families.values():
        # Kinds of masks that share no images are parts of one set, whatever their folders are called.
        apart = next((r for r in readings if not {i for i, _ in r} & {i for i, _ in folders}), None)
        if apart is None:
            readings.append(list(folders))
        else:
            apart += folders
    found = [reading for folders in readings for reading in _pair_by_rules(listing, folders)]
    most = max((len(reading.pairs) for reading in found), default=0)
    return [reading for reading in found if 2 * len(reading.pairs) >= most]


def _partners(listing: Listing) -> list[tuple[str, str]]:
    """Return every folder of masks after the folder of its images."""
    roles = {folder: role_of_path(folder) for folder in listing.pictures}
    at: list[dict[str, list[str]]] = []
    for strictness in range(3):
        at.append(defaultdict(list))
        for folder, kind in roles.items():
            if kind != "mask":
                for key in {place(folder, "image", strictness), folder.lower()}:
                    at[-1][key].append(folder)
    partners = []
    for masks in (folder for folder, kind in roles.items() if kind == "mask"):
        labels = {stem_of(name) for name in listing.pictures[masks]}
        for strictness in (2, 1, 0):
            images = at[strictness].get(place(masks, "mask", strictness), [])
            counts = [_paired([stem_of(name) for name in listing.pictures[of]], labels) for of in images]
            if any(counts):
                # Of several kinds of images the one in natural colours.
                _, _, best = max(zip(counts, ("rgb" in words(of) for of in images), images, strict=True))
                partners.append((best, masks))
                break
    return partners


def _paired(images: Sequence[str], masks: set[str]) -> int:
    rules = learn([(images, masks)])
    return rules[0][1] if rules else 0


def _family(folder: str) -> tuple[str, ...]:
    """Return what kind of masks a folder's name tells, apart from part and split."""
    part = next(part for part in reversed(folder.split("/")) if role(part) == "mask")
    return tuple(word for word in words(part) if word not in SPLITS and not word.isdigit())


def _pair_by_rules(listing: Listing, folders: list[tuple[str, str]]) -> Iterator[Found]:
    """Yield how the files in pairs of folders pair; several where masks of several kinds lie in the same folders."""
    stems = {folder: [stem_of(name) for name in listing.pictures[folder]] for pair in folders for folder in pair}
    rules = _best(learn([(stems[one], stems[other]) for one, other in folders]))
    tiles = tiles_of([images for images, _ in folders])
    for rule in rules:
        pairs, unpaired = [], []
        for images, masks in folders:
            named = {stem_of(name): name for name in listing.pictures[masks]}
            used = set()
            for name in listing.pictures[images]:
                partner = named.get(rule.apply(stem_of(name)) or "")
                if partner is None or partner in used:
                    unpaired.append(f"{images}/{name}".lstrip("/"))
                    continue
                used.add(partner)
                pairs.append(Pair(f"{images}/{name}".lstrip("/"), f"{masks}/{partner}", tiles[images]))
            if len(rules) == 1:
                unpaired += [f"{masks}/{name}" for name in listing.pictures[masks] if name not in used]
        kinds = ["/".join(_common([folder[side] for folder in folders])) or "." for side in (0, 1)]
        words_ = f"images in {kinds[0]}/, each with the mask in {kinds[1]}/ {rule}"
        yield Found(words_, tuple(pairs), tuple(unpaired), (), "masks", *_patterns(folders, rule, pairs))


def _best(rules: list[tuple[Rule, int]]) -> list[Rule]:
    """Return the rules that pair nearly as many as the best one, without masks that say something else or twice."""
    most = max((count for _, count in rules), default=0)
    good = [rule for rule, count in rules if 10 * count >= 9 * most]
    plain = [rule for rule in good if not DERIVED.intersection(words(rule.mask))]
    return plain or good


def _common(folders: list[str]) -> list[str]:
    """Return the parts of some paths, a ``*`` for each in which they differ; empty if some are longer than others."""
    parts = [folder.split("/") for folder in folders]
    if len({len(of) for of in parts}) > 1:
        return ["**"]
    return [names[0] if len(set(names)) == 1 else "*" for names in zip(*parts, strict=True)]


def _patterns(folders: list[tuple[str, str]], rule: Rule, pairs: list[Pair]) -> tuple[str, str]:
    """Return the patterns of images and masks for ``dataset.toml``; empty if no simple ones say the same."""
    endings = [{suffix_of(path) for path in paths} for paths in zip(*((p.image, p.label) for p in pairs), strict=True)]
    patterns = []
    for side, said in ((0, rule.image), (1, rule.mask)):
        parts = _common(sorted({folder[side] for folder in folders}))
        if parts.count("*") > 1 or "**" in parts:
            return "", ""
        folder = "/".join("{tile}" if part == "*" else part for part in parts)
        ending = next(iter(endings[side])) if len(endings[side]) == 1 else ".*"
        stem = f"{said}{{stem}}" if rule.at_start else f"{{stem}}{said}"
        patterns.append(f"{folder}/{stem}{ending}".lstrip("/"))
    return patterns[0], patterns[1]


def one_folder(listing: Listing) -> list[Found]:
    """Images and masks in the same folder, told apart by a word in their names, or by their format."""
    groups = {folder: names for folder, names in listing.pictures.items() if len(names) > 1}
    stems = {folder: [stem_of(name) for name in names] for folder, names in groups.items()}
    rules = [(rule, n) for rule, n in learn([(of, of) for of in stems.values()], same=False) if _tells_mask(rule)]
    everything = sum(len(names) for names in groups.values())
    found = []
    for rule in _best(rules) or [SAME]:
        pairs, unpaired = [], []
        for folder, names in groups.items():
            of_folder = _within(names, rule)
            at = f"{folder}/".lstrip("/")
            pairs += [Pair(at + image, at + mask, folder) for image, mask in of_folder]
            used = {name for pair in of_folder for name in pair}
            unpaired += [f"{folder}/{name}".lstrip("/") for name in names if name not in used]
        if pairs and (4 * len(pairs) >= everything or len(unpaired) < len(pairs)):
            where = "/".join(_common(sorted({pair.tile for pair in pairs}))) or "."
            how = f"the mask {rule}" if rule != SAME else "a PNG mask of the same name"
            patterns = _patterns([(pair.tile, pair.tile) for pair in pairs], rule, pairs)
            words_ = f"images in {where}/, each beside {how}"
            found.append(Found(words_, tuple(pairs), tuple(unpaired), (), "masks", *patterns))
    return found


def _tells_mask(rule: Rule) -> bool:
    """Tell whether a rule says which of two names in one folder is the mask's."""
    image, mask = set(words(rule.image)), set(words(rule.mask))
    if image & (MASK_ENDINGS | MASK_WORDS):
        return False
    return bool(mask & (MASK_ENDINGS | MASK_WORDS)) or bool(image & IMAGE_ENDINGS and not mask & IMAGE_ENDINGS)


def _within(names: Sequence[str], rule: Rule) -> list[tuple[str, str]]:
    """Return the pairs of image and mask among a folder's files."""
    if rule == SAME:  # a.jpg and a.png
        photos = {stem_of(name): name for name in names if suffix_of(name) in (".jpg", ".jpeg")}
        masks = {stem_of(name): name for name in names if suffix_of(name) == ".png"}
        return [(photos[stem], masks[stem]) for stem in photos if stem in masks]
    named = {stem_of(name): name for name in names}
    pairs = ((name, named.get(rule.apply(stem_of(name)) or "")) for name in names)
    return [(image, mask) for image, mask in pairs if mask and mask != image]
