"""The commands that draw points on a map to be labelled, and estimate areas from them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from segmentation.areas.assessment import ASSUMED, NOT_A_SAMPLE, Assessment, assess
from segmentation.areas.class_map import ClassMap, ClassNames, find_class_names
from segmentation.areas.design import Allocation, allocate, sample_size
from segmentation.areas.estimates import Z
from segmentation.areas.points import read_points, read_system, write_points
from segmentation.areas.sampling import draw_points
from segmentation.commands.common import RUNS, find_run, progress_bar, remark
from segmentation.data.class_mapping import find_class
from segmentation.data.palette import Palette
from segmentation.data.pixel_areas import UNITS, Unit, unit_of
from segmentation.errors import DONE, PARTLY, ConfigurationError, ImageFileError, RunError, printable
from segmentation.files import replacing
from segmentation.tables import to_safe_csv

PRECISION = 0.85
"""The user's accuracy that each class is thought to have, if nobody says otherwise."""


def sample(
    class_map: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("points.geojson"),
    size: int | None = None,
    standard_error: float = 0.02,
    allocation: Allocation = "proportional",
    minimum: int | None = None,
    expected_accuracy: tuple[str, ...] = (str(PRECISION),),
    reveal: bool = False,
    seed: int = 0,
    classes: Path | None = None,
    run: str | None = None,
    runs: Path = RUNS,
) -> int:
    """Draw points on a map, at random within each of its classes, for people to label: then see the command areas.

    Args:
        class_map: The map: NAME-classes.tif, NAME-indices.png or NAME-colours.png of predict, or another image of
            class indices or colours.
        output: The new file, .geojson or .csv: an id, an empty label and a place for each point, in random order.
        size: How many points; by default as many as the standard error takes.
        standard_error: That of the overall accuracy which is wanted (Cochran's formula).
        allocation: How points are shared out to the classes: by area, alike, or by area and expected accuracy.
        minimum: Points in each class at least; by default 50, or half of an equal share if that is less.
        expected_accuracy: Share of each class's area on the map that is thought to be right, as 0.85, and where it
            differs as Water=0.95. It plans the sample and changes no result.
        reveal: Also write the map's class, map_class. Whoever labels should not see it.
        seed: The same draws the same points.
        classes: A file with columns name,r,g,b, if nothing beside the map says its classes.
        run: The run that predicted the map, likewise.
        runs: Folder that holds the runs.
    """
    if output.suffix.lower() not in (".geojson", ".json", ".csv"):
        raise ConfigurationError(f"Expected the output to end in .geojson or .csv. Received: {output}")
    with ClassMap(class_map, _class_names(class_map, classes, run, runs)) as opened:
        expected = _expected(expected_accuracy, opened.names)
        with progress_bar("windows") as progress:
            coverage = opened.coverage(progress)
            size = sample_size(coverage.areas, expected, standard_error) if size is None else size
            points = allocate(size, coverage.areas, coverage.pixels, allocation, expected, minimum)
            drawn = draw_points(opened, points, seed, progress)
        as_csv = output.suffix.lower() == ".csv"
        text = write_points(opened, drawn, opened.mark(coverage), as_csv, reveal)
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
        for name, count, area in zip(opened.names, points, coverage.areas / coverage.areas.sum(), strict=True):
            print(f"{printable(name):<24}{100 * area:8.2f} % of the map {count:8,} points")
    print(f"{len(drawn.rows):,} points are in {printable(str(output))}: give each a label, then run areas.")
    return DONE


def areas(
    class_map: Annotated[Path, tyro.conf.Positional],
    points: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    crs: str | None = None,
    unit: Literal["m2", "ha", "km2"] | None = None,
    classes: Path | None = None,
    run: str | None = None,
    runs: Path = RUNS,
) -> int:
    """Estimate the area of each class of a map from labelled points, with 95 % intervals and accuracies.

    By the stratified estimator of Olofsson et al. (2014), which corrects the map's own areas by its errors. Points that
    cannot be used are left out and named on standard error; the exit code is then 3.

    Args:
        class_map: The map on which the points were drawn.
        points: The labelled points: what sample wrote, or GeoJSON or CSV (x, y or longitude, latitude, and label).
        output: Also write the table, as .csv or as .json.
        crs: Coordinate system of the points, such as EPSG:32640, or map for the map's own; by default what their file
            says: longitude and latitude for GeoJSON, the map's own for x and y.
        unit: Unit of areas, m2, ha or km2; by default one that fits. Files are in m².
        classes: A file with columns name,r,g,b, if nothing beside the map says its classes.
        run: The run that predicted the map, likewise.
        runs: Folder that holds the runs.
    """
    if output and output.suffix.lower() not in (".csv", ".json"):
        raise ConfigurationError(f"Expected the output to end in .csv or .json. Received: {output}")
    system = read_system(crs) if crs else None
    try:
        labelled = read_points(points.read_bytes(), points.name)
    except OSError as error:
        raise ImageFileError(f"{points} cannot be opened ({error.strerror}): check the path.") from error
    with ClassMap(class_map, _class_names(class_map, classes, run, runs)) as opened:
        with progress_bar("windows") as progress:
            coverage = opened.coverage(progress)
        found = assess(opened, coverage, labelled, system)
    _print(found, next((of for of in UNITS if unit and of.name == unit.replace("2", "²")), None))
    if output:
        as_csv = output.suffix.lower() == ".csv"
        text = to_safe_csv(found.table()) if as_csv else json.dumps(found.to_dict(), indent=2, ensure_ascii=False)
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for note in found.notes:
        remark(note)
    return PARTLY if found.left_out else DONE


def _class_names(class_map: Path, classes: Path | None, run: str | None, runs: Path) -> ClassNames:
    """Return the classes of a map: those of a file or of a run, where one is named, else what lies beside it."""
    if classes:
        palette = Palette.from_csv(classes)
    elif run:
        chosen = find_run(run, runs)
        if chosen.palette is None:
            raise RunError(f"{chosen.name} does not say its classes: name a file of them with --classes.")
        palette = chosen.palette
    else:
        return find_class_names(class_map)
    return ClassNames(palette.names, palette)


def _expected(entries: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """Return the user's accuracy that each class is thought to have: of all, and of some by name.

    Raises:
        ConfigurationError: If an entry is no share, or names no class of the map.
    """
    expected = np.full(len(names), PRECISION)
    for entry in sorted(entries, key=lambda entry: "=" in entry):  # first what holds for all
        name, _, value = entry.rpartition("=")
        index = find_class(name.strip(), names) if name else slice(None)
        try:
            share = float(value)
        except ValueError:
            share = -1
        if index is None or not 0 <= share <= 1:
            raise ConfigurationError(
                f"Expected a share from 0 to 1, as 0.85 or Water=0.95. Received: {entry}. The classes of the map are "
                f"{', '.join(names)}."
            )
        expected[index] = share
    return expected


def _print(found: Assessment, unit: Unit | None) -> None:
    """Print areas, accuracies and what they assume."""
    table, known = found.table(), found.in_square_metres
    table = table[(table["mapped_share"] > 0) | (table["points_labelled"] > 0)]  # of the others nothing is known
    unit = unit or unit_of(found.total / 10)
    kind, name, size = ("square_metres", unit.name, unit.square_metres) if known else ("share", "%", 0.01)
    decimals = 0 if name == UNITS[0].name else 2
    heads = ("class", f"mapped, {name}", f"estimated ± 95 %, {name}", "user’s", "producer’s", "points")
    print("{:<20}{:>16}{:>30}{:>16}{:>16}{:>8}".format(*heads))
    for row in table.to_dict("records"):
        mapped, value, error = (row[column] / size for column in (f"mapped_{kind}", kind, f"{kind}_standard_error"))
        estimate = f"{value:,.{decimals}f} ± {Z * error:,.{decimals}f}"
        accuracies = "".join(
            f"{_accuracy(row[of], row[f'{of}_standard_error']):>16}" for of in ("users_accuracy", "producers_accuracy")
        )
        print(
            f"{printable(row['class']):<20}{mapped:>16,.{decimals}f}{estimate:>30}{accuracies}{row['points_mapped']:>8,}"
        )
    overall = found.estimates.overall
    print(f"Overall accuracy {_accuracy(float(overall.value), float(overall.standard_error))}")
    if not known:
        print("The map does not say where it lies: areas are shares of its pixels.")
    if found.coverage.without_class:
        print(f"{found.coverage.without_class:,} pixels of the map have no class and are no part of these areas.")
    print(ASSUMED)
    print(NOT_A_SAMPLE)


def _accuracy(value: float, standard_error: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f} ± {Z * standard_error:.3f}"
