"""From a map and labelled points to areas with their uncertainty."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segmentation.areas.class_map import ClassMap, Coverage
from segmentation.areas.design import LEAST
from segmentation.areas.estimates import Estimates, estimate
from segmentation.areas.points import Points, locate
from segmentation.data.class_mapping import find_class
from segmentation.data.palette import VOID
from segmentation.errors import ConfigurationError, printable

ASSUMED = (
    "It is assumed that the points were drawn at random within each class of this map, and that their labels are right "
    "and were given without looking at the map."
)

NOT_A_SAMPLE = (
    "A run's confusion matrix cannot take their place: the pixels of its test part are no random sample of this map."
)

NAMED = 3
"""Points named in a sentence about more."""

SHARE_COLUMNS = ("mapped_share", "share", "share_standard_error", "share_low", "share_high")


@dataclass(frozen=True)
class Assessment:
    """What labelled points say of a map.

    Args:
        names: The classes.
        coverage: What they cover on the map.
        in_square_metres: Whether that is in m², else in pixels.
        counts: (classes, classes) int64: points by class on the map (rows) and label (columns).
        estimates: Shares of the area and accuracies, with standard errors.
        notes: What is to be known of the points, a sentence each.
        left_out: Points of the file that are not among the counts.
    """

    names: tuple[str, ...]
    coverage: Coverage
    in_square_metres: bool
    counts: np.ndarray
    estimates: Estimates
    notes: tuple[str, ...]
    left_out: int

    @property
    def total(self) -> float:
        """The area of all pixels that have a class, in m² or in pixels."""
        return float(self.coverage.areas.sum())

    def table(self) -> pd.DataFrame:
        """Return one row per class.

        Columns: ``class``; ``points_mapped`` and ``points_labelled``; ``mapped_share``, and the estimate, 0–1, with
        its standard error and its 95 % interval: ``share``, ``share_standard_error``, ``share_low``, ``share_high``;
        where the map says where it lies the same in m², ``mapped_square_metres``, ``square_metres`` and so on;
        ``users_accuracy`` and ``producers_accuracy`` with standard errors, not-a-number where they do not exist.
        """
        of = self.estimates
        low, high = (np.clip(of.shares.value + sign * of.shares.margin, 0, 1) for sign in (-1, 1))
        table = pd.DataFrame({"class": self.names})
        table["points_mapped"], table["points_labelled"] = self.counts.sum(1), self.counts.sum(0)
        shares = (self.coverage.areas / self.total, of.shares.value, of.shares.standard_error, low, high)
        for name, values in zip(SHARE_COLUMNS, shares, strict=True):
            table[name] = values
        if self.in_square_metres:
            for name in SHARE_COLUMNS:
                table[name.replace("share", "square_metres")] = table[name] * self.total
        for name, accuracy in (("users_accuracy", of.users), ("producers_accuracy", of.producers)):
            table[name], table[f"{name}_standard_error"] = accuracy
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return all of it JSON-ready; None where a number does not exist."""
        rows = self.table().astype(object)
        overall = self.estimates.overall
        return {
            "classes": rows.where(rows.notna(), None).to_dict("records"),
            "total_square_metres": self.total if self.in_square_metres else None,
            "pixels_without_class": self.coverage.without_class,
            "overall_accuracy": float(overall.value),
            "overall_accuracy_standard_error": float(overall.standard_error),
            "points": self.counts.tolist(),
            "assumes": [ASSUMED, NOT_A_SAMPLE],
            "notes": list(self.notes),
        }


def assess(class_map: ClassMap, coverage: Coverage, points: Points, system: str | None = None) -> Assessment:
    """Estimate the areas of a map's classes from labelled points.

    Args:
        class_map: The map.
        coverage: What its classes cover.
        points: The points: those without a label, outside the map, or where it has no class are left out, with a note.
        system: The points' coordinate system, where it is not the one that their file says.

    Raises:
        ConfigurationError: If a label is no class, two labels contradict each other, a class of the map has too few
            points, or the points do not belong to this map.
    """
    mark = class_map.mark(coverage)
    if points.marks and points.marks != {mark}:
        raise ConfigurationError(
            f"The points of {points.name} were drawn on another map than {class_map.name}, or on other classes: give "
            "that map, since points drawn within its classes are no random sample of another's."
        )
    labels = _labels(class_map, points)
    if (labels == VOID).all():
        raise ConfigurationError(f"No point of {points.name} has a label: fill in label, with a class of the map each.")
    rows, columns = locate(class_map, points.x, points.y, system or points.system)
    inside = rows >= 0
    if not inside.any():
        raise ConfigurationError(
            f"All points of {points.name} lie outside {class_map.name}: is it that map, and are they in "
            f"{system or points.system}? Otherwise say their coordinate system."
        )
    used = inside & (labels != VOID)
    places = rows * class_map.width + columns
    used, repeated = _once(points, places, labels, used)
    on_map = np.full(len(labels), VOID, np.uint8)
    on_map[used] = class_map.classes_at(rows[used], columns[used])
    notes = [
        _note(points, labels == VOID, "has no label", "have no label", ": the others stand for them"),
        _note(points, ~inside, "lies outside the map", "lie outside the map"),
        _note(points, used & (on_map == VOID), "lies where the map has no class", "lie where the map has no class"),
        _note(points, repeated, "repeats another", "repeat others"),
    ]
    used &= on_map != VOID
    count = len(class_map.names)
    pairs = on_map[used].astype(np.int64) * count + labels[used]
    counts = np.bincount(pairs, minlength=count**2).reshape(count, count)
    complete = counts.sum(1) >= coverage.pixels
    _check_enough(class_map, coverage, counts, complete)
    estimates = estimate(counts, coverage.areas, complete)
    notes += [_without_error(class_map, counts, complete)]
    told, left_out = tuple(filter(None, notes)), len(labels) - int(used.sum())
    return Assessment(class_map.names, coverage, class_map.in_square_metres, counts, estimates, told, left_out)


def _labels(class_map: ClassMap, points: Points) -> np.ndarray:
    """Return the class index of each label, `VOID` where there is none."""
    known = {label: find_class(label, class_map.names) for label in set(points.labels)}
    unknown = [number for number, label in enumerate(points.labels) if label and known[label] is None]
    if unknown:
        label = points.labels[unknown[0]]
        count = sum(points.labels[number] == label for number in unknown)
        raise ConfigurationError(
            f"{points.name} has {_points(count)} labelled {printable(label)[:60]} ({_named(points, unknown, label)}), "
            f"which is no class of the map: its classes are {', '.join(class_map.names)}."
        )
    return np.array([VOID if known[label] is None else known[label] for label in points.labels], np.uint8)


def _named(points: Points, which: list[int], label: str) -> str:
    names = [points.ids[number] for number in which if points.labels[number] == label]
    return "id " + ", ".join(map(printable, names[:NAMED])) + (", …" if len(names) > NAMED else "")


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count:,} points"


def _once(points: Points, places: np.ndarray, labels: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which points are used once each pixel counts once, and which of them repeat another, (points,) bool."""
    chosen = np.flatnonzero(used)
    _, first, which = np.unique(places[chosen], return_index=True, return_inverse=True)
    earlier = chosen[first[which]]
    against = np.flatnonzero(labels[chosen] != labels[earlier])
    if len(against):
        one, other = (printable(points.ids[number]) for number in (earlier[against[0]], chosen[against[0]]))
        raise ConfigurationError(
            f"Points {one} and {other} of {points.name} lie in one pixel and have different labels: keep one of them."
        )
    repeated = np.zeros(len(used), bool)
    repeated[chosen[earlier != chosen]] = True
    return used & ~repeated, repeated


def _note(points: Points, which: np.ndarray, one: str, several: str, so: str = "") -> str:
    """Say how many points are left out, and why; nothing if none is."""
    count = int(which.sum())
    why = f"{one} and is" if count == 1 else f"{several} and are"
    return f"{_points(count)} of {points.name} {why} left out{so}." if count else ""


def _check_enough(class_map: ClassMap, coverage: Coverage, counts: np.ndarray, complete: np.ndarray) -> None:
    """Refuse points that say nothing of a class of the map."""
    points = counts.sum(1)
    lacking = (coverage.areas > 0) & (points < LEAST) & ~complete
    if lacking.any():
        index = int(np.flatnonzero(lacking)[0])
        share = 100 * coverage.areas[index] / coverage.areas.sum()
        raise ConfigurationError(
            f"{class_map.names[index]}, {share:.2g} % of the map, has {_points(int(points[index]))} with a label, too "
            f"few for an estimate: label at least {LEAST} in each class of the map, better 50."
        )


def _without_error(class_map: ClassMap, counts: np.ndarray, complete: np.ndarray) -> str:
    """Say which classes show no spread, so that intervals are too narrow."""
    agreed = (counts.max(1) == counts.sum(1)) & (counts.sum(1) > 0) & ~complete
    if not agreed.any():
        return ""
    names = ", ".join(name for name, alike in zip(class_map.names, agreed, strict=True) if alike)
    return (
        f"All points mapped as {names} have the same label: what errors are there are rarer than the sample shows, and "
        "intervals are somewhat too narrow."
    )
