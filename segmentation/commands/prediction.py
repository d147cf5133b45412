"""The command that predicts files."""

import os
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from tqdm import tqdm

from segmentation.commands.common import RUNS, chosen_thresholds, find_run, progress_bar
from segmentation.data.images import SUFFIXES
from segmentation.data.scenes import natural_key
from segmentation.errors import DONE, PARTLY, DatasetNotFoundError, RunError, printable
from segmentation.files import replacing
from segmentation.inference.options import SEAMLESS, Inference
from segmentation.tables import to_safe_csv
from segmentation.thresholds import by_index, in_words


def predict(
    images: Annotated[list[Path], tyro.conf.Positional],
    run: str,
    output: Path,
    masks: Path | None = None,
    nearest_colours: bool = False,
    runs: Path = RUNS,
    overlap: float = SEAMLESS.overlap,
    tta: bool = False,
    bfloat16: bool = False,
    threshold: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    stored_thresholds: bool = False,
    confidence: bool = False,
    polygons: bool = False,
    dask: str | None = None,
) -> int:
    """Predict images: a coloured mask and an index mask each, and a row in results.csv, with scores if it has a mask.

    A GeoTIFF of any size becomes a map: a cloud-optimised GeoTIFF, NAME-classes.tif; its row has the classes' areas. A
    file that cannot be used is named on standard error and passed over; the exit code is then 3. What was predicted
    before with the same settings is not predicted again.

    Args:
        images: Image files, or folders of them.
        run: Name of a run, or the path of its folder.
        output: Folder for NAME-colours.png, NAME-indices.png and NAME.json, and results.csv.
        masks: Folder of masks with the images' names, in the colours of the run's classes; not for GeoTIFFs.
        nearest_colours: Of masks whose colours JPEG or smoothed edges smeared: score a pixel by the class of the
            nearest colour, where it would be left out.
        runs: Folder that holds the runs.
        overlap: What a window has in common with the next, as a share of a patch's side, 0 to 0.5; 0 cuts as the
            article does.
        tta: Test-time augmentation: average over the eight flips and rotations of each patch.
        bfloat16: Compute with numbers of 16 bits, faster and less exactly, where the processor can.
        threshold: CLASS=PROBABILITY, such as Building=0.37, as often as needed: pixels are of the class from that
            probability on, and below it of the most probable of the others.
        stored_thresholds: Apply the thresholds that were chosen on the pages and stored with the run.
        confidence: Of a GeoTIFF: also write NAME-confidence.tif, in per cent.
        polygons: Of a GeoTIFF: also write NAME-classes.geojson.
        dask: Address of a Dask scheduler, such as tcp://10.0.0.1:8786: its workers predict, from the same folders.
    """
    chosen = find_run(run, runs)
    if chosen.model is None or chosen.palette is None:
        raise RunError(f"{chosen.name} cannot predict: {', '.join(chosen.problems) or chosen.why_no_model}.")
    limits = chosen_thresholds(chosen, runs, threshold, stored_thresholds)
    inference = Inference(overlap, tta, bfloat16, by_index(limits, chosen.palette))
    files = _image_files(images)
    from segmentation.inference.batch import Job, predict_files

    truths = {path.stem: path for path in _image_files([masks])} if masks else {}
    job = Job(
        chosen.model,
        chosen.palette,
        output,
        truths,
        nearest_colours,
        inference,
        confidence,
        polygons,
        chosen.stretch,
    )
    rows, single = {}, len(files) == 1
    with progress_bar("windows" if single else "images") as progress:
        for row in predict_files(job, files, dask, progress if single else None):
            rows[row["image"]] = row
            if not single:
                progress(len(rows), len(files))
            _tell(row, nearest_colours)
    _write_results(output / "results.csv", files, rows)
    failed = sum(row["problem"] is not None for row in rows.values())
    if limits:
        print(f"Thresholds in force: {in_words(limits)}")
    print(f"{len(files) - failed} of {len(files)} images predicted into {printable(str(output))}")
    return PARTLY if failed else DONE


def _tell(row: dict, nearest: bool) -> None:
    """Say what is to be known of one image's row: its problem, a note, its scores, and what they leave out."""
    if row["problem"]:
        tqdm.write(row["problem"], sys.stderr)
    if "note" in row:
        tqdm.write(printable(row["note"]), sys.stdout)
    if "scores" in row:
        accuracy, mean_iou = row["scores"]["accuracy"], row["scores"]["mean_iou"]
        name = printable(row["image"])
        tqdm.write(f"{name}: accuracy {accuracy}, mean IoU {mean_iou}", sys.stdout)
        if row["uncertain"]:
            tqdm.write(f"{name}: {_uncertain(row['uncertain'], nearest)}", sys.stderr)


def _write_results(path: Path, files: list[Path], rows: dict[str, dict]) -> None:
    """Write the images' rows as a table, in the order of the files."""
    # A name that is not UTF-8 is told with the bytes' numbers.
    utf8 = {file.name: os.fsencode(file.name).decode(errors="backslashreplace") for file in files}
    table = pd.json_normalize([rows[name] | {"image": told} for name, told in utf8.items()], sep="_")
    with replacing(path) as temporary:
        temporary.write_text(
            to_safe_csv(table.rename(columns=lambda name: name.removeprefix("scores_"))), encoding="utf-8"
        )


def _uncertain(share: float, nearest: bool) -> str:
    """Say what became of the pixels of a mask whose colour is no class's."""
    pixels = f"{100 * share:.2f} % of its mask's pixels have no class's colour and"
    if nearest:
        return f"{pixels} took the nearest, right or wrong."
    return f"{pixels} are left out: give --nearest-colours to take the nearest class's, or save the mask as PNG."


def _image_files(paths: list[Path]) -> list[Path]:
    """Return the images among and in the given files and folders, in natural order.

    Raises:
        DatasetNotFoundError: If a path does not exist or there is no image.
    """
    files = []
    for path in paths:
        if path.is_dir():
            found = [child for child in path.iterdir() if child.suffix.lower() in SUFFIXES and child.is_file()]
            files += sorted(found, key=lambda child: natural_key(child.name))
        elif path.is_file():
            files.append(path)
        else:
            raise DatasetNotFoundError(f"There is no file or folder {path}: check the path.")
    if not files:
        raise DatasetNotFoundError(f"No image in {', '.join(map(str, paths))}: give {', '.join(SUFFIXES)} files.")
    return files
