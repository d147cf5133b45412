"""How many points, and how many in each class."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segmentation.areas.design import Allocation, allocate, sample_size
from segmentation.errors import ConfigurationError

AREAS = np.array([200_000, 150_000, 3_200_000, 6_450_000], float)
PIXELS = AREAS.astype(int)
EXPECTED = np.array([0.7, 0.6, 0.9, 0.95])


def test_the_size_of_the_published_example() -> None:
    assert sample_size(AREAS, EXPECTED, 0.01) == 641  # Olofsson et al. (2014)


@pytest.mark.parametrize("standard_error", [0, 0.5, -1, 1e-9])
def test_a_standard_error_that_no_sample_has_is_refused(standard_error: float) -> None:
    with pytest.raises(ConfigurationError, match="standard error"):
        sample_size(AREAS, EXPECTED, standard_error)


def test_rare_classes_get_the_minimum_and_the_others_their_share() -> None:
    points = allocate(641, AREAS, PIXELS, "proportional", EXPECTED, 75)
    assert points[:2].tolist() == [75, 75]
    assert points[2:] == pytest.approx(491 * AREAS[2:] / AREAS[2:].sum(), abs=1)


def test_equal_and_neyman() -> None:
    assert allocate(640, AREAS, PIXELS, "equal", EXPECTED).tolist() == [160] * 4
    wanted = AREAS * np.sqrt(EXPECTED * (1 - EXPECTED))
    points = allocate(10_000, AREAS, PIXELS, "neyman", EXPECTED, 2)
    assert points == pytest.approx(10_000 * wanted / wanted.sum(), abs=1)


def test_a_class_gets_no_more_points_than_it_has_pixels() -> None:
    pixels = np.array([3, 0, 1000, 5000])
    assert allocate(90, pixels.astype(float), pixels, "equal", EXPECTED).tolist() == [3, 0, 44, 43]


@pytest.mark.parametrize(
    ("size", "minimum", "said"), [(100, 50, "each needs 50 points: draw 200"), (4, None, "each needs 2 points: draw 8")]
)
def test_too_few_points_for_the_classes_are_refused(size: int, minimum: int | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        allocate(size, AREAS, PIXELS, "proportional", EXPECTED, minimum)


def test_more_points_than_pixels_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 10 points"):
        allocate(11, np.array([4.0, 6.0]), np.array([4, 6]), "equal", EXPECTED[:2])


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=6),
    st.integers(20, 500),
    st.sampled_from(get_args(Allocation)),
)
def test_every_allocation_adds_up_within_its_bounds(pixels: list[int], size: int, how: str) -> None:
    counts = np.array(pixels)
    size = min(size, int(counts.sum()))
    assume(size > 0)
    points = allocate(size, counts.astype(float), counts, how, np.full(len(counts), 0.8))
    assert points.sum() == size
    assert (points <= counts).all()
    assert (points >= np.minimum(counts, 2)).all()
