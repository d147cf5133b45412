"""Slices: patches that have something in common, and on which a run does significantly worse (no TensorFlow).

Every condition on what is known of a patch (`slice_features`), and every two of them, make a slice; its score is
compared with that of all other patches, both read off the sums of their confusion matrices.

**Chance.** The patches of a scene are alike, so scenes are what varies, and a search over thousands of slices finds
some that look bad. Each scene's part of a slice's loss is computed as it were if the slice did as all patches do; if
that is true, a scene's part is as likely negative as positive. So the signs of all scenes are flipped at random, the
same for all slices, and the largest statistic of all slices is noted: the wild bootstrap for clusters (Cameron, Gelbach
and Miller, Bootstrap-Based Improvements for Inference with Clustered Errors, 2008) with the correction for many looks
of Westfall and Young (Resampling-Based Multiple Testing, 1993). What is found exceeds the largest of all in 95 % of the
flips: those of single conditions and those of pairs in 97.5 % each. The parts add up to the loss exactly, and few
scenes are no danger: the statistic of a slice in ``m`` scenes cannot exceed √m, so that it is rather not claimed.

**Why own code.** sliceline finds large slices with a high mean error per row, and trees of scikit-learn (no dependency
here) the best next cut; both take rows as independent, tell no significance, and know no ratio of sums such as IoU.
All candidates at once are a product of matrices here, which is as fast.

**Size.** All patches are used, however many there are: 3,483 take some seconds, 348,300 some minutes. Bounded are
the conditions (120, chosen without a look at scores), the classes (8), and the groups: more than `MOST_GROUPS` scenes
are pooled at random, whole, into as many groups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation.data.patches import Progress
from segmentation.evaluation.slice_features import candidate_conditions, holds, say_conditions
from segmentation.intervals import CONFIDENCE, Interval, draw, interval
from segmentation.runs.saved_slices import Condition
from segmentation.scores import divide

LEAST_PATCHES, LEAST_SCENES = 20, 10
"""Support: a slice and the rest have so many patches and scenes that count, and `LEAST_SHARE` of the class."""

LEAST_SHARE = 0.01
"""Of all true pixels of the class (or of all pixels), so that no slice is bad only because the class is not there."""

LEAST_LOSS = 0.02
"""A slice whose score is lower by less is not worth a sentence, however certain it is."""

MOST_OUTCOMES, MOST_GROUPS, MOST_FOUND = 9, 200, 20
"""Scores that are searched: accuracy and the IoU of the most common classes; groups of scenes; slices that are told."""

FLIPS = 2000
"""Sets of signs that are drawn."""

MOST_WEIGHED = 1000
"""Significant slices of a score that are weighed against each other, those that tell most first."""

ALIKE = 0.5
"""From this share of common patches (Jaccard) on, two slices are near-duplicates."""


@dataclass(frozen=True)
class Slice:
    """Patches on which a run does worse than on all others.

    Args:
        conditions: One or two; all are true of its patches.
        class_name: The class whose IoU is compared; None for accuracy.
        score: Of its patches.
        rest: Of all other patches.
        interval: Of the loss, `rest` less `score`, by scenes drawn anew, 95 %, of this slice alone.
        patches: How many count: all, or those that hold the class in mask or prediction.
        scenes: In which they lie.
        wrong: Share of all wrong pixels (of the class) that lie in them.
        pixels: Share of all pixels (of the class, true or predicted) that lie in them.
        chance: How often the worst of all slices looks as bad by chance, among single conditions or among pairs.
    """

    conditions: tuple[Condition, ...]
    class_name: str | None
    score: float
    rest: float
    interval: Interval
    patches: int
    scenes: int
    wrong: float
    pixels: float
    chance: float = float("nan")

    @property
    def loss(self) -> float:
        """How much lower its score is."""
        return self.rest - self.score

    @property
    def of(self) -> str:
        """The name of the score."""
        return f"{self.class_name} IoU" if self.class_name else "accuracy"

    @property
    def sentence(self) -> str:
        """What it is and what it costs."""
        of_class = f" {self.class_name}" if self.class_name else ""
        return (
            f"Patches {say_conditions(self.conditions)}: {self.of} {self.score:.3f} against {self.rest:.3f}; "
            f"{self.patches:,} patches; holds {100 * self.wrong:.1f} % of all wrong{of_class} pixels."
        )


@dataclass(frozen=True)
class SliceSearch:
    """What a search found.

    Args:
        found: The slices that are significantly worse, those first that tell most of what is wrong.
        looked_at: Slices and scores of them that were compared, all corrected for.
        patches: Among how many patches.
        scenes: From how many scenes.
    """

    found: tuple[Slice, ...]
    looked_at: int
    patches: int
    scenes: int


@dataclass(frozen=True)
class _Outcome:
    """A score that is a ratio of sums over patches: ``right / union``, (patches,) float64 each."""

    class_name: str | None
    right: np.ndarray
    union: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, matrices: np.ndarray, names: Sequence[str], class_name: str | None) -> "_Outcome":
        if class_name is None:
            right, every = np.trace(matrices, axis1=1, axis2=2).astype(float), matrices.sum((1, 2)).astype(float)
            return cls(None, right, every, every)
        index = list(names).index(class_name)
        right, true = matrices[:, index, index].astype(float), matrices[:, index].sum(1).astype(float)
        return cls(class_name, right, true + matrices[:, :, index].sum(1) - right, true)


@dataclass(frozen=True)
class _Looks:
    """Candidates that have support, by one outcome: pairs of places among the conditions, equal for single ones.

    Args:
        outcome: The score.
        first: (candidates,) places.
        second: (candidates,) places.
        parts: (groups, candidates) float32: each group's part of the loss, divided by their root of squares.
        worth: (candidates,) the loss squared, times the pixels that it parts: what a regression tree cuts by.
        loss: (candidates,) float64.
    """

    outcome: _Outcome
    first: np.ndarray
    second: np.ndarray
    parts: np.ndarray
    worth: np.ndarray
    loss: np.ndarray


def find_slices(
    table: pd.DataFrame,
    matrices: np.ndarray,
    features: pd.DataFrame,
    names: Sequence[str],
    progress: Progress | None = None,
) -> SliceSearch:
    """Find the slices on which a run does significantly worse, by accuracy and by each class's IoU.

    Args:
        table: The patches, with ``scene``.
        matrices: Their confusion matrices, (patches, classes, classes) int64.
        features: What is known of them, as `slice_features.patch_features`, in the same order.
        names: The classes.
        progress: Called with the scores that are done, and all.
    """
    scored = matrices.any((1, 2))
    table, matrices, features = table[scored], matrices[scored], features[scored]
    groups, scenes = _groups(table["scene"]), table["scene"].nunique()
    if scenes < LEAST_SCENES or len(table) < 2 * LEAST_PATCHES:
        return SliceSearch((), 0, len(table), scenes)
    conditions = candidate_conditions(features)
    members = np.column_stack([holds([condition], features) for condition in conditions])
    looks, outcomes = [], _outcomes(matrices, names)
    for done, outcome in enumerate(outcomes):
        looks.append(_look(outcome, conditions, members, groups))
        if progress:
            progress(done + 1, len(outcomes))
    looked_at = sum(len(look.first) for look in looks)
    significant = [
        (float(look.worth[place]), look.outcome, tuple(dict.fromkeys((look.first[place], look.second[place]))), chance)
        for pairs in (False, True)
        for look, place, chance in _significant(looks, pairs)
        if look.loss[place] >= LEAST_LOSS
    ]
    significant.sort(key=lambda entry: entry[0], reverse=True)
    weighed = [
        entry
        for outcome in outcomes
        for entry in [entry for entry in significant if entry[1] is outcome][:MOST_WEIGHED]
    ]
    weighed.sort(key=lambda entry: entry[0], reverse=True)
    found = _tell(weighed, conditions, members, groups, table["scene"])
    return SliceSearch(tuple(found), looked_at, len(table), scenes)


def score_slice(
    conditions: Sequence[Condition],
    class_name: str | None,
    table: pd.DataFrame,
    matrices: np.ndarray,
    features: pd.DataFrame,
    names: Sequence[str],
) -> Slice | None:
    """Score a slice that is given, as `find_slices` would; None if no pixel counts in it or in the rest.

    Args:
        conditions: What its patches have in common.
        class_name: The class whose IoU is compared; None for accuracy.
        table: The patches, with ``scene``.
        matrices: Their confusion matrices, (patches, classes, classes) int64.
        features: What is known of them, in the same order.
        names: The classes, which hold `class_name`.
    """
    outcome, member = _Outcome.of(matrices, names, class_name), holds(conditions, features)
    if not outcome.union[member].any() or not outcome.union[~member].any():
        return None
    return _slice(tuple(conditions), outcome, member, _groups(table["scene"]), table["scene"])


def _groups(scenes: pd.Series) -> np.ndarray:
    """Number each patch's group: its scene, or one of `MOST_GROUPS` into which more scenes are put at random."""
    codes, found = pd.factorize(scenes)
    if len(found) <= MOST_GROUPS:
        return codes
    return (np.random.default_rng(0).permutation(len(found)) % MOST_GROUPS)[codes]


def _outcomes(matrices: np.ndarray, names: Sequence[str]) -> list[_Outcome]:
    """Return accuracy, and the IoU of the most common classes in masks."""
    common = np.argsort(-matrices.sum((0, 2)), kind="stable")[: MOST_OUTCOMES - 1]
    return [_Outcome.of(matrices, names, name) for name in (None, *(names[index] for index in sorted(common)))]


def _look(outcome: _Outcome, conditions: Sequence[Condition], members: np.ndarray, groups: np.ndarray) -> _Looks:
    """Compare every slice that has support with the rest, by one outcome."""
    count = len(conditions)
    first, second = np.triu_indices(count)
    features = np.array([condition.feature for condition in conditions])
    fit = (first == second) | (features[first] != features[second])
    first, second = first[fit], second[fit]
    values = np.column_stack([outcome.right, outcome.union, outcome.union > 0, outcome.true]).astype(float)
    sums, totals = [], []
    for patches in _by_group(groups):
        of_group, of_values = members[patches].astype(float), values[patches]
        # All pairs at once: each cell of the product is the sum over the patches that both conditions hold of.
        pairs = [(of_group.T @ (of_group * column[:, None]))[first, second] for column in of_values.T]
        sums.append(np.stack(pairs))
        totals.append(of_values.sum(0))
    inside, total = np.stack(sums), np.stack(totals)  # (groups, values, candidates), (groups, values)
    whole, every = inside.sum(0), total.sum(0)
    rest = every[:, None] - whole
    supported = (whole[2] >= LEAST_PATCHES) & (rest[2] >= LEAST_PATCHES)
    supported &= ((inside[:, 1] > 0).sum(0) >= LEAST_SCENES) & (np.minimum(whole[3], rest[3]) >= LEAST_SHARE * every[3])
    inside, whole, rest = inside[:, :, supported], whole[:, supported], rest[:, supported]
    expected = every[0] / every[1] if every[1] else 0.0
    outside = total[:, :, None] - inside
    parts = (outside[:, 0] - expected * outside[:, 1]) / rest[1] - (inside[:, 0] - expected * inside[:, 1]) / whole[1]
    loss = parts.sum(0)
    parts = np.nan_to_num(divide(parts, np.sqrt((parts**2).sum(0))))
    worth = whole[1] * rest[1] / max(every[1], 1) * loss**2
    return _Looks(outcome, first[supported], second[supported], parts.astype(np.float32), worth, loss)


def _by_group(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of each group's patches."""
    order = np.argsort(groups, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _significant(looks: Sequence[_Looks], pairs: bool) -> Iterator[tuple[_Looks, int, float]]:
    """Yield the single conditions, or the pairs, that are worse than the worst of all by chance, and their chance."""
    chosen = [(look, np.flatnonzero((look.first != look.second) == pairs)) for look in looks]
    groups = len(looks[0].parts)
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), size=(FLIPS, groups))
    largest = np.zeros(FLIPS, np.float32)
    for look, places in chosen:
        for part in np.array_split(places, 1 + len(places) // 2048):
            if len(part):
                largest = np.maximum(largest, (signs @ look.parts[:, part]).max(1))
    for look, places in chosen:
        statistics = look.parts[:, places].sum(0)
        chances = (1 + (largest[:, None] >= statistics.max(initial=0)).sum()) / (FLIPS + 1)
        if chances > (1 - CONFIDENCE) / 2:
            continue
        ordered = np.sort(largest)
        as_large = FLIPS - np.searchsorted(ordered, statistics - 1e-5, side="left")
        for place, count in zip(places, as_large, strict=True):
            if (1 + count) / (FLIPS + 1) <= (1 - CONFIDENCE) / 2:
                yield look, int(place), float((1 + count) / (FLIPS + 1))


def _tell(
    significant: Sequence[tuple[float, _Outcome, tuple[int, ...], float]],
    conditions: Sequence[Condition],
    members: np.ndarray,
    groups: np.ndarray,
    scenes: pd.Series,
) -> list[Slice]:
    """Leave out near-duplicates, what earlier slices explain, and pairs no worse than one of their conditions."""
    found: list[Slice] = []
    told: dict[str | None, list[np.ndarray]] = {}
    for _, outcome, places, chance in significant:
        if len(found) == MOST_FOUND:
            break
        counted = outcome.union > 0
        member, before = members[:, places].all(1) & counted, told.setdefault(outcome.class_name, [])
        if any(_jaccard(member, other) >= ALIKE for other in before):
            continue
        if before and not _remains(outcome, member, np.any(before, axis=0)):
            continue
        if len(places) == 2 and not all(
            _clearly_worse(outcome, member, members[:, place] & ~member, groups) for place in places
        ):
            continue
        before.append(member)
        made = _slice(tuple(conditions[place] for place in places), outcome, member, groups, scenes, chance)
        found.append(made)
    return found


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _ratio(outcome: _Outcome, member: np.ndarray) -> float:
    return float(divide(outcome.right[member].sum(), outcome.union[member].sum()))


def _remains(outcome: _Outcome, member: np.ndarray, told: np.ndarray) -> bool:
    """Tell whether a slice keeps half of its loss where the patches of slices told before are left out."""
    left = member & ~told
    loss = _ratio(outcome, ~member) - _ratio(outcome, member)
    return left.sum() >= LEAST_PATCHES and _ratio(outcome, ~(member | told)) - _ratio(outcome, left) >= loss / 2


def _clearly_worse(outcome: _Outcome, member: np.ndarray, others: np.ndarray, groups: np.ndarray) -> bool:
    """Tell whether the interval of a slice's loss against some other patches leaves `LEAST_LOSS` on the right side."""
    loss = _ratio(outcome, others) - _ratio(outcome, member)
    return loss >= LEAST_LOSS and _loss_interval(outcome, member, others, groups).low > 0


def _loss_interval(outcome: _Outcome, member: np.ndarray, others: np.ndarray, groups: np.ndarray) -> Interval:
    """Return the interval of others' score less a slice's, by groups drawn anew."""
    count = int(groups.max(initial=-1)) + 1
    sums = np.stack(
        [
            np.bincount(groups[chosen], values[chosen], count)
            for chosen in (member, others)
            for values in (outcome.right, outcome.union)
        ],
        axis=-1,
    ).reshape(count, 2, 2)
    counting = int((sums[:, 0, 1] > 0).sum())
    drawn = np.concatenate(list(draw(sums)))
    scores = divide(drawn[..., 0], drawn[..., 1])
    return interval((scores[:, 1] - scores[:, 0])[:, None], counting)[0] if counting > 1 else Interval(np.nan, np.nan)


def _slice(
    conditions: tuple[Condition, ...],
    outcome: _Outcome,
    member: np.ndarray,
    groups: np.ndarray,
    scenes: pd.Series,
    chance: float = float("nan"),
) -> Slice:
    counted, wrong = member & (outcome.union > 0), outcome.union - outcome.right
    return Slice(
        conditions,
        outcome.class_name,
        _ratio(outcome, member),
        _ratio(outcome, ~member),
        _loss_interval(outcome, member, ~member, groups),
        int(counted.sum()),
        int(scenes[counted].nunique()),
        float(divide(wrong[member].sum(), wrong.sum())),
        float(outcome.union[member].sum() / outcome.union.sum()),
        chance,
    )
