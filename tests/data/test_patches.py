"""Scenes to patches and back."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from segmentation.data import patches as patches_module
from segmentation.data.palette import VOID
from segmentation.data.patches import (
    class_counts,
    crop,
    cut,
    grid,
    image_statistics,
    join,
    load_patches,
    patch_name,
    patch_table,
    tile_table,
)
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError, StorageError

Writer = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1817, 2061, (11, 12)), (160, 160, (1, 1)), (159, 1000, (0, 6)), (320, 319, (2, 1))],
)
def test_as_many_patches_fit_as_whole_ones_go_in(height: int, width: int, expected: tuple[int, int]) -> None:
    assert grid(height, width, 160) == expected


@pytest.mark.parametrize("size", [0, -1])
def test_a_patch_has_at_least_one_pixel(size: int) -> None:
    with pytest.raises(ValueError, match="positive patch size"):
        grid(10, 10, size)


def test_the_articles_example_is_cropped_from_the_top_left() -> None:
    array = np.random.default_rng(0).integers(0, 256, (1817, 2061), dtype=np.uint8)
    assert np.array_equal(crop(array, 160), array[:1760, :1920])


def test_patches_are_cut_row_by_row() -> None:
    array = np.arange(5 * 7).reshape(5, 7)
    patches = cut(array, 2)
    assert patches.shape == (6, 2, 2)
    assert patches[:, 0, 0].tolist() == [0, 2, 4, 14, 16, 18]


@pytest.mark.parametrize("shape", [(7, 11), (7, 11, 3), (8, 4, 2, 5), (3, 9), (2, 2)])
def test_every_patch_is_the_square_at_its_place(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    rows, columns = grid(*shape[:2], 2)
    patches = cut(array, 2)
    assert len(patches) == rows * columns
    for row in range(rows):
        for column in range(columns):
            expected = array[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert np.array_equal(patches[row * columns + column], expected)


@pytest.mark.parametrize("shape", [(7, 11), (7, 11, 3), (8, 4, 2, 5), (9, 3), (3, 3)])
def test_joining_undoes_cutting(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    assert np.array_equal(join(cut(array, 3), *grid(*shape[:2], 3)), crop(array, 3))


def test_cutting_undoes_joining() -> None:
    patches = np.random.default_rng(0).random((6, 4, 4, 3))
    assert np.array_equal(cut(join(patches, 2, 3), 4), patches)


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=40), elements=st.integers(0, 255)),
    st.integers(1, 45),
)
def test_cut_and_joined_any_scene_is_itself_cropped(scene: np.ndarray, size: int) -> None:
    """No pixel is lost but the strips at the right and at the bottom, which are narrower than a patch."""
    rows, columns = grid(*scene.shape[:2], size)
    joined = join(cut(scene, size), rows, columns)
    assert np.array_equal(joined, scene[: joined.shape[0], : joined.shape[1]])
    assert all(0 <= whole - kept < size for whole, kept in zip(scene.shape[:2], joined.shape[:2], strict=True))


def test_a_scene_smaller_than_a_patch_gives_none() -> None:
    assert cut(np.zeros((3, 9, 3)), 4).shape == (0, 4, 4, 3)


def test_too_few_patches_are_not_joined() -> None:
    with pytest.raises(ValueError, match="rows × columns"):
        join(np.zeros((5, 2, 2)), 2, 3)


def test_a_patch_is_named_by_scene_row_and_column() -> None:
    assert patch_name("tile-7/image_part_003", 2, 5) == "tile-7/image_part_003/r02c05"


def test_names_stay_apart_beyond_a_hundred_rows() -> None:
    assert patch_name("s", 110, 1) != patch_name("s", 11, 1)


def test_the_table_of_a_scene_has_a_row_a_patch_row_by_row() -> None:
    table = patch_table("t/s", "T", 2, 2)
    assert table.to_dict("list") == {
        "patch": ["t/s/r00c00", "t/s/r00c01", "t/s/r01c00", "t/s/r01c01"],
        "tile": ["T"] * 4,
        "scene": ["t/s"] * 4,
        "row": [0, 0, 1, 1],
        "column": [0, 1, 0, 1],
    }


def test_the_table_of_tiles_tells_sizes_and_patches(small_dataset: Dataset) -> None:
    assert tile_table(small_dataset, 32).to_numpy().tolist() == [
        ["Tile 1", 2, "65–66", "97", 12],
        ["Tile 2", 2, "65", "128–129", 16],
    ]


def test_the_table_of_tiles_counts_a_broken_scene_without_patches(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    dataset.scenes[0].image.write_bytes(b"no picture")
    dataset.scenes[1].image.unlink()
    assert tile_table(dataset, 32).to_numpy().tolist()[0] == ["Tile 1", 2, "–", "–", 0]


def test_the_table_of_tiles_counts_no_patch_of_a_scene_whose_mask_cannot_be_used(
    write_dataset: Writer, tmp_path: Path
) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    crop_mask(dataset, 0)
    damage_mask(dataset, 3)
    assert tile_table(dataset, 32).to_numpy().tolist() == [
        ["Tile 1", 2, "66", "97", 6],
        ["Tile 2", 2, "65", "129", 8],
    ]


def test_the_real_set_gives_the_articles_3483_patches(real_dataset: Dataset) -> None:
    table = tile_table(real_dataset)
    assert table["patches"].tolist() == [144, 81, 144, 270, 378, 225, 1188, 1053]
    assert table["patches"].sum() == 3483


def test_the_real_tiles_differ_by_a_pixel(real_dataset: Dataset) -> None:
    table = tile_table(real_dataset).set_index("tile")
    assert table.loc["Tile 1", ["height", "width"]].tolist() == ["643–644", "797"]
    assert table.loc["Tile 7", ["height", "width"]].tolist() == ["2061–2062", "1816–1817"]


def test_all_patches_are_those_of_the_scenes_one_after_another(small_dataset: Dataset) -> None:
    patches = load_patches(small_dataset, 32)
    images, masks = [], []
    for scene in small_dataset.scenes:
        image, mask = read_scene(scene, small_dataset.palette)
        for row in range(image.shape[0] // 32):
            for column in range(image.shape[1] // 32):
                place = slice(32 * row, 32 * row + 32), slice(32 * column, 32 * column + 32)
                images.append(image[place])
                masks.append(mask[place])
    assert np.array_equal(patches.images, images)
    assert np.array_equal(patches.masks, masks)


def test_every_patch_has_its_row_in_the_table(small_dataset: Dataset) -> None:
    patches = load_patches(small_dataset, 32)
    assert patches.table["scene"].value_counts(sort=False).to_dict() == {
        "tile-1/image_part_001": 6,
        "tile-1/image_part_002": 6,
        "tile-2/image_part_001": 8,
        "tile-2/image_part_002": 8,
    }
    assert patches.table["patch"].is_unique
    assert len(patches.images) == len(patches.masks) == len(patches.table) == 28


def test_void_stays_void_in_patches(small_dataset: Dataset) -> None:
    assert np.all(load_patches(small_dataset, 32).masks[0, 3:13, 5:] == VOID)


def test_the_patch_protocol_counts_void_as_unlabeled(small_dataset: Dataset) -> None:
    plain, settled = load_patches(small_dataset, 32).masks, load_patches(small_dataset, 32, protocol="patch").masks
    assert (plain == VOID).any()
    assert np.array_equal(settled, np.where(plain == VOID, 5, plain))
    assert np.array_equal(load_patches(small_dataset, 32, protocol="scene").masks, plain)


def test_many_patches_lie_on_the_disk_and_leave_nothing_there(
    small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load_patches(small_dataset, 32)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(patches_module, "IN_MEMORY", 0)
    large = load_patches(small_dataset, 32)
    assert isinstance(large.images, np.memmap)
    assert isinstance(large.masks, np.memmap)
    assert np.array_equal(large.images, small.images)
    assert np.array_equal(large.masks, small.masks)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_named(
    small_dataset: Dataset, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    monkeypatch.setattr(patches_module, "IN_MEMORY", 0)
    (small_disk / "ballast").write_bytes(bytes((2 << 20) - (64 << 10)))
    with pytest.raises(StorageError, match=r"has no room for 0\.0 GB of patches: make room"):
        load_patches(small_dataset, 32)


def test_loading_reports_every_scene(small_dataset: Dataset) -> None:
    calls = []
    load_patches(small_dataset, 32, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def damage_image(dataset: Dataset, scene: int) -> None:
    """Cut the file short: its header still tells the size."""
    path = dataset.scenes[scene].image
    path.write_bytes(path.read_bytes()[:-500])


def damage_mask(dataset: Dataset, scene: int) -> None:
    dataset.scenes[scene].mask.write_bytes(b"no picture")


def crop_mask(dataset: Dataset, scene: int) -> None:
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(dataset.scenes[scene].mask)


def remove_image(dataset: Dataset, scene: int) -> None:
    dataset.scenes[scene].image.unlink()


@pytest.mark.parametrize("damage", [damage_image, damage_mask, crop_mask, remove_image])
@pytest.mark.parametrize("scene", [1, 2])
def test_an_unusable_scene_is_passed_over_and_named(
    write_dataset: Writer, tmp_path: Path, damage: Callable[[Dataset, int], None], scene: int
) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    whole = load_patches(dataset, 32)
    damage(dataset, scene)
    patches = load_patches(dataset, 32)
    name = dataset.scenes[scene].name
    kept = (whole.table["scene"] != name).to_numpy()
    assert np.array_equal(patches.images, whole.images[kept])
    assert np.array_equal(patches.masks, whole.masks[kept])
    assert patches.table["patch"].tolist() == whole.table["patch"][kept].tolist()
    assert [sentence.split(":")[0] for sentence in patches.skipped] == [name]


def test_scenes_smaller_than_a_patch_are_refused_with_a_way_out(small_dataset: Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"gives a patch of 160 × 160 pixels: choose a smaller patch size\.$"):
        load_patches(small_dataset, 160)


def test_a_scene_smaller_than_a_patch_among_others_is_left_out_and_said(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    for path in (dataset.scenes[0].image, dataset.scenes[0].mask):
        with Image.open(path) as picture:
            picture.crop((0, 0, 90, 31)).save(path)
    patches = load_patches(dataset, 32)
    sentence = f"{dataset.scenes[0].name}: its 90 × 31 pixels are less than a patch of 32 × 32"
    assert patches.skipped == (sentence,)
    assert patches.remarks(dataset, None) == [f"Left out 1 of 4 scenes: {sentence}"]


def test_unreadable_scenes_are_not_blamed_on_the_patch_size(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    for scene in range(4):
        damage_mask(dataset, scene)
    with pytest.raises(ConfigurationError, match=r"is not an image that can be read") as caught:
        load_patches(dataset, 32)
    assert "smaller patch size" not in str(caught.value)


def test_brightness_and_contrast_are_mean_and_deviation_of_grey() -> None:
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[0, 0] = 255  # half black, half white
    images[1] = (30, 60, 90)
    brightness, contrast = image_statistics(images)
    assert brightness == pytest.approx([0.5, 60 / 255])
    assert contrast == pytest.approx([0.5, 0], abs=1e-6)


def test_classes_are_counted_mask_by_mask_and_void_last() -> None:
    masks = np.array([[[0, 1, 1]], [[VOID, 2, VOID]]], np.uint8)
    assert class_counts(masks, 3).tolist() == [[1, 2, 0, 0], [0, 0, 1, 2]]
