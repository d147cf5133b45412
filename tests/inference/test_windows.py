"""Windows over a scene: they cover it, their weights sum to one, and mirrors send every index back into the image."""

import numpy as np
import pytest

from segmentation.errors import ConfigurationError
from segmentation.inference.windows import mirrored, windows_along


@pytest.mark.parametrize("length", [1, 15, 16, 17, 40, 163])
@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("offset", [0, 1, 7, 15, 100])
def test_the_weights_of_all_windows_sum_to_one_at_every_pixel(length: int, overlap: float, offset: int) -> None:
    axis = windows_along(length, 16, overlap, offset)
    sums = np.zeros(length + 64)
    for start in axis.starts:
        sums[32 + start : 32 + start + 16] += axis.weights
    assert np.allclose(sums[32 : 32 + length], 1, atol=1e-6)
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
