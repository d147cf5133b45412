"""Data sets in the layouts and encodings in which people have theirs: found, read to the pixel, and left alone."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import AmbiguousDatasetError, DatasetNotFoundError
from tests.in_process import run_in_process

NAMES = (
    *("deepglobe", "deepglobe-folders", "loveda", "landcoverai", "inria", "massachusetts", "mmseg", "split-inside"),
    *("split-outside", "singular", "capital", "lists", "floodnet", "uavid", "potsdam", "nir-16bit", "half-size-masks"),
    *("coco", "geojson"),
)

VALUES = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
"""(16, 24): six classes in squares."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(folder: Path, *options: str) -> subprocess.CompletedProcess:
    return run_in_process("data", folder, *options)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_layout_is_read_to_the_pixel_and_left_alone(layouts: Path, name: str) -> None:
    expected = json.loads((layouts / "expected.json").read_text())[name]
    before = digests(layouts / name)
    done = told(layouts / name, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    pixels = [entry["pixels"] for entry in found["classes"]]
    known = len(expected["pixels"])
    assert pixels[:known] == expected["pixels"]
    assert not any(pixels[known:])  # classes of a well-known set that do not occur in this part of it
    assert {key: found[key] for key in ("scenes", "void", "splits", "skipped")} == {
        **{key: expected[key] for key in ("scenes", "void", "splits")},
        "skipped": [],
    }
    assert digests(layouts / name) == before


def test_the_layouts_are_all_tested(layouts: Path) -> None:
    assert set(json.loads((layouts / "expected.json").read_text())) == set(NAMES)


def put(path: Path, values: np.ndarray | None = None) -> None:
    """Write an image, or a mask of some values or colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.random.default_rng(len(str(path))).integers(0, 255, (*VALUES.shape, 3), np.uint8)
    Image.fromarray(shade if values is None else values).save(path)


def masks_of(dataset: Dataset) -> list[np.ndarray]:
    return [read_scene(scene, dataset.palette)[1] for scene in dataset.scenes]


# Layouts of public repositories that are not among those above


def test_nnu_net_is_read_with_its_first_channel_and_its_labels(tmp_path: Path) -> None:
    """nnU-Net v2: imagesTr/CASE_0000.png, labelsTr/CASE.png, names in dataset.json."""
    for case in ("road_001", "road_002"):
        put(tmp_path / f"Dataset120_Roads/imagesTr/{case}_0000.png")
        put(tmp_path / f"Dataset120_Roads/labelsTr/{case}.png", VALUES // 3)
    put(tmp_path / "Dataset120_Roads/imagesTs/road_003_0000.png")
    labels = {"labels": {"background": 0, "road": 1}, "channel_names": {"0": "R"}, "file_ending": ".png"}
    (tmp_path / "Dataset120_Roads/dataset.json").write_text(json.dumps(labels))
    dataset = find_dataset(tmp_path)
    assert [scene.mask.name for scene in dataset.scenes] == ["road_001.png", "road_002.png"]
    assert dataset.palette.names == ("background", "road")
    assert all(np.array_equal(mask, VALUES // 3) for mask in masks_of(dataset))


def test_roboflows_export_is_read_with_its_splits_and_classes(tmp_path: Path) -> None:
    """Roboflow's "PNG mask semantic": train/NAME_jpg.rf.HASH.jpg beside …_mask.png, and _classes.csv in each split."""
    for split, number in (("train", 1), ("train", 2), ("valid", 3), ("test", 4)):
        stem = f"{split}/tile-{number}_png.rf.{number * 7919:032x}"
        put(tmp_path / f"{stem}.jpg")
        put(tmp_path / f"{stem}_mask.png", VALUES // 2)
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, field\n2, tree\n")
    (tmp_path / "README.roboflow.txt").write_text("This dataset was exported")
    dataset = find_dataset(tmp_path)
    assert dataset.splits == {"test": 1, "train": 2, "valid": 1}
    assert dataset.palette.names == ("background", "field", "tree")
    assert all(np.array_equal(mask, VALUES // 2) for mask in masks_of(dataset))


def test_cityscapes_is_read_by_its_label_ids(tmp_path: Path) -> None:
    """leftImg8bit/SPLIT/CITY/…_leftImg8bit.png, gtFine/SPLIT/CITY/…_gtFine_labelIds.png among others."""
    for split, city in (("train", "aachen"), ("val", "ulm")):
        for number in (1, 2):
            stem = f"{split}/{city}/{city}_{number:06}_000019"
            put(tmp_path / f"leftImg8bit/{stem}_leftImg8bit.png")
            for kind in ("labelIds", "instanceIds", "color"):
                put(tmp_path / f"gtFine/{stem}_gtFine_{kind}.png", VALUES)
    dataset = find_dataset(tmp_path)
    assert {scene.mask.name.rpartition("_")[2] for scene in dataset.scenes} == {"labelIds.png"}
    assert dataset.splits == {"train": 2, "val": 2}


# Folders that nobody can understand


def test_two_kinds_of_masks_are_asked_about(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"original_images/{number:03}.jpg")
        put(tmp_path / f"label_images_semantic/{number:03}.png", VALUES)
        put(tmp_path / f"RGB_color_image_masks/{number:03}.png", np.stack([VALUES, 9 * VALUES, VALUES + 1], axis=-1))
    with pytest.raises(AmbiguousDatasetError) as caught:
        find_dataset(tmp_path)
    sentence = str(caught.value)
    assert "label_images_semantic/{stem}.png (values 0–5 in one channel)" in sentence
    assert "RGB_color_image_masks/{stem}.png (6 colours" in sentence
    assert 'images = "original_images/{stem}.jpg"' in sentence


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("notes.txt", "a.zip"), "1 TXT in ./"),
        (("images/a.jpg", "images/b.jpg"), "2 JPG in images/"),
        (("masks/a.png", "masks/b.png"), "2 PNG in masks/"),
        (("x/a1.jpg", "y/b1.png"), "1 JPG in x/"),
        ((), "no file"),
    ],
    ids=["junk", "images only", "masks only", "nothing pairs", "empty"],
)
def test_a_folder_that_nobody_understands_is_told_what_was_seen(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    for name in names:
        if name.endswith((".jpg", ".png")):
            put(tmp_path / name, VALUES if "mask" in name else None)
        else:
            (tmp_path / name).write_text("x")
    with pytest.raises(DatasetNotFoundError) as caught:
        find_dataset(tmp_path)
    assert said in str(caught.value)
    assert "dataset.toml" in str(caught.value)
