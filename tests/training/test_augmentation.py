"""How training patches are changed: masks follow their images in place, and never in value."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from segmentation.configuration import Configuration
from segmentation.data.demo import make_demo
from segmentation.data.palette import DUBAI, VOID
from segmentation.data.patches import Patches, cut, load_patches, patch_table
from segmentation.data.scenes import find_dataset
from segmentation.training.augmentation import Windows, augment

SIZE = 8


def configuration(**options: object) -> Configuration:
    return Configuration(**{"patch_size": SIZE, **options})


def paint(masks: np.ndarray) -> np.ndarray:
    """A colour a class, from dark to light."""
    return np.stack([10 + 15 * masks, 12 + 15 * masks, 14 + 15 * masks], axis=-1).astype(np.uint8)


# FairQueue


def eight_ways(mask: np.ndarray) -> list[bytes]:
    """The eight flips and rotations of a square, as swaps of axes and directions."""
    return [
        np.transpose(mask, axes)[:: 1 - 2 * up, :: 1 - 2 * left].tobytes()
        for axes in permutations((0, 1))
        for up in (0, 1)
        for left in (0, 1)
    ]


def test_a_patch_is_shown_in_all_its_eight_flips_and_rotations_and_no_other_way() -> None:
    mask = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    masks = np.repeat(mask[None], 200, axis=0)
    rng = np.random.default_rng(0)
    _, turned = augment(paint(masks % 6), masks, configuration(flips_and_rotations=True), rng)
    assert {one.tobytes() for one in turned} == set(eight_ways(mask))


# Light, colour and sharpness


@pytest.mark.parametrize("name", ["brightness", "contrast", "haze", "hue", "blur"])
def test_light_colour_and_sharpness_are_changed_in_images_only(name: str) -> None:
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (3, SIZE, SIZE, 3), np.uint8), rng.integers(0, 6, (3, SIZE, SIZE), np.uint8)
    changed, same = augment(images, masks, configuration(**{name: 0.5}), rng)
    assert np.array_equal(same, masks)
    assert all((changed[i] != images[i]).any() for i in range(3))
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)


@pytest.mark.parametrize("name", ["flips_and_rotations", "brightness", "contrast", "haze", "blur"])
@pytest.mark.parametrize("bands", [1, 2, 4, 12])
def test_each_of_any_number_of_bands_is_changed_as_a_grey_picture_is(name: str, bands: int) -> None:
    """Also where Pillow would take the fourth band for transparency."""
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, bands), np.uint8)
    how = configuration(**{name: True if name == "flips_and_rotations" else 0.5})
    changed, masks = augment(images, images[..., 0], how, np.random.default_rng(1))
    for band in range(bands):
        grey = np.repeat(images[..., band, None], 3, axis=-1)
        expected, same = augment(grey, images[..., 0], how, np.random.default_rng(1))
        assert np.array_equal(changed[..., band], expected[..., 0])
        assert np.array_equal(masks, same)


@pytest.mark.parametrize("bands", [1, 2, 4, 12])
def test_hue_is_turned_only_where_there_are_three_bands(bands: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, bands), np.uint8)
    changed, _ = augment(images, images[..., 0], configuration(hue=0.5), np.random.default_rng(1))
    assert np.array_equal(changed, images)


def test_brightness_shifts_a_patch_by_no_more_than_its_share() -> None:
    images = np.full((300, SIZE, SIZE, 3), 128, np.uint8)
    masks = np.zeros((300, SIZE, SIZE), np.uint8)
    changed, _ = augment(images, masks, configuration(brightness=0.2), np.random.default_rng(0))
    shifts = changed[:, 0, 0, 0].astype(int) - 128
    assert np.array_equal(changed, np.broadcast_to(changed[:, :1, :1, :1], changed.shape))
    assert -52 <= shifts.min() < -45
    assert 45 < shifts.max() <= 51


def test_contrast_spreads_a_patch_about_mid_grey_by_no_more_than_its_share() -> None:
    images = np.zeros((300, SIZE, SIZE, 3), np.uint8) + np.uint8(100)
    images[:, ::2] = 155
    masks = np.zeros((300, SIZE, SIZE), np.uint8)
    changed, _ = augment(images, masks, configuration(contrast=0.2), np.random.default_rng(0))
    spread = changed[:, 0, 0, 0].astype(int) - changed[:, 1, 0, 0]
    middle = (changed[:, 0, 0, 0].astype(int) + changed[:, 1, 0, 0]) / 2
    assert 43 <= spread.min() < 46
    assert 64 < spread.max() <= 67
    assert np.abs(middle - 127.5).max() <= 1


def test_the_brightest_and_darkest_values_do_not_wrap_around() -> None:
    images = np.zeros((100, SIZE, SIZE, 3), np.uint8)
    images[:, ::2] = 255
    masks = np.zeros((100, SIZE, SIZE), np.uint8)
    changed, _ = augment(images, masks, configuration(brightness=0.5, contrast=0.5), np.random.default_rng(0))
    assert np.all(changed[:, 0] > changed[:, 1])


def test_haze_brightens_and_flattens_and_never_darkens() -> None:
    images = np.zeros((300, SIZE, SIZE, 3), np.uint8)
    images[:, ::2] = 200
    changed, _ = augment(images, images[..., 0], configuration(haze=0.5), np.random.default_rng(0))
    dark, light = changed[:, 1, 0, 0].astype(int), changed[:, 0, 0, 0].astype(int)
    assert (dark >= 0).all()
    assert (light >= 200).all()
    assert dark.max() > 120  # half of the way to white is 127
    assert dark.max() <= 127
    assert np.abs((light - dark) - 200 * (1 - dark / 255)).max() <= 1  # contrast goes as much as white comes


def test_hue_turns_colours_and_leaves_greys_alone() -> None:
    images = np.zeros((50, SIZE, SIZE, 3), np.uint8)
    images[:, :4] = 120
    images[:, 4:, :, 0] = 200
    changed, _ = augment(images, images[..., 0], configuration(hue=0.2), np.random.default_rng(0))
    assert (changed[:, :4] == 120).all()
    assert (changed[:, 4:].max(-1) == 200).all()  # as bright as before
    turned = changed[:, 4, 0].astype(int)
    assert (turned[:, 1] > 0).any()  # red turns towards yellow
    assert (turned[:, 2] > 0).any()  # and towards purple


def test_blur_smooths_and_keeps_the_mean() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    changed, _ = augment(images, images[..., 0], configuration(blur=2.0), np.random.default_rng(0))
    assert changed.std() < 0.7 * images.std()
    assert np.abs(changed.mean((1, 2)) - images.mean((1, 2))).max() < 2


# Windows


def scene_of(rows: int, columns: int, name: str) -> tuple[np.ndarray, pd.DataFrame]:
    """A scene whose every pixel has its own colour, and its table of patches."""
    height, width = rows * SIZE, columns * SIZE
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    image[..., 2] = len(name)
    return image, patch_table(name, "a tile", rows, columns)


@pytest.fixture(scope="module")
def scenes() -> tuple[list[np.ndarray], Patches]:
    """Two scenes of different shapes, and their patches; a mask repeats its image's row."""
    images, tables = zip(scene_of(3, 4, "a"), scene_of(5, 2, "bb"), strict=True)
    patches = np.concatenate([cut(image, SIZE) for image in images])
    table = pd.concat(tables, ignore_index=True)
    return list(images), Patches(images=patches, masks=patches[..., 0].copy(), table=table)


@pytest.mark.parametrize("window", [(0, 0, 0, 8), (3, 5, 11, 8), (11, 16, 24, 8), (13, 2, 3, 13), (21, 33, 8, 7)])
def test_a_window_is_what_the_scene_holds_there(
    scenes: tuple[list[np.ndarray], Patches], window: tuple[int, int, int, int]
) -> None:
    images, patches = scenes
    index, top, left, side = window
    image, mask = Windows(patches, np.arange(len(patches.masks))).cut(index, top, left, side)
    scene = images[0] if index < 12 else images[1]
    assert np.array_equal(image, scene[top : top + side, left : left + side])
    assert np.array_equal(mask, scene[top : top + side, left : left + side, 0])


def test_labels_of_patches_that_are_held_out_are_void_in_every_window(
    scenes: tuple[list[np.ndarray], Patches],
) -> None:
    _, patches = scenes
    held_out = 5  # row 1, column 1 of the first scene
    windows = Windows(patches, np.delete(np.arange(len(patches.masks)), held_out))
    _, mask = windows.cut(0, 4, 4, 8)
    assert (mask[4:, 4:] == VOID).all()
    assert (mask[:4] != VOID).all()
    assert (mask[:, :4] != VOID).all()
    assert (patches.masks != VOID).all()  # only the windows' own labels were hidden


def test_windows_reach_half_a_patch_off_their_place_and_no_farther(scenes: tuple[list[np.ndarray], Patches]) -> None:
    _, patches = scenes
    windows, rng = Windows(patches, np.arange(len(patches.masks))), np.random.default_rng(0)
    drawn = [windows.draw(5, configuration(random_windows=True), rng)[0] for _ in range(400)]
    tops, lefts = ({int(image[0, 0, axis]) for image in drawn} for axis in (0, 1))
    assert tops == lefts == set(range(4, 13))


def test_windows_stay_in_their_scene(scenes: tuple[list[np.ndarray], Patches]) -> None:
    _, patches = scenes
    windows, rng = Windows(patches, np.arange(len(patches.masks))), np.random.default_rng(0)
    for index in range(len(patches.masks)):
        for _ in range(20):
            image, mask = windows.draw(index, configuration(random_windows=True, zoom=3.0), rng)
            assert (image.shape, mask.shape) == ((SIZE, SIZE, 3), (SIZE, SIZE))
            assert (image[..., 2] == (1 if index < 12 else 2)).all()


def test_zoom_draws_larger_and_smaller_windows_about_the_patchs_middle(
    scenes: tuple[list[np.ndarray], Patches],
) -> None:
    _, patches = scenes
    windows, rng = Windows(patches, np.arange(len(patches.masks))), np.random.default_rng(0)
    spans = []
    for _ in range(200):
        _, mask = windows.draw(5, configuration(zoom=0.5), rng)
        rows = mask[:, 0].astype(int)
        spans.append(rows[-1] - rows[0])
        assert 10 <= (rows[0] + rows[-1]) / 2 <= 13  # the patch's middle is 11.5
        assert set(rows) <= set(range(24))  # nearest: no value that was not there
    assert 3 <= min(spans) <= 5
    assert 10 <= max(spans) <= 12


def test_image_and_mask_stay_in_register_when_zoomed() -> None:
    """A step in the image is where the step in the mask is, to half a pixel."""
    size = 64
    mask = np.zeros((size * 3, size * 3), np.uint8)
    mask[:, 90:] = 1
    image = np.repeat((mask * 200)[..., None], 3, axis=-1)
    patches = Patches(images=cut(image, size), masks=cut(mask, size), table=patch_table("a", "a tile", 3, 3))
    windows, rng = Windows(patches, np.arange(9)), np.random.default_rng(0)
    for _ in range(50):
        seen, labels = windows.draw(4, Configuration(patch_size=size, random_windows=True, zoom=0.4), rng)
        crossing = np.interp(100, seen[0, :, 0].astype(float), np.arange(size)) if labels.any() else None
        if crossing is not None and not labels.all():
            assert abs(crossing - (labels[0].argmax() - 0.5)) <= 0.75


# To the eye


def test_a_sheet_of_the_demo_city_shows_what_each_change_does(tmp_path: Path, screenshots: Path) -> None:
    """Columns: the patch, then each change by itself; its mask below. With --screenshots it is kept."""
    patches = load_patches(find_dataset(make_demo(tmp_path / "demo")))
    index = int(np.argmax([len(np.unique(mask)) for mask in patches.masks]))
    windows, rng = Windows(patches, np.arange(len(patches.masks))), np.random.default_rng(1)
    columns, titles = [(patches.images[index], patches.masks[index])], ["as it is"]
    for options in (
        {"flips_and_rotations": True},
        {"random_windows": True},
        {"zoom": 0.6},
        {"brightness": 0.25},
        {"contrast": 0.5},
        {"haze": 0.6},
        {"hue": 0.15},
        {"blur": 2.0},
    ):
        changed = Configuration(**options)
        image, mask = windows.draw(index, changed, rng)
        images, masks = augment(image[None], mask[None], changed, rng)
        columns.append((images[0], masks[0]))
        titles.append(" ".join(f"{name} {value}" for name, value in options.items()).removesuffix(" True"))
        assert (images[0] != columns[0][0]).any(), options
    sheet = np.concatenate([np.concatenate([image, DUBAI.decode(mask)]) for image, mask in columns], axis=1)
    page = Image.new("RGB", (sheet.shape[1], sheet.shape[0] + 18), "white")
    page.paste(Image.fromarray(sheet), (0, 18))
    for place, title in enumerate(titles):
        ImageDraw.Draw(page).text((160 * place + 4, 3), title.replace("_", " "), "black", font_size=12)
    page.save(screenshots / "augmentation.png")
    assert page.size == (9 * 160, 338)
