"""Copies are found however they are laid and lit, and nothing else is."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segmentation.data import copies
from segmentation.data.copies import SIDE, TURNS, find_copies, inverse, thumbnail, thumbnails
from segmentation.data.patches import cut
from segmentation.data.scenes import Dataset, read_scene


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Sixty pictures of blocks in random colours, none like another."""
    blocks = np.random.default_rng(3).integers(30, 220, (60, 8, 8, 3), dtype=np.uint8)
    return blocks.repeat(6, axis=1).repeat(6, axis=2)


def laid(picture: np.ndarray, turn: int) -> np.ndarray:
    """The picture as `TURNS` says, by Pillow."""
    image = Image.fromarray(picture)
    if turn >= 4:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image.rotate(90 * (turn % 4)))


def jpeg(picture: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=30)
    return np.asarray(Image.open(content))


def test_a_thumbnail_holds_the_means_of_cells() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 70, 37, 4), dtype=np.uint8)
    rows, columns = (np.rint(np.arange(SIDE + 1) * length / SIDE).astype(int) for length in (70, 37))
    for image, small in zip(images, thumbnails(images), strict=True):
        for row in range(SIDE):
            for column in range(SIDE):
                cell = image[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
                assert abs(cell.mean() - small[row, column]) <= 0.501
        np.testing.assert_array_equal(thumbnail(image), small)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3)])
def test_a_picture_smaller_than_its_thumbnail_has_one(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    assert (thumbnail(image) == 77).all()
    assert (thumbnails(image[None]) == 77).all()


@pytest.mark.parametrize("turn", range(len(TURNS)), ids=TURNS)
def test_a_copy_is_found_however_it_is_laid(pictures: np.ndarray, turn: int) -> None:
    others = np.stack([laid(picture, turn) for picture in pictures])
    pairs = find_copies(thumbnails(pictures[:20]), thumbnails(others)).pairs
    assert sorted(pairs["picture"]) == list(range(20))
    assert (pairs["picture"] == pairs["copy"]).all()
    assert (pairs["turn"] == turn).all()
    back = find_copies(thumbnails(others), thumbnails(pictures)).pairs
    assert (back["turn"] == inverse(turn)).all()


def test_a_copy_is_found_in_other_light_and_saved_anew(pictures: np.ndarray) -> None:
    changed = [
        np.asarray(ImageEnhance.Brightness(Image.fromarray(pictures[0])).enhance(0.6)),
        np.asarray(ImageEnhance.Contrast(Image.fromarray(pictures[1])).enhance(0.5)),
        jpeg(pictures[2]),
    ]
    pairs = find_copies(thumbnails(np.stack(changed)), thumbnails(pictures)).pairs
    assert dict(zip(pairs["picture"], pairs["copy"], strict=True)) == {0: 0, 1: 1, 2: 2}


def test_different_pictures_and_the_picture_itself_are_no_copies(pictures: np.ndarray) -> None:
    small = thumbnails(pictures)
    found = find_copies(small, small, np.arange(len(small)))
    assert found.pairs.empty
    assert (found.compared, found.plain) == (60, 0)


def test_plain_and_evenly_shaded_pictures_tell_nothing() -> None:
    slope = np.tile(np.arange(0, 96, 2, dtype=np.uint8)[:, None], (1, 48)).reshape(1, 48, 48, 1)
    sea = np.random.default_rng(0).integers(90, 94, (1, 48, 48, 1), dtype=np.uint8)
    small = thumbnails(np.concatenate([slope, sea]))
    found = find_copies(small, small)
    assert found.pairs.empty
    assert (found.compared, found.plain) == (0, 2)


def test_of_too_many_some_are_looked_at_and_the_rest_is_told(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = thumbnails(pictures)
    every = find_copies(small, small)
    assert len(every.pairs) == every.compared == 60
    monkeypatch.setattr(copies, "MOST_CANDIDATES", 240)
    some = find_copies(small, small)
    assert 0 < some.compared < 60
    assert len(some.pairs) == some.compared


def test_candidates_in_many_pieces_are_the_same(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    small = thumbnails(np.concatenate([pictures, pictures[:30]]))
    whole = find_copies(small[60:], small[:60]).pairs
    monkeypatch.setattr(copies, "AT_ONCE", 3)
    monkeypatch.setattr(copies, "CORRELATED_AT_ONCE", 2)
    np.testing.assert_array_equal(find_copies(small[60:], small[:60]).pairs, whole)


def test_nothing_has_no_copies() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)
    nothing = np.zeros((0, SIDE, SIDE), np.uint8)
    assert find_copies(nothing, nothing).pairs.empty
    assert find_copies(nothing, pictures).pairs.empty
    assert find_copies(pictures, nothing).pairs.empty


def test_no_patch_of_the_real_set_is_taken_for_a_copy(real_dataset: Dataset) -> None:
    scenes = real_dataset.scenes[::4]
    small = np.concatenate([thumbnails(cut(read_scene(scene, real_dataset.palette)[0], 160)) for scene in scenes])
    found = find_copies(small, small, np.arange(len(small)))
    assert found.compared > 700
    assert found.pairs.empty
