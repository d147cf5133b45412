"""A split of augmented copies is found out; one that keeps them together is not blamed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segmentation.data.health import Health, examine
from segmentation.data.protocols import held_out
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.data.split_health import examine_split

Writer = Callable[[Path], Path]

MIRRORED, TURNED = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90


def augment(root: Path) -> Path:
    """Add a tile of copies to the small data set: two of its scenes, mirrored, and turned and darker."""
    for number, (source, turn, light) in enumerate((("001.jpg", MIRRORED, 1.0), ("002.jpg", TURNED, 0.7)), 1):
        for kind in ("images", "masks"):
            name = f"image_part_{source}"
            path = root / "Tile 1" / kind / (name if kind == "images" else name.replace("jpg", "png"))
            copy = Image.open(path).transpose(turn)
            if kind == "images":
                copy = ImageEnhance.Brightness(copy).enhance(light)
            (root / "Tile 3" / kind).mkdir(parents=True, exist_ok=True)
            copy.save(root / "Tile 3" / kind / f"image_part_{number:03d}{path.suffix}")
    return root


@pytest.fixture(scope="module")
def copied(write_dataset: Writer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Health]:
    dataset = find_dataset(augment(write_dataset(tmp_path_factory.mktemp("copies") / "set")))
    return dataset, examine(dataset, 32)


def test_a_random_split_of_augmented_copies_is_found_out(copied: tuple[Dataset, Health]) -> None:
    _, health = copied
    test = held_out(health.patches, "patch", seed=6)  # a tenth is four patches: of two scenes with a copy, and a copy
    found = examine_split(health, test, ~test)
    scenes = health.patches["scene"][test]
    copies = {"tile-1/image_part_001": "tile-3/image_part_001", "tile-1/image_part_002": "tile-3/image_part_002"}
    copies |= {copy: scene for scene, copy in copies.items()}
    expected = {scene: copy for scene, copy in copies.items() if scene in set(scenes)}
    assert expected
    assert dict(zip(found.copies["held_out"], found.copies["trained_on"], strict=True)) == expected
    assert found.copied_patches == scenes.isin(expected).sum()
    assert set(found.copies["turn"]) <= {"mirrored", "turned by 90°", "turned by 270°"}


def test_copies_in_one_part_are_no_leak(copied: tuple[Dataset, Health]) -> None:
    _, health = copied
    test = held_out(health.patches, "tile", "Tile 2")
    found = examine_split(health, test, ~test)
    assert found.copies.empty
    assert found.copied_patches == 0
    assert (found.compared + found.plain, found.left_out, found.placed) == (test.sum(), 0, 0)


def test_what_is_neither_trained_on_nor_held_out_leaks_nothing(copied: tuple[Dataset, Health]) -> None:
    _, health = copied
    test = held_out(health.patches, "tile", "Tile 3")
    assert len(examine_split(health, test, ~test).copies) == 2
    assert examine_split(health, test, (health.patches["tile"] == "Tile 2").to_numpy()).copies.empty


def test_a_patch_with_a_copy_is_told_where_the_scenes_are_no_copies(write_dataset: Writer, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set")
    paths = [root / "Tile 2" / "images" / f"image_part_00{number}.png" for number in (1, 2)]
    first, second = (np.array(Image.open(path)) for path in paths)
    second[32:64, 64:96] = np.rot90(first[:32, 32:64], 3)
    Image.fromarray(second).save(paths[1])
    health = examine(find_dataset(root), 32)
    test = (health.patches["scene"] == "tile-2/image_part_001").to_numpy()
    found = examine_split(health, test, ~test)
    assert found.copies[["held_out", "trained_on", "turn", "patches"]].to_numpy().tolist() == [
        ["tile-2/image_part_001/r00c01", "tile-2/image_part_002/r01c02", "turned by 270°", 1]
    ]


def test_the_health_report_tells_of_turned_copies(copied: tuple[Dataset, Health]) -> None:
    dataset, health = copied
    findings = health.findings[health.findings["kind"] == "near-duplicate"].set_index("scene")["detail"]
    assert sorted(findings.index) == ["tile-3/image_part_001", "tile-3/image_part_002"]
    assert findings["tile-3/image_part_001"].startswith("shows tile-1/image_part_001 mirrored (correlation ")
    assert findings["tile-3/image_part_002"].startswith("shows tile-1/image_part_002 turned by 90° ")
    assert len(health.scene_thumbnails) == len(dataset.scenes)
    assert [len(pictures) for pictures in health.patch_thumbnails] == health.patches.groupby(
        "scene", sort=False
    ).size().tolist()
