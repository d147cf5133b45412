"""Patches counted part by part: the validation part first, on which the temperature of the others is fitted."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from segmentation.calibration import fit_temperature, pixels_sampled
from segmentation.data.patches import Progress
from segmentation.data.protocols import PARTS, TEST, TRAIN, VALIDATION
from segmentation.evaluation.scene_scores import NOTHING, Counted, Extra
from segmentation.runs.scoring import Confidence
from segmentation.thresholds import Thresholds

CountSome = Callable[[np.ndarray, Extra, Progress | None], Counted]
"""From the indices of patches, what else is counted of them, and whom to tell of progress, to what is counted."""


class CountedParts(NamedTuple):
    """What is counted of all patches, in their order.

    Args:
        counted: Of all patches.
        temperature: Fitted on the validation part; None without one, or where probabilities are not known.
        tempered: The confidence of the held-out patches at that temperature.
        probabilities: Pixels by probability of the validation and the test part, if it is known.
        at_thresholds: (classes, classes) int64: the held-out confusion matrix under thresholds, if there are any.
    """

    counted: Counted
    temperature: float | None = None
    tempered: Confidence | None = None
    probabilities: Mapping[str, np.ndarray] = MappingProxyType({})
    at_thresholds: np.ndarray | None = None


def count_parts(
    count_some: CountSome,
    parts: np.ndarray,
    classes: int,
    progress: Progress | None = None,
    thresholds: Thresholds = (),
) -> CountedParts:
    """Count all patches, those of the validation part first, so that each is predicted once.

    Args:
        count_some: Predicts and counts some patches.
        parts: (patches,) of `segmentation.data.protocols.PARTS`.
        classes: Number of classes.
        progress: Called with (patches done, patches).
        thresholds: Under which the held-out patches are scored, too.
    """
    total, done = len(parts), 0

    def count_next(chosen: np.ndarray, extra: Extra) -> Counted:
        nonlocal done
        before = done
        done += len(chosen)
        return count_some(chosen, extra, progress and (lambda now, _: progress(before + now, total)))

    train, validation, test = (np.flatnonzero(parts == part) for part in PARTS)
    counted, temperature = dict[str, Counted](), None
    if len(validation):
        sampled = pixels_sampled(len(validation), classes)
        validated = counted[VALIDATION] = count_next(validation, Extra(sampled=sampled, probabilities=True))
        temperature = fit_temperature(validated.sample) if validated.sample else None
    if len(train):
        counted[TRAIN] = count_next(train, NOTHING)
    if len(test):
        counted[TEST] = count_next(test, Extra(0, temperature, True, thresholds))
    tested = counted.get(TEST)
    order = np.argsort(np.concatenate([validation, train, test]))
    return CountedParts(
        Counted.joined(list(counted.values())).in_order(order),
        temperature,
        tested.tempered if tested else None,
        {part: of.probabilities for part, of in counted.items() if of.probabilities is not None},
        tested.at_thresholds.sum(0) if tested and tested.at_thresholds is not None else None,
    )
