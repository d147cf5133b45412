"""Runs side by side: a row for each with what it scored, where, how large it is, and which of them are best."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pandas as pd

from segmentation.intervals import Interval
from segmentation.runs.run import FOREIGN, PATCHES, Run

HIGHER = ("mean_iou", "mean_iou_without_unlabeled", "accuracy", "jaccard")
"""The columns in which more is better; they are fields of `Metrics`."""

LOWER = ("parameters", "model_bytes", "seconds")
"""The columns in which less is better; the seconds a megapixel are added where they were measured."""

TYPES = {
    **dict.fromkeys(("run", "dataset", "fingerprint", "protocol", "group", "created"), "str"),
    **dict.fromkeys(HIGHER, "float64"),
    **dict.fromkeys(("parameters", "model_bytes", "epochs"), "Int64"),
}
"""Columns whose type their values alone do not tell, where none is known."""


@dataclass(frozen=True)
class RunSummary:
    """What one run is, as far as its folder says.

    Args:
        run: Its name.
        dataset: The data set that its scores are of.
        fingerprint: SHA-256 of that data set's files.
        protocol: What was held out, with the tile if it is one.
        group: The same for runs whose scores can be compared; None if the run has none.
        mean_iou: As `Metrics` holds it, like the other three scores.
        mean_iou_without_unlabeled: None, too, where no class is called so.
        accuracy: Of all scored pixels.
        jaccard: The article's.
        intervals: The 95 % intervals that were kept with these scores, by their names.
        parameters: Weights of its network.
        model_bytes: Size of its model's file.
        epochs: Lines of its log.
        created: When it began, in UTC and as ISO 8601 writes it.
        classes: Of its model.
        ranked: Whether it was evaluated patch by patch.
    """

    run: str
    dataset: str | None
    fingerprint: str | None
    protocol: str | None
    group: str | None
    mean_iou: float | None
    mean_iou_without_unlabeled: float | None
    accuracy: float | None
    jaccard: float | None
    intervals: dict[str, Interval]
    parameters: int | None
    model_bytes: int | None
    epochs: int | None
    created: str | None
    classes: tuple[str, ...]
    ranked: bool


def summarize_run(run: Run) -> RunSummary:
    """Return what a run is."""
    metrics, config = run.metrics, run.config
    protocol = metrics.protocol if metrics else (run.protocol if config else None)
    tile = config.configuration.get("held_out_tile") if config and protocol == "tile" else None
    classes = run.palette.names if run.palette else ()
    where = run.fingerprint or (run.dataset and run.dataset.name)
    # Other patches are held out at another size, or in another fold.
    cut = (config.configuration.get("patch_size"), config.configuration.get("fold") or 0) if config else None
    alike = "patch" if protocol == "article" else protocol  # which holds out the same
    files = [run.trained_model] if run.trained_model else [run.folder / name for name in FOREIGN]
    sizes = [file.stat().st_size for file in files if file and file.is_file()]
    return RunSummary(
        run=run.name,
        dataset=run.dataset.name if run.dataset else None,
        fingerprint=run.fingerprint,
        protocol=f"{protocol}: {tile}" if tile else protocol,
        group=repr((where, alike, tile, cut, metrics.patches, classes)) if metrics and where else None,
        **{name: getattr(metrics, name, None) for name in HIGHER},
        intervals=metrics.intervals.by_name if metrics and metrics.intervals else {},
        parameters=run.architecture.parameters if run.architecture else None,
        model_bytes=sum(sizes) or None,
        epochs=len(run.history.table) if run.history else None,
        created=config.created if config else None,
        classes=classes,
        ranked=(run.folder / PATCHES).is_file(),
    )


def summary_table(summaries: Iterable[RunSummary]) -> pd.DataFrame:
    """Return one row per run, with the fields of `RunSummary` as columns; what is not known is missing.

    The same files have one name, the longest: a folder called data says least.
    """
    columns = [field.name for field in fields(RunSummary)]
    table = pd.DataFrame([asdict(summary) for summary in summaries], columns=columns).astype(TYPES)
    names = table.sort_values("dataset", key=lambda names: names.str.len()).groupby("fingerprint")["dataset"].last()
    created = pd.to_datetime(table["created"], errors="coerce", utc=True, format="ISO8601")
    named = table["fingerprint"].map(names).astype("str").fillna(table["dataset"])
    return table.assign(dataset=named, created=created.dt.tz_localize(None))


def best_values(table: pd.DataFrame) -> pd.DataFrame:
    """Tell which values are the best of their column among the runs whose scores can be compared.

    Those are runs of the same classes, scored on the same patches of the same data. Where all of a group are alike, or
    there is but one, none is the best.

    Args:
        table: As `summary_table` returns it, or some of its rows.

    Returns:
        The columns of `HIGHER` and `LOWER` that it has as booleans, in its order.
    """
    groups = table["group"].astype(object)
    best = pd.DataFrame(False, index=table.index, columns=[name for name in (*HIGHER, *LOWER) if name in table])
    for _, rows in table.groupby(groups, sort=False):
        for column in best:
            values = rows[column].astype("float64").round(6)
            if values.nunique() > 1:
                best.loc[rows.index, column] = values == (values.max() if column in HIGHER else values.min())
    return best
