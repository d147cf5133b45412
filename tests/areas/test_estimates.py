"""Estimates from labelled points: the published example, a second computation, and how often intervals hold."""

import numpy as np
import pytest

from segmentation.areas.estimates import Estimate, estimate

# Olofsson et al. (2014), table 8: deforestation, forest gain, stable forest, stable non-forest; 30 m pixels.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000], float)
HECTARES = MAPPED.sum() * 0.09


def test_the_published_example_is_reproduced() -> None:
    found = estimate(COUNTS, MAPPED)
    pixels, margin = (of * MAPPED.sum() for of in (found.shares.value, found.shares.margin))
    assert (round(pixels[0]), round(margin[0])) == (235_086, 68_418)
    assert np.round(found.shares.value * HECTARES).tolist() == [21_158, 11_686, 285_770, 581_386]
    assert np.round(found.shares.margin * HECTARES).tolist() == [6_158, 3_756, 15_510, 16_282]

    def told(of: Estimate) -> list[str]:
        return [f"{value:.2f} ± {margin:.2f}" for value, margin in zip(of.value, of.margin, strict=True)]

    assert told(found.users) == ["0.88 ± 0.07", "0.73 ± 0.10", "0.93 ± 0.04", "0.96 ± 0.02"]
    assert told(found.producers) == ["0.75 ± 0.21", "0.85 ± 0.25", "0.93 ± 0.03", "0.96 ± 0.02"]
    assert f"{found.overall.value:.2f} ± {found.overall.margin:.2f}" == "0.95 ± 0.02"


def test_standard_errors_are_those_of_points_drawn_anew() -> None:
    """From the variance of a stratified mean, and for the ratio from many samples of the same rates."""
    found = estimate(COUNTS, MAPPED)
    weights, points = MAPPED / MAPPED.sum(), COUNTS.sum(1)
    labels = [np.repeat(np.arange(4), row) for row in COUNTS]
    for index in range(4):
        variance = sum(w**2 * np.var(row == index, ddof=1) / len(row) for w, row in zip(weights, labels, strict=True))
        assert found.shares.standard_error[index] == pytest.approx(variance**0.5)
    rng = np.random.default_rng(3)
    drawn = np.stack([rng.multinomial(n, row / n, 20_000) for n, row in zip(points, COUNTS, strict=True)], axis=1)
    joint = drawn / points[:, None] * weights[:, None]
    ratios = joint[:, range(4), range(4)] / joint.sum(1)
    assert found.producers.standard_error == pytest.approx(ratios.std(0), rel=0.09)  # it is of the first order
    assert found.overall.standard_error == pytest.approx(np.trace(joint, axis1=1, axis2=2).std(), rel=0.03)


def test_intervals_hold_the_true_area_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([[0.85, 0.1, 0.05], [0.06, 0.9, 0.04], [0.1, 0.15, 0.75]])
    mapped = np.array([30.0, 60.0, 10.0])
    truth = mapped / 100 @ rates
    held = []
    for _ in range(2000):
        counts = np.stack([rng.multinomial(n, row) for n, row in zip((90, 150, 60), rates, strict=True)])
        shares = estimate(counts, mapped).shares
        held.append(np.abs(shares.value - truth) <= shares.margin)
    assert ((np.mean(held, 0) > 0.93) & (np.mean(held, 0) < 0.965)).all()


def test_what_is_not_there_has_no_accuracy() -> None:
    counts = np.array([[30, 0, 2, 0], [0, 0, 0, 0], [1, 0, 40, 0], [0, 0, 0, 0]])
    found = estimate(counts, np.array([1.0, 0.0, 3.0, 0.0]))
    assert found.shares.value[[1, 3]].tolist() == [0, 0]
    assert np.isnan([found.users.value[1], found.producers.value[3]]).all()
    assert found.shares.value.sum() == pytest.approx(1)


def test_a_class_that_is_missing_on_the_map_is_found_by_the_labels() -> None:
    found = estimate(np.array([[45, 5], [0, 0]]), np.array([8.0, 0.0]))
    assert found.shares.value.tolist() == pytest.approx([0.9, 0.1])
    assert np.isnan(found.users.value[1])
    assert found.producers.value[1] == 0


def test_a_class_labelled_pixel_by_pixel_adds_no_error() -> None:
    counts = np.array([[3, 1], [10, 90]])
    mapped = np.array([4.0, 1000.0])
    alone = estimate(np.array([[3, 1], [10, 90]]), mapped, np.array([True, False]))
    assert alone.users.standard_error[0] == 0
    assert alone.shares.standard_error[0] < estimate(counts, mapped).shares.standard_error[0]
    one = estimate(np.array([[0, 1], [10, 90]]), np.array([1.0, 1000.0]), np.array([True, False]))
    assert np.isfinite(one.shares.standard_error).all()


def test_too_few_points_in_a_class_are_refused() -> None:
    with pytest.raises(ValueError, match="two points"):
        estimate(np.array([[1, 0], [3, 40]]), np.array([1.0, 9.0]))
