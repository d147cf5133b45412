"""Curves that are smoothed and thinned, and gaps that widen, on made-up numbers."""

import numpy as np
import pandas as pd
import pytest

from segmentation.runs.logs.curves import smooth, thinned, widens_from


def test_a_gap_widens_from_where_it_is_narrowest() -> None:
    assert widens_from(pd.Series([0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5])) == 4
    assert widens_from(pd.Series([0.5, 0.4, 0.3, 0.2, 0.1])) is None
    assert widens_from(pd.Series([0.1, 0.2, 0.1])) is None  # too short to tell


def test_validation_that_loses_its_lead_does_not_widen_the_gap() -> None:
    assert widens_from(pd.Series([-0.3, -0.2, -0.1, -0.05, 0.0, 0.0, 0.0])) is None


@pytest.mark.parametrize("seed", range(10))
def test_a_gap_that_only_wavers_does_not_widen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert widens_from(pd.Series(rng.normal(0, 0.1, 50))) is None


def test_smoothing_is_a_moving_average_that_starts_at_the_first_value() -> None:
    smoothed = smooth(pd.Series([1.0, 0.0, 0.0]), 0.5)
    assert smoothed.tolist() == pytest.approx([1, 0.5 / 1.5, 0.25 / 1.75])
    assert smooth(pd.Series([3.0, 1.0]), 0).tolist() == [3, 1]


EPOCHS = np.arange(40)


def noisy(curve: np.ndarray, seed: int, scatter: float = 0.01) -> pd.Series:
    return pd.Series(curve + np.random.default_rng(seed).normal(0, scatter, len(curve)))


def test_a_gap_that_is_level_at_first_widens_from_where_it_rises() -> None:
    assert widens_from(pd.Series([0.1] * 13 + [0.1 + 0.02 * rise for rise in range(1, 12)])) == 12


@pytest.mark.parametrize("seed", range(10))
def test_a_level_gap_in_noise_does_not_widen_before_it_rises(seed: int) -> None:
    late = 0.1 + 0.02 * np.maximum(EPOCHS - 25, 0)
    assert 22 <= widens_from(noisy(late, seed)) <= 28


@pytest.mark.parametrize("seed", range(10))
def test_a_gap_that_narrows_does_not_widen(seed: int) -> None:
    assert widens_from(noisy(0.5 * np.exp(-EPOCHS / 10), seed)) is None
    assert widens_from(noisy(0.5 - 0.01 * EPOCHS, seed)) is None


@pytest.mark.parametrize("seed", range(10))
def test_a_gap_that_narrows_first_widens_from_where_it_is_narrowest(seed: int) -> None:
    turning = 0.02 * np.abs(EPOCHS - 15)
    assert 13 <= widens_from(noisy(turning, seed)) <= 17


@pytest.mark.parametrize("seed", range(10))
def test_a_gap_that_rises_all_the_time_widens_from_its_first_epochs(seed: int) -> None:
    assert widens_from(noisy(0.02 * EPOCHS, seed)) <= 3


@pytest.mark.parametrize("seed", range(10))
def test_a_level_gap_with_an_outlier_at_its_end_does_not_widen(seed: int) -> None:
    level = np.where(EPOCHS == 39, 0.2, 0.1)
    assert widens_from(noisy(level, seed)) is None


def test_a_gap_of_thousands_of_steps_is_told_as_well() -> None:
    rises = pd.Series(np.maximum(np.arange(50_000) - 30_000, 0) / 50_000)
    assert abs(widens_from(rises) - 30_000) <= 500


def test_epochs_without_validation_do_not_shift_where_a_gap_widens() -> None:
    gaps = pd.Series(0.1 + 0.02 * np.maximum(EPOCHS - 25, 0))
    gaps[EPOCHS % 2 == 0] = np.nan
    assert widens_from(gaps) == 25


def test_a_thinned_curve_keeps_its_ends_and_its_peaks() -> None:
    values = pd.Series(np.sin(np.arange(10_000) / 500))
    values[7_321] = 5.0
    few = thinned(values, 200)
    assert len(few) <= 200
    assert few.max() == 5.0
    assert few.min() == values.min()
    assert few.index.is_monotonic_increasing
    assert thinned(values[:200], 200).equals(values[:200])
