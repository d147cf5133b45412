"""Windows over a scene: they cover it, their weights sum to one, and mirrors send every index back into the image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import ConfigurationError
from segmentation.inference.windows import mirrored, windows_along


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 0.5) | st.just(0.5), st.integers(0, 1000))
def test_the_weights_of_all_windows_sum_to_one_at_every_pixel(
    length: int, size: int, overlap: float, offset: int
) -> None:
    axis = windows_along(length, size, overlap, offset)
    sums = np.zeros(length + 4 * size)
    for start in axis.starts:
        sums[2 * size + start : 3 * size + start] += axis.weights
    assert np.allclose(sums[2 * size : 2 * size + length], 1, atol=1e-6)
    assert (axis.weights > 0).all()


def test_no_window_is_needless() -> None:
    for length in range(1, 100):
        for offset in range(12):
            starts = windows_along(length, 16, 0.25, offset).starts
            assert starts[0] <= 0 < starts[0] + 16
            assert length == 1 or starts[-1] < length


def test_without_overlap_windows_are_the_articles_patches() -> None:
    assert windows_along(40, 16, 0).starts.tolist() == [0, 16, 32]


def test_what_is_no_longer_than_a_window_is_seen_by_one() -> None:
    assert windows_along(16, 16, 0.5, offset=3).starts.tolist() == [0]
    assert windows_along(16, 16, 0.5).weights.tolist() == [1] * 16


@pytest.mark.parametrize("overlap", [-0.1, 0.51])
def test_an_overlap_out_of_range_is_refused(overlap: float) -> None:
    with pytest.raises(ConfigurationError, match="overlap from 0 to"):
        windows_along(40, 16, overlap)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_mirror_is_numpys_symmetric_padding(length: int) -> None:
    assert (
        mirrored(np.arange(-7, length + 9), length).tolist() == np.pad(np.arange(length), (7, 9), "symmetric").tolist()
    )
