"""Zips of predictions: the images and arrays in them are unpacked, and whatever is hostile gets one sentence."""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.errors import RunError
from segmentation.evaluation.zipped import MOST_BYTES, MOST_FILES, unpack_predictions

Change = Callable[[zipfile.ZipFile], object]


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(*change: Change, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    """A zip of one prediction, and of whatever a function adds to it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("tile/good.png", png())
        for one in change:
            one(archive)
    return io.BytesIO(buffer.getvalue())


def add(name: str, content: bytes = b"x", mode: int = 0, **fields: int) -> Change:
    """A function that adds a file, with a mode and with fields of its entry that may be lies."""

    def add_(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        entry.external_attr, entry.compress_type = mode << 16, archive.compression
        archive.writestr(entry, content)
        for field, value in fields.items():
            setattr(archive.filelist[-1], field, value)

    return add_


def test_images_and_arrays_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    others = (
        *(add("__MACOSX/tile/._good.png"), add("model.onnx"), add("tile/.hidden.png"), add("notes.txt"), add("empty/")),
        *(add("tile/deeper/a b.npy", b"array"), add("räume.TIF", b"tiff", mode=stat.S_IFREG | 0o6777)),
    )
    unpack_predictions(zipped(*others), "mine.zip", tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "tile/good.png": png(),
        "tile/deeper/a b.npy": b"array",
        "räume.TIF": b"tiff",
    }
    assert not any(path.stat().st_mode & (stat.S_ISUID | stat.S_IXUSR) for path in found.values())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (add("../outside.png"), "../outside.png would lie outside its folder"),
        (add("tile/../../outside.png"), "would lie outside its folder"),
        (add("/outside.png"), "would lie outside its folder"),
        (add("C:/outside.png"), "would lie outside its folder"),
        (add("tile\\..\\outside.png"), "would lie outside its folder"),
        (add("tile//outside.png"), "would lie outside its folder"),
        (add("link.png", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "link.png is a link: pack the files themselves"),
        (add("link", b"/etc", mode=stat.S_IFLNK | 0o777), "link is a link"),
        (add("pipe.png", mode=stat.S_IFIFO | 0o666), "pipe.png is no plain file"),
        (add("secret.png", flag_bits=1), "secret.png is encrypted: pack it without a password"),
        (add("large.png", file_size=MOST_BYTES), "it would take more than 1 GB: give the path of the folder"),
        (add("liar.png", bytes(1 << 20), file_size=10), "it is no zip, or a damaged one: pack it again"),
        (add("bzip2.png", compress_type=zipfile.ZIP_BZIP2), "bzip2.png is packed in an unusual way"),
        (add("tile/good.png"), "tile/good.png is in it twice"),
        (add("tile/good.png/inner.png"), "tile/good.png/inner.png is in it twice, or is a file and a folder"),
        (add(f"{'n' * 300}.png"), "has too long a name or lies in too many folders"),
        (add("f/" * 50 + "a.png"), "has too long a name or lies in too many folders"),
        (lambda archive: [archive.writestr(f"{n}", b"") for n in range(MOST_FILES)], "more than 20,000 files"),
        (lambda archive: archive.writestr("in.npz", b"PK\1\2" * 50_000), "more than 20,000 files"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_hostile_is_one_sentence_and_leaves_nothing(tmp_path: Path, change: Change, sentence: str) -> None:
    method = zipfile.ZIP_STORED if "20,000" in sentence else zipfile.ZIP_DEFLATED
    (tmp_path / "inside").mkdir()
    with pytest.raises(RunError) as caught:
        unpack_predictions(zipped(change, method=method), "mine.zip", tmp_path / "inside" / "out")
    assert str(caught.value).startswith("mine.zip cannot be unpacked: ")
    assert sentence in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", zipped().getvalue()[:-30], zipped().getvalue()[40:], b"PK\5\6" + bytes(18) + b"more"],
    ids=["empty", "text", "cut at its end", "cut at its beginning", "no directory"],
)
def test_what_is_no_zip_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunError, match=r"^mine\.zip cannot be unpacked: it "):
        unpack_predictions(io.BytesIO(content), "mine.zip", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_not_taken_for_predictions(tmp_path: Path) -> None:
    """A Keras file is a zip, whatever it is called."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    with pytest.raises(RunError, match="a model is never uploaded: give its path on the machine"):
        unpack_predictions(io.BytesIO(buffer.getvalue()), "predictions.zip", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_damage_anywhere_is_one_sentence_or_what_was_packed(tmp_path: Path) -> None:
    whole = zipped(add("b.npy", bytes(300))).getvalue()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        try:
            unpack_predictions(io.BytesIO(bytes(damaged)), "mine.zip", tmp_path / f"out{place}")
        except RunError:
            assert not (tmp_path / f"out{place}").exists()
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith("out")]
