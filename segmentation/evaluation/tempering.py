"""Patches counted part by part: the validation part first, on which the temperature of the others is fitted."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from segmentation.calibration import fit_temperature, pixels_sampled
from segmentation.data.patches import Progress
from segmentation.data.protocols import PARTS, VALIDATION
from segmentation.evaluation.scene_scores import NOTHING, Counted, Extra
from segmentation.runs.scoring import Confidence

CountSome = Callable[[np.ndarray, Extra, Progress | None], Counted]
"""From the indices of patches, what else is counted of them, and whom to tell of progress, to what is counted."""


class CountedParts(NamedTuple):
    """What is counted of all patches, in their order.

    Args:
        counted: Of all patches.
        temperature: Fitted on the validation part; None without one, or where probabilities are not known.
        tempered: The confidence of the held-out patches at that temperature.
    """

    counted: Counted
    temperature: float | None = None
    tempered: Confidence | None = None


def count_parts(
    count_some: CountSome, parts: np.ndarray, classes: int, progress: Progress | None = None
) -> CountedParts:
    """Count all patches, those of the validation part first, so that each is predicted once.

    Args:
        count_some: Predicts and counts some patches.
        parts: (patches,) of `segmentation.data.protocols.PARTS`.
        classes: Number of classes.
        progress: Called with (patches done, patches).
    """
    total = len(parts)
    if VALIDATION not in parts:
        return CountedParts(count_some(np.arange(total), NOTHING, progress))
    done = 0

    def count_next(chosen: np.ndarray, extra: Extra) -> Counted:
        nonlocal done
        before = done
        done += len(chosen)
        return count_some(chosen, extra, progress and (lambda now, _: progress(before + now, total)))

    train, validation, test = (np.flatnonzero(parts == part) for part in PARTS)
    validated = count_next(validation, Extra(sampled=pixels_sampled(len(validation), classes)))
    temperature = fit_temperature(validated.sample) if validated.sample else None
    trained = [count_next(train, NOTHING)] if len(train) else []
    tested = count_next(test, Extra(temperature=temperature))
    order = np.argsort(np.concatenate([validation, train, test]))
    return CountedParts(Counted.joined([validated, *trained, tested]).in_order(order), temperature, tested.tempered)
