"""The health report finds what is wrong, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segmentation.data.health import Examined, examine, known_report, usable_patches
from segmentation.data.kept import KeptResults
from segmentation.data.palette import VOID_NAME
from segmentation.data.patches import tile_table
from segmentation.data.scenes import Dataset, find_dataset, read_scene

Writer = Callable[[Path], Path]


@pytest.fixture
def folder(write_dataset: Writer, tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set")


def kinds(folder: Path) -> dict[str, list[str]]:
    findings = examine(find_dataset(folder), size=32).findings
    return {kind: list(group["scene"]) for kind, group in findings.groupby("kind")}


def test_the_quirks_of_the_small_set_are_found(folder: Path) -> None:
    assert kinds(folder) == {
        "void": ["tile-1/image_part_001", "tile-2/image_part_002"],
        "palette file": ["tile-2/image_part_001", "tile-2/image_part_002"],
    }


def test_void_is_counted_in_pixels(folder: Path) -> None:
    health = examine(find_dataset(folder), size=32)
    assert list(health.findings[health.findings["kind"] == "void"]["pixels"]) == [350, 400]
    assert health.scenes[VOID_NAME].sum() == 750


def resaved(path: Path, **how: object) -> Path:
    """The mask at `path` saved as JPEG in its place."""
    with Image.open(path) as mask:
        mask.convert("RGB").save(path.with_suffix(".jpg"), **how)
    path.unlink()
    return path.with_suffix(".jpg")


def test_a_mask_saved_as_jpeg_is_smeared_and_told_what_to_do(folder: Path) -> None:
    path = resaved(folder / "Tile 1" / "masks" / "image_part_002.png", quality=90)
    dataset = find_dataset(folder)
    findings = examine(dataset, size=32).findings
    found = findings[findings["kind"] == "smeared"]
    assert list(found["scene"]) == ["tile-1/image_part_002"]
    assert list(found["severity"]) == ["warning"]
    assert found["file"].iloc[0] == f"masks/{path.name}"
    colours = np.unique(np.asarray(Image.open(path)).reshape(-1, 3), axis=0)
    strays = set(map(tuple, colours.tolist())) - {*dataset.palette.colors, (0, 0, 0)}
    assert f"{len(strays):,} different ones: save the mask as PNG" in found["detail"].iloc[0]
    _, mask = read_scene(dataset.scene("tile-1/image_part_002"), dataset.palette)
    assert found["pixels"].iloc[0] == (mask == 255).sum()


def test_a_few_colours_of_another_palette_are_void_not_smeared(folder: Path) -> None:
    path = folder / "Tile 1" / "masks" / "image_part_002.png"
    with Image.open(path) as mask:
        Image.fromarray(255 - np.asarray(mask)).save(path)
    assert "tile-1/image_part_002" in kinds(folder)["void"]


def test_transparent_pixels_of_a_mask_are_a_finding_of_their_own(folder: Path) -> None:
    path = folder / "Tile 1" / "masks" / "image_part_001.png"
    with Image.open(path) as mask:
        pixels = np.asarray(mask.convert("RGBA")).copy()
    pixels[-5:, -20:, 3] = 0
    Image.fromarray(pixels).save(path)
    health = examine(find_dataset(folder), size=32)
    found = health.findings.set_index("kind")["pixels"].to_dict()
    assert (found["transparent"], health.scenes[VOID_NAME].iloc[0]) == (100, 350 + 100)
    assert health.findings.query("kind == 'void'")["pixels"].tolist() == [350, 400]
    detail = health.findings.query("kind == 'transparent'")["detail"].iloc[0]
    assert detail == f"100 pixels ({10_000 / (65 * 97):.2f} %) are transparent"


def test_a_scene_smaller_than_a_patch_is_a_finding(folder: Path) -> None:
    health = examine(find_dataset(folder), size=66)
    found = health.findings.query("kind == 'too small'")
    assert list(found["scene"]) == ["tile-1/image_part_001", "tile-2/image_part_001", "tile-2/image_part_002"]
    assert found["detail"].iloc[0] == "its 97 × 65 pixels are less than a patch of 66 × 66"
    assert set(health.patches["scene"]) == {"tile-1/image_part_002"}


def test_patches_are_counted_of_scenes_that_can_be_read_to_the_end(folder: Path) -> None:
    path = folder / "Tile 1" / "images" / "image_part_001.jpg"
    path.write_bytes(path.read_bytes()[:-500])  # its header is whole
    dataset = find_dataset(folder)
    tiles = tile_table(dataset, 32)
    assert tiles["patches"].tolist() == [12, 16]
    assert usable_patches(tiles, examine(dataset, 32))["patches"].tolist() == [6, 16]


def test_unpaired_files_are_found(folder: Path) -> None:
    (folder / "Tile 1" / "masks" / "image_part_001.png").rename(folder / "Tile 1" / "masks" / "other.png")
    report = examine(find_dataset(folder), size=32).findings
    assert sorted(report[report["kind"] == "unpaired"]["file"]) == ["images/image_part_001.jpg", "masks/other.png"]


def test_a_mask_of_another_size_is_found(folder: Path) -> None:
    path = folder / "Tile 1" / "masks" / "image_part_002.png"
    Image.open(path).crop((0, 0, 90, 60)).save(path)
    health = examine(find_dataset(folder), size=32)
    found = health.findings[health.findings["kind"] == "unreadable"].iloc[0]
    assert found["scene"] == "tile-1/image_part_002"
    assert "90 × 60" in found["detail"]
    assert "97 × 66" in found["detail"]
    assert "tile-1/image_part_002" not in set(health.scenes["scene"])


def test_names_that_are_not_utf8_or_hold_line_breaks_are_reported_fit_to_print(folder: Path) -> None:
    (folder / "Tile 1").rename(folder / os.fsdecode(b"Caf\xe9 1"))
    (folder / "Tile 2" / "masks" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    (folder / "Tile 2" / "images" / "a\nb.jpg").write_bytes(b"")
    health = examine(find_dataset(folder), size=32)
    assert set(health.scenes["tile"]) == {"Caf\N{REPLACEMENT CHARACTER} 1", "Tile 2"}
    unpaired = health.findings.loc[health.findings["kind"] == "unpaired", "file"]
    assert set(unpaired) == {"images/a\N{REPLACEMENT CHARACTER}b.jpg", "masks/caf\N{REPLACEMENT CHARACTER}.png"}


def test_a_truncated_image_is_found(folder: Path) -> None:
    path = folder / "Tile 1" / "images" / "image_part_001.jpg"
    path.write_bytes(path.read_bytes()[:700])
    assert kinds(folder)["unreadable"] == ["tile-1/image_part_001"]


def test_a_copy_under_another_name_and_format_is_a_duplicate(folder: Path) -> None:
    tile = folder / "Tile 2"
    Image.open(tile / "images" / "image_part_001.png").save(tile / "images" / "image_part_009.tif")
    shutil.copy(tile / "masks" / "image_part_001.png", tile / "masks" / "image_part_009.png")
    assert kinds(folder)["duplicate"] == ["tile-2/image_part_009"]


def test_an_image_of_one_colour_is_near_constant(folder: Path) -> None:
    path = folder / "Tile 2" / "images" / "image_part_002.png"
    Image.new("RGB", Image.open(path).size, (200, 190, 180)).save(path)
    assert kinds(folder)["near-constant"] == ["tile-2/image_part_002"]


def test_class_pixels_of_scenes_equal_a_count_of_the_colours(folder: Path) -> None:
    health = examine(find_dataset(folder), size=32)
    mask = np.asarray(Image.open(folder / "Tile 2" / "masks" / "image_part_001.png").convert("RGB"))
    roads = int((mask == (110, 193, 228)).all(-1).sum())
    row = health.scenes.set_index("scene").loc["tile-2/image_part_001"]
    assert row["Road"] == roads
    assert row["height"] * row["width"] == mask.shape[0] * mask.shape[1]


def test_class_pixels_of_patches_add_up_to_the_patch(folder: Path) -> None:
    dataset = find_dataset(folder)
    patches = examine(dataset, size=32).patches
    assert len(patches) == 6 + 6 + 8 + 8
    assert (patches[[*dataset.palette.names, VOID_NAME]].sum(axis=1) == 32 * 32).all()


def test_progress_ends_at_the_number_of_scenes(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    examine(find_dataset(folder), 32, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_set_of_unreadable_scenes_still_gives_a_report(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        path.write_bytes(b"no image")
    health = examine(find_dataset(folder), size=32)
    assert health.scenes.empty
    assert health.patches.empty
    assert set(health.findings["kind"]) == {"unreadable"}


def test_the_nine_masks_with_void_of_the_real_set_are_found(real_dataset: Dataset) -> None:
    findings = examine(real_dataset).findings
    voids = findings[findings["kind"] == "void"]
    assert len(voids) == 9
    assert voids["pixels"].sum() == 552_156
    assert voids.set_index("scene").loc["tile-8/image_part_003", "pixels"] == 545_723
    assert not (findings["severity"] == "error").any()


def test_light_is_mean_and_deviation_of_each_classs_grey(folder: Path) -> None:
    dataset = find_dataset(folder)
    scenes = [read_scene(scene, dataset.palette) for scene in dataset.scenes]
    grey = np.concatenate([image.mean(-1).ravel() / 255 for image, _ in scenes])
    classes = np.concatenate([mask.ravel() for _, mask in scenes])
    for index, row in examine(dataset, size=32).light.iterrows():
        assert row["pixels"] == (classes == index).sum()
        assert row["brightness"] == pytest.approx(grey[classes == index].mean(), abs=1e-5)
        assert row["contrast"] == pytest.approx(grey[classes == index].std(), abs=1e-4)


def test_what_was_found_is_not_computed_again(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path / "set"))
    kept = KeptResults(tmp_path / "kept.sqlite", 1 << 20)
    first = examine(dataset, 32, kept=kept)
    images = [scene.image for scene in dataset.scenes]
    for image in images:  # the same size and time, but no picture: who reads it finds that out
        status = image.stat()
        image.write_bytes(bytes(status.st_size))
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = examine(dataset, 32, kept=kept)
    for table in ("scenes", "patches", "findings", "light"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(again, table))
    images[0].touch()
    changed = examine(dataset, 32, kept=kept)
    assert len(changed.scenes) == len(first.scenes) - 1
    assert "unreadable" in set(changed.findings["kind"]) - set(first.findings["kind"])
    assert examine(dataset, 16, kept=kept).scenes.empty  # patches of another size are others


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4000)])
def test_a_broken_file_of_what_was_found_costs_time_only(content: bytes, write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path / "set"))
    path = tmp_path / "kept.sqlite"
    path.write_bytes(content)
    for _ in range(2):
        pd.testing.assert_frame_equal(
            examine(dataset, 32, kept=KeptResults(path, 1 << 20)).patches, examine(dataset, 32).patches
        )
    assert KeptResults(path, 1).read(["nothing"]) == {}


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[[], [0, 0], [], 1]\n123", b"[{}, [9, 9], [], 0, null]\n" + bytes(8 * 18)]
)
def test_what_is_no_examined_scene_is_none(value: bytes) -> None:
    assert Examined.from_bytes(value, 6) is None


def test_what_is_known_is_reported_until_a_file_changes(folder: Path, tmp_path: Path) -> None:
    dataset, kept = find_dataset(folder), KeptResults(tmp_path / "kept.sqlite", 1 << 20)
    assert known_report(dataset, 32, kept) is None
    expected = examine(dataset, 32, kept=kept)
    known = known_report(dataset, 32, kept)
    assert known is not None and known.findings.equals(expected.findings)
    with Image.open(dataset.scenes[0].image) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(dataset.scenes[0].image)
    assert known_report(dataset, 32, kept) is None
