"""What the columns of a training log mean, by their names: Keras', Lightning's, Ultralytics', fastai's and others'."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

TRAINING, VALIDATION, TEST, UNSAID = "training", "validation", "test", ""
"""Of what part of the data a value is. Unsaid where a log names its training columns and this one has no such name."""

LEARNING_RATE = "learning_rate"
"""The metric under which all learning rates are drawn."""

EPOCHS = {"epoch", "epochs"}
STEPS = {"step", "steps", "global_step", "trainer_global_step", "train_global_step"}
STEPS |= {"iteration", "iterations", "iter", "iters", "batch"}

TIMES = {"time", "timestamp", "datetime", "date", "elapsed", "runtime", "duration", "eta", "second", "seconds", "sec"}
"""Whatever has one of these words in its name measures the machine, not the model."""

COUNTERS = EPOCHS | {"step", "steps", "iteration", "iterations", "iter", "iters", "batch", "batches", "index", "id"}
COUNTERS |= {"unnamed"}
BESIDE_COUNTERS = {"global", "trainer", "train", "total", "current", "num", "0"}
"""A name of these words alone, one of the former at least, counts something."""

PARTS = {
    "train": TRAINING,
    "training": TRAINING,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "eval": VALIDATION,
    "test": TEST,
}
PART = re.compile(rf"(?<![^\W_])({'|'.join(PARTS)})(?![^\W_])", re.IGNORECASE)
CAMEL_PART = re.compile(r"^(train|val|valid|test)(?=[A-Z])")
SEPARATORS = "/_.- :"

LESS_IS_BETTER = re.compile(
    r".*loss(es)?|.*error|.*err|.*entropy|m?ae|[mr]?mse|rmse|mape|msle|nll|ppl|perplexity|[cw]er|.*hinge|.*divergence"
    r"|.*distance|hd95|hausdorff|brier|ece"
)
MORE_IS_BETTER = (
    re.compile(r".*accuracy|.*acc\d*"),
    re.compile(r".*iou\d*|.*jaccard|jacc"),
    re.compile(r".*dice"),
    re.compile(r"m?ap\d*"),
    re.compile(r"f\d+|f\d*score|.*fscore|fbeta"),
    re.compile(r".*precision|.*recall|.*auc|auroc|psnr|ssim|kappa|mcc|r2|sensitivity|specificity|score|fitness"),
)
"""Words of scores, those first by which a best epoch is rather chosen."""


@dataclass(frozen=True)
class Curve:
    """One column that is drawn.

    Args:
        column: Its name in the log.
        part: One of `TRAINING`, `VALIDATION`, `TEST` and `UNSAID`.
        stepwise: Whether it holds the last step's value, beside another column that holds the epoch's.
    """

    column: str
    part: str
    stepwise: bool = False


@dataclass(frozen=True)
class Metric:
    """What is drawn in one chart.

    Args:
        name: Of the metric, without the word for the part.
        curves: Its columns: of training, of validation, then others.
    """

    name: str
    curves: tuple[Curve, ...]

    def curve(self, part: str) -> Curve | None:
        """Return the first curve of a part, epoch by epoch rather than stepwise."""
        found = sorted((curve for curve in self.curves if curve.part == part), key=lambda curve: curve.stepwise)
        return found[0] if found else None


def words(name: str) -> list[str]:
    """Return the words of a name in small letters."""
    return re.findall(r"[^\W_]+", name.casefold())


def key(name: str) -> str:
    """Return what names of one metric have in common: "Mean IoU" and "mean_iou" are one."""
    return "_".join(words(name)) or name


def is_epoch(name: str) -> bool:
    """Tell whether a column counts epochs."""
    return key(name) in EPOCHS


def is_step(name: str) -> bool:
    """Tell whether a column counts steps."""
    return key(name) in STEPS


def is_learning_rate(name: str) -> bool:
    """Tell whether a column is a learning rate, such as ``lr``, ``learning_rate``, ``lr-Adam`` or ``lr/pg0``."""
    found = words(name)
    return "lr" in found or "learningrate" in found or ("learning", "rate") in pairwise(found)


def is_metric(name: str) -> bool:
    """Tell whether a column says how good the model is: no count, no time, no learning rate."""
    found = set(words(name))
    counts = bool(found & COUNTERS) and found <= COUNTERS | BESIDE_COUNTERS
    return bool(name) and not is_learning_rate(name) and not found & TIMES and not counts


def direction(name: str) -> int:
    """Return 1 if more is better, -1 if less is, and 0 for what is no known score: it has no best epoch."""
    found = words(name)
    if any(LESS_IS_BETTER.fullmatch(word) for word in found):
        return -1
    return 1 if _rank(found) < len(MORE_IS_BETTER) else 0


def _rank(found: list[str]) -> int:
    """Return the place of the first kind of score that one of the words is; their number for none."""
    kinds = (place for place, kind in enumerate(MORE_IS_BETTER) if any(kind.fullmatch(word) for word in found))
    return next(kinds, len(MORE_IS_BETTER))


def split_part(name: str) -> tuple[str | None, str]:
    """Return the part that a name says, None if it says none, and the name without it.

    ``val_loss``, ``loss/val``, ``Val Loss``, ``valLoss`` and ``losses/eval.loss`` are all understood.
    """
    found = CAMEL_PART.search(name) or PART.search(name)
    if found is None:
        return None, name
    before, after = name[: found.start()], name[found.end() :].lstrip(SEPARATORS)
    rest = before + after if after else before.rstrip(SEPARATORS)
    return (PARTS[found[1].lower()], rest) if rest else (None, name)


def metrics_of(columns: Iterable[str]) -> list[Metric]:
    """Return the metrics of a log in the order of its columns, the columns of training and of validation paired.

    What says no part is of training, as Keras writes it, unless other columns say that they are: then it is unsaid,
    as Ultralytics' and fastai's scores, which are of validation.
    """
    said = {column: split_part(column) for column in columns if is_metric(column)}
    parts = {part for part, _ in said.values()}
    twins = {key(_without_granularity(rest)[0]) for part, rest in said.values() if part == VALIDATION}
    groups: dict[str, list[tuple[str, Curve]]] = {}
    for column, (part, rest) in said.items():
        name, granularity = _without_granularity(rest)
        if part == TEST and VALIDATION not in parts:
            part = VALIDATION
        if part is None:
            part = UNSAID if TRAINING in parts and key(name) not in twins else TRAINING
        groups.setdefault(key(name), []).append((name, Curve(column, part, granularity == "step")))
    order = [TRAINING, VALIDATION, TEST, UNSAID]
    return [
        Metric(found[0][0], tuple(sorted((curve for _, curve in found), key=lambda curve: order.index(curve.part))))
        for found in groups.values()
    ]


def _without_granularity(name: str) -> tuple[str, str]:
    """Split ``loss_epoch`` and ``loss_step``, as Lightning calls a metric that it logs at both, into name and word."""
    found = re.fullmatch(r"(.*[^\W_].*?)(?<!_per)_(epoch|step)", name)
    return (found[1], found[2]) if found else (name, "")


def monitors(metrics: Iterable[Metric]) -> list[Curve]:
    """Return the curves by which a best epoch can be chosen, the fittest first.

    A score of validation comes first, accuracy before IoU, then its losses; what is of training comes last.
    """
    ranked = []
    for place, metric in enumerate(metrics):
        better, found = direction(metric.name), words(metric.name)
        for curve in metric.curves:
            if better and curve.part != TEST and not curve.stepwise:
                high = better > 0
                tier = [(VALIDATION, True), (UNSAID, True), (VALIDATION, False), (UNSAID, False)]
                tier += [(TRAINING, True), (TRAINING, False)]
                rank = _rank(found) if high else 2 - ("loss" in found) - (found == ["loss"])
                ranked.append((tier.index((curve.part, high)), rank, place, curve))
    return [curve for *_, curve in sorted(ranked, key=lambda entry: entry[:3])]
