"""Patches counted part by part: the validation part first, on which the temperature of the others is fitted."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from segmentation.calibration import fit_temperature, pixels_sampled
from segmentation.data.patches import Progress
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
    count_some: CountSome, test: np.ndarray, validation: np.ndarray, classes: int, progress: Progress | None = None
) -> CountedParts:
    """Count all patches, those of the validation part first, so that each is predicted once.

    Args:
        count_some: Predicts and counts some patches.
        test: (patches,) bool, true where held out.
        validation: (patches,) bool, true where only validated on.
        classes: Number of classes.
        progress: Called with (patches done, patches).
    """
    if not validation.any():
        return CountedParts(count_some(np.arange(len(test)), NOTHING, progress))
    done = 0

    def count_next(chosen: np.ndarray, extra: Extra) -> Counted:
        nonlocal done
        before = done
        done += len(chosen)
        return count_some(chosen, extra, progress and (lambda now, _: progress(before + now, len(test))))

    first, rest, last = (np.flatnonzero(of) for of in (validation, ~(validation | test), test))
    parts = [count_next(first, Extra(sampled=pixels_sampled(len(first), classes)))]
    temperature = fit_temperature(parts[0].sample) if parts[0].sample else None
    if len(rest):
        parts.append(count_next(rest, NOTHING))
    of_test = count_next(last, Extra(temperature=temperature))
    order = np.argsort(np.concatenate([first, rest, last]))
    return CountedParts(Counted.joined([*parts, of_test]).in_order(order), temperature, of_test.tempered)
