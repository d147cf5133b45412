"""A data set in one file, for carrying it to another machine: a tar archive, unpacked by us or by ``tar -xf``.

Images keep their bytes. Masks become PNG files of class indices with the classes' colours as their table, so that what
is unpacked is a data set like any other. PACK notes the name and what the masks' files were, by which the fingerprint
is the folder's.

Only plain files under plain names are read, one after another: a pack cannot unfold to more than its own size.
"""

import csv
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image

from segmentation.data.declaration import DECLARATION
from segmentation.data.description import declared_for
from segmentation.data.images import SUFFIXES
from segmentation.data.pack_notes import MOST_NOTES, PACK
from segmentation.data.palette import CLASS_FILE, VOID, VOID_COLOR, Palette
from segmentation.data.patches import Progress
from segmentation.data.scenes import DEMO_MARKER, Dataset, Scene, read_scene
from segmentation.errors import ConfigurationError, DatasetNotFoundError, ImageFileError, printable
from segmentation.files import replacing, writing

FORMAT = 1

MOST_FILES = 1_000_000
"""A pack of more is refused."""

_BLOCK = tarfile.BLOCKSIZE

_SCRATCH = ".unpacking"


def pack(dataset: Dataset, target: Path, progress: Progress | None = None) -> None:
    """Write a data set into one file.

    A mask that cannot be read goes in as it is: training will pass its scene over, as it does in the folder.

    Args:
        dataset: The scenes.
        target: The new file.
        progress: Called after every scene.

    Raises:
        ConfigurationError: If a file's path below the data set's folder is too long for an archive.
        StorageError: If the file cannot be written.
    """
    masks: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    with replacing(target) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, CLASS_FILE, _class_file(dataset.palette))
        if (dataset.root / DEMO_MARKER).is_file():
            _add(archive, DEMO_MARKER, (dataset.root / DEMO_MARKER).read_bytes())
        for done, scene in enumerate(dataset.scenes, 1):
            image, mask = _names(dataset, scene, splits)
            splits[str(PurePosixPath(image).with_suffix(""))] = scene.split
            content = scene.mask.read_bytes()
            try:
                indices = read_scene(scene, dataset.palette)[1]
            except ImageFileError:
                packed = content
            else:
                mask = str(PurePosixPath(mask).with_suffix(".png"))
                packed = _indexed_png(indices, dataset.palette)
            masks[mask] = [hashlib.sha256(of).hexdigest() for of in (packed, content)]
            _add(archive, image, scene.image.read_bytes())
            _add(archive, mask, packed)
            if progress:
                progress(done, len(dataset.scenes))
        if told := "\n".join(declared_for(dataset, splits)):
            _add(archive, DECLARATION, told.encode())
        notes = {"format": FORMAT, "name": dataset.root.resolve().name, "masks": masks}
        _add(archive, PACK, json.dumps(notes).encode())


def _names(dataset: Dataset, scene: Scene, taken: Container[str]) -> tuple[str, str]:
    """Return the paths of a scene's image and mask in a pack: as they are if they lie in folders images and masks.

    Args:
        dataset: The scene's.
        scene: The scene.
        taken: The images' paths so far, without their endings.
    """
    image, mask = (PurePosixPath(path.relative_to(dataset.root).as_posix()) for path in (scene.image, scene.mask))
    if not (
        image.parent.name == "images" and mask.parent == image.parent.with_name("masks") and mask.stem == image.stem
    ):
        tile = PurePosixPath("." if scene.tile == printable(dataset.root.resolve().name) else scene.tile)
        image = tile / "images" / image.name
        if str(image.with_suffix("")) in taken:
            image = image.with_stem(scene.name.rpartition("/")[2])
        mask = tile / "masks" / f"{image.stem}.png"
    return str(image), str(mask)


def _class_file(palette: Palette) -> bytes:
    rows = [(name, *color) for name, color in zip(palette.names, palette.colors, strict=True)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("name", "r", "g", "b"), *rows])
    return buffer.getvalue().encode()


def _indexed_png(indices: np.ndarray, palette: Palette) -> bytes:
    """Encode class indices (height, width) uint8 as a PNG whose table has the classes' colours; void has its own."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette.colors
    free = next(color for color in (VOID_COLOR, *((value,) * 3 for value in range(256))) if color not in palette.colors)
    table[VOID] = free
    image = Image.fromarray(indices)
    image.putpalette(table.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    try:
        archive.addfile(info, io.BytesIO(content))
    except ValueError as error:
        raise ConfigurationError(f"{name} is too long a path for a pack: shorten the names of its folders.") from error


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """Yield the folder of a packed data set, under the name that it had; it is gone after the block.

    Raises:
        DatasetNotFoundError: If the file is no pack, or a damaged one.
        StorageError: If the temporary folder has no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="data-set-") as temporary:
        scratch = Path(temporary) / _SCRATCH
        with writing(scratch), source.open("rb") as file:
            scratch.mkdir()
            _unpack(file, source, scratch)
        yield scratch.rename(Path(temporary) / _name(scratch / PACK, source))


def _unpack(file: BinaryIO, source: Path, folder: Path) -> None:
    """Copy the files of a pack into an empty folder.

    Not by `tarfile`, which keeps every header in memory and follows what long names, links and sparse files ask for.
    """
    size = source.stat().st_size
    for _ in range(MOST_FILES):
        header = file.read(_BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # a block of zeros
            return
        except tarfile.HeaderError as error:
            raise _damaged(source) from error
        if info.type != tarfile.REGTYPE or not 0 <= info.size <= size - file.tell() or not _is_plain(info.name):
            raise _damaged(source)
        path = folder / info.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as target:
                _copy(file, target, info.size)
        except (FileExistsError, NotADirectoryError, ValueError) as error:
            raise _damaged(source) from error
        file.seek(-info.size % _BLOCK, io.SEEK_CUR)
    raise _damaged(source)


def _copy(file: BinaryIO, target: BinaryIO, size: int) -> None:
    while size:
        content = file.read(min(size, 1 << 20))
        target.write(content)
        size -= len(content)


def _is_plain(name: str) -> bool:
    """Tell whether a name is one that `pack` gives, and leads nowhere but down."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        return False
    return name in (CLASS_FILE, DECLARATION, DEMO_MARKER, PACK) or (
        len(parts) > 1 and parts[-2] in ("images", "masks") and PurePosixPath(name).suffix.lower() in SUFFIXES
    )


def _name(notes: Path, source: Path) -> str:
    """Return the name of the data set's folder, out of a pack's notes."""
    try:
        if notes.stat().st_size > MOST_NOTES:
            raise _damaged(source)
        content = json.loads(notes.read_bytes())
        name, number = content["name"], content["format"]
        sound = number == FORMAT and "/" not in name and "\0" not in name and len(os.fsencode(name)) <= 255
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:  # UnicodeError is a ValueError
        raise _damaged(source) from error
    if not sound or name in ("", ".", "..", _SCRATCH):
        raise _damaged(source)
    return name


def _damaged(source: Path) -> DatasetNotFoundError:
    return DatasetNotFoundError(
        f"{printable(source.name)} is no packed data set, or a damaged one: make it again with python -m segmentation "
        "pack DATA FILE."
    )
