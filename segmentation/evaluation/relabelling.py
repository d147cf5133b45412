"""Regions whose labels are taken for wrong: what a run's scores would be, and the masks with these put right."""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from segmentation.data.encodings import Encoding, resized
from segmentation.data.images import decode, read_size
from segmentation.data.palette import VOID, Palette
from segmentation.data.scenes import Dataset, Scene
from segmentation.errors import DatasetNotFoundError, ImageFileError, RunError
from segmentation.evaluation.label_audit import Suspects
from segmentation.files import replacing
from segmentation.runs.run import Run

Places = Mapping[str, Sequence[int]]
"""The regions that are meant: their numbers in the `Suspects` of each scene, by its name."""


PLACE_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42113)
"""Of a GeoTIFF: where it lies, and which value stands for nothing."""


def numbered(suspects: Suspects, places: Sequence[int], shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return which region each pixel of a scene is in, (height, width) int32, −1 for none; the foremost of several.

    Args:
        suspects: The scene's regions.
        places: Those that are meant.
        shape: (height, width) of the scene; by default as far as these regions reach.
    """
    if shape is None:
        height, width = suspects.boxes[list(places), 2:].max(0, initial=0)
        shape = int(height), int(width)
    numbers = np.full(shape, -1, np.int32)
    for place in sorted(places, reverse=True):
        top, left, bottom, right = suspects.boxes[place]
        numbers[top:bottom, left:right][suspects.mask(place)] = place
    return numbers


def matrices_if_wrong(run: Run, scenes: Mapping[str, Suspects], wrong: Places) -> np.ndarray:
    """Return each patch's confusion matrix if the labels of some regions were the classes predicted there.

    A region's pixels are all predicted as its class, so that they move from one row of the matrix to another.

    Args:
        run: With the confusion matrices of its patches.
        scenes: The regions of each scene.
        wrong: Those that are taken for wrong.

    Returns:
        (patches, classes, classes) int64, in the order of the run's patches.

    Raises:
        RunError: If the run was evaluated before confusion matrices were kept.
    """
    if run.confusion_matrices is None or run.patches is None:
        raise RunError(f"{run.name} was evaluated before confusion matrices were kept: evaluate it again.")
    matrices, table, size = run.confusion_matrices.copy(), run.patches, run.patch_size
    for name, places in wrong.items():
        suspects, rows = scenes[name], table[table["scene"] == name]
        if not places or rows.empty:
            continue
        numbers = numbered(suspects, places)
        index = np.full((int(rows["row"].max()) + 1, int(rows["column"].max()) + 1), -1, np.int64)
        index[rows["row"], rows["column"]] = rows.index
        down, across = np.nonzero(numbers >= 0)
        of = numbers[down, across]
        down, across = down // size, across // size
        inside = (down < index.shape[0]) & (across < index.shape[1])
        at, of = index[down[inside], across[inside]], of[inside]
        pairs, pixels = np.unique(np.stack([at[at >= 0], of[at >= 0]]), axis=1, return_counts=True)
        label, seen = suspects.labelled[pairs[1]], suspects.predicted[pairs[1]]
        # Predicted in other company, a pixel that two classes tie for may have been scored as the other one.
        moved = np.minimum(pixels, matrices[pairs[0], label, seen])
        np.subtract.at(matrices, (pairs[0], label, seen), moved)
        np.add.at(matrices, (pairs[0], seen, seen), moved)
    return matrices


def corrected_masks(dataset: Dataset, scenes: Mapping[str, Suspects], wrong: Places) -> Iterator[tuple[Path, bytes]]:
    """Yield the masks in which regions are put right: the path below the data set's folder, and the file's content.

    A mask says its classes as before, by the same colours or values; pixels of no region stay as they are. What is
    no TIFF becomes a PNG file: JPEG would smear the colours.

    Args:
        dataset: In the run's classes.
        scenes: The regions of each scene.
        wrong: Those whose label becomes the class predicted.

    Raises:
        ImageFileError: If a mask cannot be read, or its labels are outlines.
    """
    for name, places in wrong.items():
        if places:
            scene = dataset.scene(name)
            numbers = numbered(scenes[name], places, read_size(scene.image))
            change = np.append(scenes[name].predicted, np.uint8(VOID))[numbers]
            path = scene.mask.relative_to(dataset.root) if scene.mask.is_relative_to(dataset.root) else scene.mask.name
            yield _corrected(scene, dataset.palette, change, Path(path))


def _corrected(scene: Scene, palette: Palette, change: np.ndarray, path: Path) -> tuple[Path, bytes]:
    """Return a mask with some pixels of another class.

    Args:
        scene: Whose it is.
        palette: The classes.
        change: (height, width) uint8: the new class; 255 where nothing changes.
        path: Of the mask, below the data set's folder.
    """
    encoding = scene.encoding
    if not isinstance(encoding, Encoding):
        raise ImageFileError(
            f"The labels of {scene.name} are outlines, not an image: take the regions as GeoJSON or COCO, and correct "
            "them in the program that the outlines come from."
        )
    said = {index: encoding.keys_of(index, palette) for index in np.unique(change[change != VOID]).tolist()}
    if silent := [palette.names[index] for index, keys in said.items() if not keys]:
        raise ImageFileError(f"The masks of this data set cannot say {silent[0]}: choose regions of other classes.")
    image = decode(scene.mask, scene.mask.name, orient=False)
    if change.shape != (image.height, image.width):
        change = resized(change, (image.height, image.width))
    place = TiffImagePlugin.ImageFileDirectory_v2()
    tags = getattr(image, "tag_v2", {})
    for tag in set(PLACE_TAGS) & set(tags):
        place[tag] = tags[tag]
    plain = image.mode not in ("RGB", "RGBA", "LA", "La", "RGBa", "CMYK", "YCbCr", "P", "PA", "1") or (
        image.mode == "P" and encoding.raw
    )
    if encoding.kind == "color" or not plain:
        image, plain = image.convert("RGBA" if "A" in image.getbands() else "RGB"), False
    pixels = np.array(image)
    for index, (key, *_) in said.items():
        pixels[change == index] = key if plain else _channels(key, pixels.shape[-1])
    changed = Image.frombytes("P", image.size, pixels.tobytes()) if image.mode == "P" else Image.fromarray(pixels)
    if image.mode == "P":
        changed.putpalette(image.getpalette() or [])
    with io.BytesIO() as file:
        if path.suffix.lower() in (".tif", ".tiff"):
            changed.save(file, "TIFF", tiffinfo=place)
            return path, file.getvalue()
        changed.save(file, "PNG")
        return path.with_suffix(".png"), file.getvalue()


def _channels(key: int | tuple[int, int, int], count: int) -> list[int]:
    """Return a pixel of so many channels that says a class: opaque."""
    colors = list(key) if isinstance(key, tuple) else [key] * 3
    return [*colors, 255][:count]


def write_masks(dataset: Dataset, scenes: Mapping[str, Suspects], wrong: Places, folder: Path) -> list[Path]:
    """Write the corrected masks below a folder, as `corrected_masks` yields them, and return their paths.

    Raises:
        ImageFileError: As `corrected_masks` does.
        StorageError: If one cannot be written.
    """
    written = []
    for path, content in corrected_masks(dataset, scenes, wrong):
        with replacing(folder / path) as temporary:
            temporary.write_bytes(content)
        written.append(folder / path)
    return written


def zip_masks(dataset: Dataset, scenes: Mapping[str, Suspects], wrong: Places) -> bytes:
    """Return the corrected masks as a ZIP file, under their paths below the data set's folder.

    Raises:
        ImageFileError: As `corrected_masks` does.
        DatasetNotFoundError: If no region is taken for wrong.
    """
    if not any(wrong.values()):
        raise DatasetNotFoundError("No label was judged wrong yet: judge some first.")
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in corrected_masks(dataset, scenes, wrong):
                archive.writestr(path.as_posix(), content)
        return file.getvalue()
