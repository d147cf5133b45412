"""Pictures keep masks hard-edged and in register with their images."""

import numpy as np

from segmentation.data.palette import DUBAI, VOID
from segmentation.ui.pictures import draw_patch_grid, fit, in_a_row, overlay


def test_a_small_picture_is_left_alone() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    assert fit(pixels, 20) is pixels


def test_shrinking_a_mask_invents_no_colour() -> None:
    rng = np.random.default_rng(0)
    mask = DUBAI.decode(rng.integers(0, 6, (301, 207), dtype=np.uint8))
    small = fit(mask, 100)
    assert max(small.shape) == 100
    assert (DUBAI.encode(small) != VOID).all()


def test_image_and_mask_shrink_to_the_same_size() -> None:
    pixels = np.zeros((301, 207, 3), np.uint8)
    assert fit(pixels, 100, smooth=True).shape == fit(pixels, 100).shape


def test_overlay_at_the_ends_is_the_image_and_the_mask() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    mask = rng.integers(0, 6, (8, 9), dtype=np.uint8)
    assert np.array_equal(overlay(image, mask, DUBAI, 0), image)
    assert np.array_equal(overlay(image, mask, DUBAI, 1), DUBAI.decode(mask))


def test_overlay_leaves_out_classes_that_are_not_asked_for() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, VOID]], np.uint8)
    drawn = overlay(image, mask, DUBAI, 1, classes=[1])
    assert drawn[0].tolist() == [[100, 100, 100], list(DUBAI.colors[1]), [0, 0, 0]]


def test_the_grid_fades_what_cropping_drops_and_nothing_else() -> None:
    image = np.zeros((70, 50, 3), np.uint8)
    drawn = draw_patch_grid(image, 32)
    assert (drawn[64:] == 168).all()
    assert (drawn[:, 32:] == 168).all()
    assert (drawn[:31, :31] == 0).all()
    assert (image == 0).all()


def test_a_row_keeps_every_pixel_and_separates_by_transparency() -> None:
    left, right = np.full((4, 5, 3), 10, np.uint8), np.full((4, 6, 3), 20, np.uint8)
    row = in_a_row([left, right], gap=2)
    assert row.shape == (4, 13, 4)
    assert (row[:, :5, :3] == 10).all()
    assert (row[:, 5:7, 3] == 0).all()
    assert (row[:, 7:, :3] == 20).all()
