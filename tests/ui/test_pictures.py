"""Pictures keep masks hard-edged and in register with their images."""

import numpy as np
import pytest

from segmentation.data.palette import DUBAI, VOID
from segmentation.ui import pictures
from segmentation.ui.pictures import (
    draw_frame,
    draw_patch_grid,
    error_map,
    fit,
    heat,
    in_a_row,
    in_place,
    outline,
    overlay,
    titled,
)


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


def test_an_outline_touches_the_borders_only_each_side_in_its_colour() -> None:
    image = np.full((6, 8, 3), 100, np.uint8)
    mask = np.zeros((6, 8), np.uint8)
    mask[:, 4:] = 3
    drawn = outline(image, mask, DUBAI)
    assert (drawn[:, 3] == DUBAI.colors[0]).all()
    assert (drawn[:, 4] == DUBAI.colors[3]).all()
    assert (np.delete(drawn, (3, 4), axis=1) == 100).all()
    only = outline(image, mask, DUBAI, classes=[3])
    assert (only[:, 3] == 100).all()
    assert (only[:, 4] == DUBAI.colors[3]).all()


def test_an_error_map_colours_wrong_pixels_by_what_they_were_taken_for() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    truth, predicted = np.array([[2, 2, VOID]], np.uint8), np.array([[2, 4, 4]], np.uint8)
    drawn = error_map(image, truth, predicted, DUBAI)
    assert drawn[0, 1].tolist() == list(DUBAI.colors[4])
    assert (drawn[0, 0] == drawn[0, 2]).all()  # right and void are both faded
    assert len(set(drawn[0, 0].tolist())) == 1  # to grey


def test_heat_rises_from_dark_to_light() -> None:
    row = heat(np.linspace(0, 1, 11)[None])[0].astype(int)
    assert (np.diff(row.sum(1)) > 0).all()
    assert (heat(np.array([[-1.0, 2.0]]))[0] == heat(np.array([[0.0, 1.0]]))[0]).all()


def test_a_report_holds_the_pictures_unchanged_but_for_whole_pixels() -> None:
    rng = np.random.default_rng(0)
    masks = [DUBAI.decode(rng.integers(0, 6, (50, 160), dtype=np.uint8)) for _ in range(2)]
    page = titled([("one", masks[0]), ("other", masks[1])], DUBAI)
    enlarged = [mask.repeat(2, 0).repeat(2, 1) for mask in masks]
    places = []
    for wanted in enlarged:
        height, width = wanted.shape[:2]
        places += [
            (top, left)
            for top in range(page.shape[0] - height + 1)
            for left in range(page.shape[1] - width + 1)
            if (page[top, left] == wanted[0, 0]).all()
            and np.array_equal(page[top : top + height, left : left + width], wanted)
        ]
    assert len(places) == 2
    assert places[0][0] == places[1][0]
    legend = page[places[0][0] + 100 :]
    for color in DUBAI.colors:
        assert (legend == color).all(-1).sum() > 50


def test_parts_of_one_area_are_put_together_though_they_differ_by_a_pixel() -> None:
    shapes = [[(5, 7), (5, 8)], [(6, 7), (5, 8)]]
    rows = [[np.full((*shape, 3), 10 * i + j, np.uint8) for j, shape in enumerate(row)] for i, row in enumerate(shapes)]
    whole = in_place(rows)
    assert whole.shape == (10, 15, 3)
    assert [int(whole[r, c, 0]) for r, c in ((0, 0), (0, 14), (9, 0), (9, 14))] == [0, 1, 10, 11]


def test_a_frame_leaves_the_square_as_it_is_and_fades_the_rest() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    image[10:20, 30:40] = 7
    drawn = draw_frame(image, 10, 30, 10)
    assert (drawn[10:20, 30:40] == 7).all()
    assert (drawn[9, 30:40] == 255).all()
    assert (drawn[0, 0] == 200).all()  # 0.6 of 200, and 80


def test_a_frame_at_the_corner_stays_in_the_picture() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    assert (draw_frame(image, 0, 10, 10)[:10, 10:] == 7).all()


@pytest.mark.parametrize("smooth", [True, False])
def test_a_picture_is_shrunk_in_strips_as_it_is_in_one(smooth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (301, 173, 3), dtype=np.uint8)
    whole = pictures.fit(pixels, 60, smooth)
    monkeypatch.setattr(pictures, "STRIP", 173 * 20)
    assert np.abs(pictures.fit(pixels, 60, smooth).astype(int) - whole).max() <= (1 if smooth else 0)


def test_the_rows_and_columns_kept_of_a_mask_are_those_of_its_picture() -> None:
    mask = np.random.default_rng(4).integers(0, 256, (301, 173), dtype=np.uint8)
    assert np.array_equal(mask[np.ix_(*pictures.nearest(301, 173, 60))], pictures.fit(mask, 60))
