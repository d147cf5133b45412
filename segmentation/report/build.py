"""A run's report out of its folder and, where it is at hand, its data set."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.data.patches import Progress
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError, printable
from segmentation.evaluation.gains import intervals_of, signed
from segmentation.files import replacing
from segmentation.inference.predictor import Predictor
from segmentation.report import repeating, scored, words
from segmentation.report.pictures import PatchPictures, patch_pictures
from segmentation.report.plots import (
    MOST_CELLS,
    confusion_cells,
    curve_plots,
    largest_confusions,
    reliability_plot,
)
from segmentation.runs.run import Run

CONFUSIONS = 8
"""Of the largest confusions that are named."""


LAST = ("Versions", "Backend", "Commit", "Begun")
"""What is said of a run after its hyper-parameters."""


@dataclass(frozen=True)
class Sources:
    """What a report is made from beside the run folders; it says what is missing.

    Args:
        dataset: The scenes, for the pictures.
        fingerprint: Of these.
        findings: What is odd about them, as `Health.findings`; None if nobody has looked.
        reviews: What people said of suspect patches, as `Reviews.read` returns it.
        colour_blind_safe: Draw the classes in colours that colour-blind eyes tell apart.
        predictor_of: From a run's model to what predicts with it.
    """

    dataset: Dataset | None = None
    fingerprint: str | None = None
    findings: pd.DataFrame | None = None
    reviews: pd.DataFrame | None = None
    colour_blind_safe: bool = False
    predictor_of: Callable[[Path], Predictor] = Predictor


def make_report(
    run: Run,
    other: Run | None = None,
    sources: Sources | None = None,
    made: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Return a run's report as one HTML page that needs no other file.

    Args:
        run: Any run, complete or not.
        other: A second run of the same classes, which the report compares with it.
        sources: What else there is.
        made: When, as it is to be printed; by default now, in UTC. Otherwise the same files give the same report.
        progress: Called with (done, total) while scenes are read and predicted.

    Raises:
        RunError: If the second run is the first, or has other classes.
    """
    sources = sources or Sources()
    if other is not None:
        _check_comparable(run, other)
    made = made or time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    page = _environment().get_template("report.html.j2")
    style = _style()
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    shown = {"style": style, "digest": digest, "made": made, "run": run, "other": other, "sources": sources}
    html = page.render(**shown, **_content(run, other, sources, progress))
    return html.encode("utf-8", "replace").decode()  # a folder's name may hold bytes that are no text


def write_report(path: Path, page: str) -> None:
    """Write a report in one step.

    Raises:
        StorageError: If it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def report_name(run: Run, other: Run | None = None) -> str:
    """Return what a report's file is called."""
    return f"{run.name}-and-{other.name}-report.html" if other else f"{run.name}-report.html"


def _check_comparable(run: Run, other: Run) -> None:
    if run.folder.resolve() == other.folder.resolve():
        raise RunError(f"{run.name} cannot be compared with itself: choose another run.")
    if run.palette is None or other.palette is None or run.palette.names != other.palette.names:
        raise RunError(f"{other.name} knows other classes than {run.name}: choose a run of the same classes.")


def _content(run: Run, other: Run | None, sources: Sources, progress: Progress | None) -> dict[str, Any]:
    """Return what the template shows, by name."""
    palette = run.palette
    colors = palette.colour_blind_safe() if palette and sources.colour_blind_safe else palette
    intervals, metrics = intervals_of(run), run.metrics
    classes = scored.class_rows(metrics, intervals, colors) if metrics and colors else []
    comparison = scored.compare(run, other, colors) if other and colors else None
    matrix = np.array(metrics.confusion_matrix) if metrics else np.zeros((0, 0), int)
    names = [row.name for row in classes]
    runs = [one for one in (run, other) if one]
    histories = {one.name: one.history for one in runs if one.history is not None}
    return {
        "answer": words.answer(run, intervals, classes, comparison),
        "scored_line": words.scored_line(run),
        "cautions": list(words.cautions(run, intervals, sources.fingerprint)),
        "intervals": intervals,
        "scores": scored.score_rows([(one.metrics, intervals_of(one)) for one in runs]),
        "classes": classes,
        "legend": _legend(colors),
        "comparison": comparison,
        "cells": confusion_cells(matrix) if len(matrix) <= MOST_CELLS else [],
        "confusions": largest_confusions(matrix, names, CONFUSIONS),
        "calibration": reliability_plot(metrics.calibration) if metrics and metrics.calibration else None,
        "curves": curve_plots(histories) if run.history is not None else [],
        "tiles": scored.place_rows(run, "tile"),
        "scenes": scored.place_rows(run, "scene"),
        "most_places": scored.PLACES,
        "settings": _side_by_side([_settings(one) for one in runs]),
        "commands": _commands(run, other),
        **_looked_at(run, other, comparison, sources, colors, progress),
    }


def _looked_at(
    run: Run,
    other: Run | None,
    comparison: scored.Comparison | None,
    sources: Sources,
    colors: Palette | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Return the patches that are shown, and their pictures by name."""
    least = scored.LEAST_WRONG * run.patch_size**2
    worse, better = scored.changed_patches(comparison, least) if comparison else (pd.DataFrame(), pd.DataFrame())
    lists = {"worst": scored.worst_patches(run), "suspects": scored.suspect_patches(run)}
    lists |= {"worse": worse, "better": better}
    pictures: dict[str, PatchPictures] = {}
    problems = list[str]()
    rows = pd.concat([table for table in lists.values() if len(table)] or [pd.DataFrame(columns=["patch"])])
    rows = rows.drop_duplicates("patch")
    dataset = _in_classes(run, sources.dataset)
    if len(rows) and dataset is not None and colors is not None:
        runs = [one for one in (run, other) if one]
        pictures, problems = patch_pictures(runs, dataset, rows, colors, sources.predictor_of, progress)
    elif len(rows):
        problems = [_no_pictures(run, sources.dataset)]
    shown = {name: table.to_dict("records") for name, table in lists.items()}
    reviews = sources.reviews
    verdicts = {} if reviews is None or reviews.empty else reviews.set_index("patch").to_dict("index")
    return {**shown, "pictures": pictures, "problems": problems, "reviews": verdicts}


def _in_classes(run: Run, dataset: Dataset | None) -> Dataset | None:
    """Return the data set in the run's classes; None if it is not the one that the run was scored on."""
    if dataset is None or run.patches is None:
        return None
    known = {scene.name for scene in dataset.scenes}
    return run.in_its_classes(dataset) if known & set(run.patches["scene"]) else None


def _no_pictures(run: Run, dataset: Dataset | None) -> str:
    """Say why there are no pictures."""
    of = (run.dataset and run.dataset.name) or "the data set"
    if dataset is None:
        return f"There are no pictures, since {of} was not at hand: give its folder by --data."
    return f"There are no pictures, since {dataset.root.name} is not {of}, on which {run.name} was scored."


def _legend(colors: Palette | None) -> list[tuple[str, str]]:
    """Return each class's name and colour, and void's."""
    if colors is None:
        return []
    return [(name, colors.hex(index)) for index, name in enumerate(colors.names)] + [(VOID_NAME, colors.hex(VOID))]


def _side_by_side(settings: list[dict[str, str]]) -> list[tuple[str, list[str]]]:
    """Return what each run says under each name; a dash where it says nothing."""
    names = sorted(dict.fromkeys(name for of_run in settings for name in of_run), key=LAST.__contains__)
    return [(name, [of_run.get(name, "–") for of_run in settings]) for name in names]


def _settings(run: Run) -> dict[str, str]:
    """Return what the run's model is and how it was made, by names for people."""
    config = run.config
    if config is None:
        return {}
    network = config.architecture
    rows = {"Network": f"{network.name}, {network.parameters:,} parameters"} if network else {}
    if run.is_foreign or run.predictions:
        rows["Made"] = "A model from elsewhere" if run.is_foreign else "Predictions from elsewhere, without a model"
    for name, value in config.configuration.items():
        if value is not None and value != [] and not (network and name == "architecture"):
            rows[name.replace("_", " ").capitalize()] = _said(value)
    if config.versions:
        rows["Versions"] = ", ".join(f"{name} {version}" for name, version in config.versions.items())
    further = {"Backend": config.backend, "Commit": config.commit, "Begun": config.created}
    return rows | {name: value for name, value in further.items() if value}


def _said(value: object) -> str:
    """Return a hyper-parameter for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _commands(run: Run, other: Run | None) -> list[tuple[str, str]]:
    """Return the commands that repeat the run, its scores and the report, with what each does."""
    commands = list[tuple[str, str]]()
    for one in (run, other):
        if one:
            made = "Adds" if one.is_foreign or one.predictions else "Trains"
            commands.append((f"{made} {one.name} anew", repeating.training_command(one)))
            commands.append((f"Scores {one.name}", repeating.scoring_command(one)))
    commands.append(("Makes this report", repeating.report_command(run, other)))
    return [(what, typed) for what, typed in commands if typed]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("segmentation.report", "."),
        autoescape=True,  # every name comes from a file
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"score": words.score, "between": words.between, "signed": signed, "printable": printable}
    return environment


@cache
def _style() -> str:
    return (resources.files("segmentation.report") / "report.css").read_text(encoding="utf-8")
