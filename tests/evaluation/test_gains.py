"""What a gain is worth is said alike on pages, on the command line and in reports."""

from math import nan

import pytest

from segmentation.evaluation.gains import gains_between, intervals_of, say_gain, signed
from segmentation.intervals import Gain, Interval
from segmentation.runs.run import SHIPPED, Run


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            Gain(0.0104, Interval(0.006, 0.015), "scene", 60),
            "B is better by 0.010 of accuracy (+0.006 to +0.015): real",
        ),
        (Gain(-0.2, Interval(-0.3, -0.1), "tile", 12), "B is worse by 0.200 of accuracy (-0.300 to -0.100): real"),
        (
            Gain(0.01, Interval(-0.01, 0.03), "scene", 8),
            "A gain of +0.010 of accuracy (-0.010 to +0.030) is not shown: 8 scenes are too few to tell 0.010 apart; "
            "about 32 would",
        ),
        (
            Gain(1e-6, Interval(-0.1, 0.1), "scene", 8),
            "A gain of +0.000 of accuracy (-0.100 to +0.100) is not shown: 8 scenes are too few to tell 0.000 apart",
        ),
        (Gain(0.0, Interval(0, 0), "scene", 8), "Both runs have the same accuracy"),
    ],
)
def test_a_gain_in_words(gain: Gain, sentence: str) -> None:
    assert str(say_gain(gain, "accuracy", "B")) == sentence


def test_the_interval_of_a_difference_has_signs_or_is_a_dash() -> None:
    assert (signed(Interval(-0.01, 0.2)), signed(Interval(nan, nan))) == ("-0.010 to +0.200", "–")


def test_only_the_tiles_asked_for_are_compared() -> None:
    one, other = Run(SHIPPED / "dubai-lite0"), Run(SHIPPED / "dubai-best")
    found = gains_between(one, other, "test", ("Tile 7", "Tile 8"))
    assert found is not None
    scenes = one.patches[(one.patches["part"] == "test") & one.patches["tile"].isin(["Tile 7", "Tile 8"])]["scene"]
    assert found[0]["accuracy"].units == scenes.nunique()
    assert intervals_of(one) == one.metrics.intervals
