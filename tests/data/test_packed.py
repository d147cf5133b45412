"""A data set in one file: nothing is lost, its fingerprint stays, and a hostile file is one sentence."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.demo import make_demo
from segmentation.data.locate import PROJECT
from segmentation.data.packed import pack, unpacked
from segmentation.data.palette import VOID
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError, DatasetNotFoundError, StorageError

Writer = Callable[[Path], Path]


@pytest.fixture(scope="module")
def packed(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed") / "small.pack"
    pack(small_dataset, target)
    return target


def assert_same(dataset: Dataset, other: Dataset) -> None:
    """The same names, classes, bytes of images and pixels of masks."""
    assert [(scene.name, scene.tile) for scene in dataset.scenes] == [
        (scene.name, scene.tile) for scene in other.scenes
    ]
    assert dataset.palette == other.palette
    for one, same in zip(dataset.scenes, other.scenes, strict=True):
        assert one.image.name == same.image.name
        assert one.image.read_bytes() == same.image.read_bytes()
        assert np.array_equal(read_scene(one, dataset.palette)[1], read_scene(same, other.palette)[1])


def test_a_packed_data_set_is_the_folder_and_has_its_name_and_fingerprint(small_dataset: Dataset, packed: Path) -> None:
    with unpacked(packed) as folder:
        dataset = find_dataset(folder)
        assert folder.name == small_dataset.root.name
        assert_same(dataset, small_dataset)
        assert any((read_scene(scene, dataset.palette)[1] == VOID).any() for scene in dataset.scenes)
        assert dataset.fingerprint() == small_dataset.fingerprint()
    assert not folder.exists()


def test_a_packed_data_set_that_is_changed_has_another_fingerprint(small_dataset: Dataset, packed: Path) -> None:
    with unpacked(packed) as folder:
        mask = find_dataset(folder).scenes[0].mask
        Image.fromarray(np.zeros((65, 97, 3), np.uint8)).save(mask)
        assert find_dataset(folder).fingerprint() != small_dataset.fingerprint()


def test_a_pack_is_an_archive_that_others_open_too(packed: Path, small_dataset: Dataset, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", packed, "-C", tmp_path], check=True)
    assert_same(find_dataset(tmp_path), small_dataset)
    with Image.open(tmp_path / "Tile 1" / "masks" / "image_part_001.png") as mask:
        assert mask.mode == "P"
        assert {*np.unique(np.asarray(mask))} <= {*range(6), VOID}


def test_a_demo_set_stays_one(tmp_path: Path) -> None:
    demo = find_dataset(make_demo(tmp_path / "demo"))
    pack(demo, tmp_path / "demo.pack")
    with unpacked(tmp_path / "demo.pack") as folder:
        assert_same(find_dataset(folder), demo)
        assert find_dataset(folder).fingerprint() == demo.fingerprint()


def test_a_set_without_tiles_with_classes_of_its_own_and_odd_names(tmp_path: Path) -> None:
    """One of its classes is black, one has a comma in its name, one mask is a JPEG that cannot be read."""
    root = tmp_path / "Ma ville"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "class_dict.csv").write_text('name,r,g,b\n"Roof, red",0,0,0\nSky,1,2,3\n')
    for name in ("é à", "a.b"):
        Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(root / "images" / f"{name}.PNG", "PNG")
        colors = np.zeros((32, 32, 3), np.uint8)
        colors[:16], colors[:, 20:] = (1, 2, 3), (9, 9, 9)
        Image.fromarray(colors).save(root / "masks" / f"{name}.bmp")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "images" / "broken.png")
    (root / "masks" / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    dataset = find_dataset(root)
    pack(dataset, tmp_path / "file")
    with unpacked(tmp_path / "file") as folder:
        again = find_dataset(folder)
        assert again.fingerprint() == dataset.fingerprint()
        assert [scene.mask.name for scene in again.scenes] == ["a.b.png", "broken.jpg", "é à.png"]
        assert again.palette == dataset.palette
        assert np.unique(read_scene(again.scenes[0], again.palette)[1]).tolist() == [0, 1, VOID]


def test_a_mask_that_cannot_be_read_is_the_only_file_left_as_it_was(write_dataset: Writer, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "small")
    mask = root / "Tile 2" / "masks" / "image_part_001.png"
    mask.write_bytes(mask.read_bytes()[:60])
    dataset = find_dataset(root)
    pack(dataset, tmp_path / "file")
    with unpacked(tmp_path / "file") as folder:
        assert (folder / "Tile 2" / "masks" / "image_part_001.png").read_bytes() == mask.read_bytes()
        assert find_dataset(folder).fingerprint() == dataset.fingerprint()


def test_a_path_too_long_for_an_archive_is_refused_and_leaves_nothing(write_dataset: Writer, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "small" / ("d" * 200) / ("e" * 200))
    with pytest.raises(ConfigurationError, match=r"is too long a path for a pack: shorten the names of its folders\.$"):
        pack(find_dataset(tmp_path / "small"), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert root.exists()


# Hostile files

NOTES = json.dumps({"format": 1, "name": "city", "masks": {}}).encode()


def member(name: str, content: bytes = b"", **fields: object) -> bytes:
    """One file of an archive: its header and content."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def notes(content: bytes = NOTES) -> bytes:
    return member("pack.json", content)


END = bytes(1024)
PNG = "Tile/images/a.png"

HOSTILE = {
    "empty": b"",
    "text": b"not an archive at all\n" * 100,
    "a zip": b"PK\x03\x04" + bytes(2000),
    "no notes": member(PNG) + END,
    "no end": notes(),
    "cut in a file": (notes() + member(PNG, bytes(5000)))[:-4000],
    "cut in a header": (notes() + member(PNG))[:-100],
    "a wrong checksum": notes()[:100] + b"7" + notes()[101:] + END,
    "up and away": notes() + member("../images/a.png") + END,
    "from the root": notes() + member("/tmp/images/a.png") + END,  # noqa: S108 (never written)
    "a dot": notes() + member("./images/a.png") + END,
    "no name": notes() + member("") + END,
    "a file of another kind": notes() + member("Tile/images/run.sh") + END,
    "a file elsewhere": notes() + member("Tile/a.png") + END,
    "twice": notes() + member(PNG, b"1") + member(PNG, b"2") + END,
    "a file as a folder": notes() + member("a/images/b.png") + member("a/images/b.png/images/c.png") + END,
    "a symbolic link": notes() + member(PNG, type=tarfile.SYMTYPE, linkname="/etc/passwd") + END,
    "a hard link": notes() + member(PNG, type=tarfile.LNKTYPE, linkname="/etc/passwd") + END,
    "a pipe": notes() + member(PNG, type=tarfile.FIFOTYPE) + END,
    "a device": notes() + member(PNG, type=tarfile.CHRTYPE) + END,
    "a folder": notes() + member(PNG, type=tarfile.DIRTYPE) + END,
    "a sparse file": notes() + member(PNG, type=tarfile.GNUTYPE_SPARSE) + END,
    "a long name": notes() + member("x", b"../" * 9, type=tarfile.GNUTYPE_LONGNAME) + member(PNG) + END,
    "further headers": notes() + member("x", b"20 path=../../a.png\n", type=tarfile.XHDTYPE) + member(PNG) + END,
    "larger than it is": notes() + tarfile.TarInfo(PNG).tobuf()[:124] + b"77777777777\0" + bytes(376) + END,
    "notes that are none": notes(b"[" * 100_000) + END,
    "notes of another kind": notes(b"[]") + END,
    "a name that leads away": notes(NOTES.replace(b"city", b"../city")) + END,
    "a name of dots": notes(NOTES.replace(b"city", b"..")) + END,
    "no text as a name": notes(NOTES.replace(b'"city"', b"7")) + END,
    "a broken name": notes(NOTES.replace(b"city", b"\\ud800")) + END,
    "a name too long": notes(NOTES.replace(b"city", b"c" * 300)) + END,
    "a later format": notes(NOTES.replace(b'"format": 1', b'"format": 2')) + END,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pack_is_refused_in_one_sentence(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "file").write_bytes(HOSTILE[kind])
    with (
        pytest.raises(DatasetNotFoundError, match=r"^file is no packed data set, or a damaged one: [^\n]*\.$"),
        unpacked(tmp_path / "file"),
    ):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"file", "temporary"}
    assert not any((tmp_path / "temporary").iterdir())


def test_notes_that_lie_about_masks_change_no_fingerprint(small_dataset: Dataset, packed: Path) -> None:
    with unpacked(packed) as folder:
        before = json.loads((folder / "pack.json").read_text())
        for lie in (
            {},
            {"masks": 7},
            {"masks": {"a": "b"}},
            {"masks": {"a": [1, 2]}},
            {"masks": {"a": ["x" * 64] * 2}},
        ):
            (folder / "pack.json").write_text(json.dumps(before | lie))
            find_dataset(folder).fingerprint()
        (folder / "pack.json").write_text("{")
        assert find_dataset(folder).fingerprint() != small_dataset.fingerprint()


def test_a_pack_of_a_hundred_thousand_headers_or_a_thin_file_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """A file with holes is as long as it says, and takes no room on the disk: neither may what is made of it."""
    many = tmp_path / "many"
    with many.open("wb") as file:
        file.write(notes())
        for number in range(20_000):
            file.write(member(f"t/images/{number}.png"))
        file.write(member("x", b"", type=tarfile.XHDTYPE, size=0))
    thin = tmp_path / "thin"
    with thin.open("wb") as file:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, 4 << 30
        file.write(notes() + info.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(5 << 30)
    code = f"""
import resource, sys
from pathlib import Path
from segmentation.data.packed import unpacked
from segmentation.errors import DatasetNotFoundError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in ("many", "thin"):
    try:
        with unpacked(Path({str(tmp_path)!r}) / name):
            sys.exit("it was taken")
    except DatasetNotFoundError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # kilobytes


def test_a_disk_without_room_for_it_is_named(packed: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    (small_disk / "ballast").write_bytes(bytes(2_060_000))
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"), unpacked(packed):
        pass
