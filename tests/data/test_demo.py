"""The demo set: what is on disk, what is in the masks, and how it gets into place."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data import demo
from segmentation.data.palette import DUBAI, VOID
from segmentation.errors import SegmentationError

TILES = ("Tile 1", "Tile 2")
PARTS = range(1, 10)


@pytest.fixture(scope="session")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """The set, made once for all tests, and the progress that was reported meanwhile."""
    reports = []
    folder = tmp_path_factory.mktemp("home") / "nested" / "demo"
    return demo.make_demo(folder, lambda done, total: reports.append((done, total))), reports


@pytest.fixture(scope="session")
def labels(demo_set: tuple[Path, list]) -> dict[tuple[str, int], np.ndarray]:
    """Class indices of every scene by tile and part."""
    return {
        (tile, part): DUBAI.encode(np.asarray(mask(demo_set[0], tile, part).convert("RGB"))) for tile, part in scenes()
    }


@pytest.fixture
def copied(demo_set: tuple[Path, list], tmp_path: Path) -> Path:
    """A copy of the set that a test may spoil."""
    return shutil.copytree(demo_set[0], tmp_path / "demo")


@pytest.fixture
def build_by_copying(demo_set: tuple[Path, list], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `make_demo` copy the set instead of drawing it again."""
    monkeypatch.setattr(demo, "_build", lambda folder, progress: shutil.copytree(demo_set[0], folder))


def scenes() -> list[tuple[str, int]]:
    return [(tile, part) for tile in TILES for part in PARTS]


def image(folder: Path, tile: str, part: int) -> Image.Image:
    return Image.open(folder / tile / "images" / f"image_part_{part:03d}.jpg")


def mask(folder: Path, tile: str, part: int) -> Image.Image:
    return Image.open(folder / tile / "masks" / f"image_part_{part:03d}.png")


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_files_are_named_as_in_the_real_set(demo_set: tuple[Path, list]) -> None:
    kinds = (("images", "jpg"), ("masks", "png"))
    expected = {f"{tile}/{kind}/image_part_{part:03d}.{end}" for tile, part in scenes() for kind, end in kinds}
    assert set(fingerprint(demo_set[0])) == expected | {"demo.json"}
    assert sum(path.stat().st_size for path in demo_set[0].rglob("*")) < 8e6


def test_masks_match_images_and_hold_24_patches(demo_set: tuple[Path, list]) -> None:
    for tile in TILES:
        sizes = [image(demo_set[0], tile, part).size for part in PARTS]
        assert sizes == [mask(demo_set[0], tile, part).size for part in PARTS]
        assert {(width // 160, height // 160) for width, height in sizes} == {(6, 4)}
        assert {max(side) - min(side) for side in zip(*sizes, strict=True)} == {1}


def test_masks_hold_the_palette_and_few_void_pixels(labels: dict[tuple[str, int], np.ndarray]) -> None:
    void = [int((indices == VOID).sum()) for indices in labels.values()]
    assert sum(count > 0 for count in void) == 2
    assert all(100 <= count <= 1000 for count in void if count)


def test_void_is_black(demo_set: tuple[Path, list], labels: dict[tuple[str, int], np.ndarray]) -> None:
    for scene, indices in labels.items():
        colors = np.asarray(mask(demo_set[0], *scene).convert("RGB"))
        assert not colors[indices == VOID].any()


def test_one_mask_is_in_palette_mode(demo_set: tuple[Path, list]) -> None:
    modes = [mask(demo_set[0], *scene).mode for scene in scenes()]
    assert sorted(modes) == ["P"] + ["RGB"] * 17


def test_each_tile_has_every_class_in_a_plausible_share(labels: dict[tuple[str, int], np.ndarray]) -> None:
    counts = {tile: sum(np.bincount(labels[tile, part].ravel(), minlength=256)[:6] for part in PARTS) for tile in TILES}
    for count in counts.values():
        assert (count / count.sum() > 0.002).all()
    share = sum(counts.values()) / sum(counts.values()).sum()
    low = [0.12, 0.45, 0.08, 0.08, 0.10, 0.003]
    high = [0.18, 0.55, 0.12, 0.12, 0.17, 0.010]
    assert (share > low).all()
    assert (share < high).all(), dict(zip(DUBAI.names, share.round(3).tolist(), strict=True))


def test_neighbours_continue_each_other(demo_set: tuple[Path, list], labels: dict[tuple[str, int], np.ndarray]) -> None:
    for tile in TILES:
        for left, right in ((1, 2), (5, 6), (8, 9)):
            edges = labels[tile, left][:, -1], labels[tile, right][:, 0]
            assert (edges[0] == edges[1]).mean() > 0.97
        for upper, lower in ((1, 4), (5, 8), (6, 9)):
            rows = [np.asarray(image(demo_set[0], tile, part), float) for part in (upper, lower)]
            assert np.abs(rows[0][-1] - rows[1][0]).mean() < 15


def test_classes_look_different(demo_set: tuple[Path, list], labels: dict[tuple[str, int], np.ndarray]) -> None:
    for tile in TILES:
        pixels, indices = np.asarray(image(demo_set[0], tile, 4), float), labels[tile, 4]
        building, land, road, vegetation, water = (pixels[indices == index].mean(0) for index in range(5))
        assert land.mean() > road.mean() + 30
        assert building.mean() > road.mean() + 30
        assert vegetation[1] > vegetation[0] > vegetation[2]
        assert water.mean() < land.mean() - 50


def test_progress_counts_scenes(demo_set: tuple[Path, list]) -> None:
    assert demo_set[1] == [(done, 18) for done in range(1, 19)]


def test_another_folder_gets_the_same_bytes(demo_set: tuple[Path, list], tmp_path: Path) -> None:
    assert fingerprint(demo.make_demo(tmp_path / "demo")) == fingerprint(demo_set[0])
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_second_call_leaves_files_untouched(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_build", lambda folder, progress: pytest.fail("built again"))
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert demo.make_demo(copied) == copied
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before


@pytest.mark.usefixtures("build_by_copying")
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "beach.jpg").write_bytes(b"mine")
    with pytest.raises(SegmentationError, match=r"holiday holds something else: choose .*\.$"):
        demo.make_demo(foreign)
    with pytest.raises(SegmentationError):
        demo.make_demo(foreign / "beach.jpg")
    assert fingerprint(tmp_path) == {"holiday/beach.jpg": hashlib.sha256(b"mine").hexdigest()}


@pytest.mark.usefixtures("build_by_copying")
def test_an_empty_folder_is_filled(demo_set: tuple[Path, list], tmp_path: Path) -> None:
    assert fingerprint(demo.make_demo(tmp_path)) == fingerprint(demo_set[0])


@pytest.mark.usefixtures("build_by_copying")
@pytest.mark.parametrize("marker", ['{"version": 0}', "[]", "not JSON"])
def test_another_version_is_replaced(demo_set: tuple[Path, list], copied: Path, marker: str) -> None:
    (copied / "demo.json").write_text(marker, encoding="utf-8")
    (copied / "Tile 1" / "images" / "image_part_001.jpg").write_bytes(b"old")
    assert fingerprint(demo.make_demo(copied)) == fingerprint(demo_set[0])
    assert [path.name for path in copied.parent.iterdir()] == ["demo"]


@pytest.mark.usefixtures("build_by_copying")
def test_a_set_that_lost_a_file_is_made_anew(demo_set: tuple[Path, list], copied: Path) -> None:
    (copied / "Tile 2" / "masks" / "image_part_009.png").unlink()
    assert fingerprint(demo.make_demo(copied)) == fingerprint(demo_set[0])


def test_two_processes_at_once_end_with_one_set(
    demo_set: tuple[Path, list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_while_another_finishes(folder: Path, _: object) -> None:
        shutil.copytree(demo_set[0], folder)
        shutil.copytree(demo_set[0], tmp_path / "demo")

    monkeypatch.setattr(demo, "_build", build_while_another_finishes)
    assert fingerprint(demo.make_demo(tmp_path / "demo")) == fingerprint(demo_set[0])
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_until_interrupted(folder: Path, _: object) -> None:
        (folder / "Tile 1").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_build", build_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_the_marker_holds_the_version(demo_set: tuple[Path, list]) -> None:
    assert json.loads((demo_set[0] / "demo.json").read_text(encoding="utf-8")) == {"version": demo.VERSION}
