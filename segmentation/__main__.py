"""The command line: ``segmentation <command> --help``, or ``python -m segmentation`` in its place.

Exit codes: 0 done, 1 refused with one sentence, 2 wrong usage, 3 done but some files could not be used,
130 stopped by the user.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from tqdm import tqdm

from segmentation.backend import load_backend
from segmentation.configuration import Configuration
from segmentation.data.images import SUFFIXES
from segmentation.data.locate import (
    DATA_FOLDER,
    DEMO_FOLDER,
    RUNS_VARIABLE,
    VARIABLE,
    default_folder,
    runs_folder,
)
from segmentation.data.patches import PATCH_SIZE, Progress
from segmentation.data.protocols import Protocol
from segmentation.data.scenes import Dataset, find_dataset, natural_key
from segmentation.errors import (
    DONE,
    PARTLY,
    REFUSED,
    STOPPED,
    BackendError,
    ConfigurationError,
    DatasetNotFoundError,
    RunError,
    SegmentationError,
    printable,
)
from segmentation.files import replacing
from segmentation.inference.export import Format
from segmentation.runs.run import METRICS, SHIPPED, Run, check_run_name, find_runs, read_selection
from segmentation.tables import to_safe_csv

RUNS = runs_folder()


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar on standard error."""
    with tqdm(unit=f" {unit}", leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:

        def update(done: int, total: int) -> None:
            if total != bar.total:  # another task, with a clock of its own
                bar.reset(total)
            bar.update(done - bar.n)

        yield update


def remark(sentence: str) -> None:
    """Say what the user should know on standard error, above a bar if there is one."""
    tqdm.write(printable(sentence), sys.stderr)


def find_run(name: str, runs: Path) -> Run:
    """Return the run called `name`: in `runs`, among the shipped ones, or by its path.

    Raises:
        RunError: If there is none.
    """
    known = find_runs(runs, SHIPPED)
    for run in known:
        if run.name == name:
            return run
    if Path(name).is_dir():
        return Run(Path(name))
    names = ", ".join(run.name for run in known) or "none"
    raise RunError(f"There is no run {name}: the runs here are {names}.")


def dataset_folder(data: Path | None) -> Path:
    """Return the folder asked for or this machine's default; the demo set is made if it is that."""
    folder = data or default_folder()
    if folder == DEMO_FOLDER:
        demo(folder)
    return folder


@contextmanager
def dataset_at(data: Path | None) -> Iterator[Dataset]:
    """Yield the data set in a folder, by default this machine's, or in a file that `pack` has written."""
    if data and data.is_file():
        from segmentation.data.packed import unpacked

        with unpacked(data) as folder:
            yield find_dataset(folder)
    else:
        yield find_dataset(dataset_folder(data))


def dashboard(
    data: Path | None = None,
    runs: Path = RUNS,
    port: int = 8501,
    address: str = "localhost",
    browser: bool = True,
) -> int:
    """Open the dashboard in the browser. Ctrl-C stops it.

    Args:
        data: Folder of the data set; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        port: Where it listens.
        address: Who is answered: this machine only, or 0.0.0.0 for everybody who can reach it.
        browser: Open the browser.
    """
    try:
        from segmentation.ui.server import serve
    except ImportError as error:
        raise BackendError(
            'The dashboard needs packages that are not installed: pip install "aerial-segmentation[dashboard]"'
        ) from error
    os.environ[RUNS_VARIABLE] = str(runs.absolute())
    if data:
        os.environ[VARIABLE] = str(data.absolute())
    serve(port, address, browser)
    return DONE


def data(folder: Annotated[Path | None, tyro.conf.Positional] = None, patch_size: int = PATCH_SIZE) -> int:
    """Print the table of tiles (sizes and patches), the class shares and the health report.

    Args:
        folder: The data set; by default SEGMENTATION_DATA, data/ or the demo set.
        patch_size: Side of a patch, in pixels.
    """
    from segmentation.data.health import examine, usable_patches
    from segmentation.data.palette import VOID_NAME
    from segmentation.data.patches import tile_table

    dataset = find_dataset(dataset_folder(folder))
    with progress_bar("scenes") as progress:
        health = examine(dataset, patch_size, progress)
    tiles = usable_patches(tile_table(dataset, patch_size), health)
    print(tiles.to_string(index=False))
    of_all = (
        f"{health.patches['scene'].nunique()} of " if health.patches["scene"].nunique() < len(dataset.scenes) else ""
    )
    print(f"{tiles['patches'].sum()} patches of {patch_size} px in {of_all}{len(dataset.scenes)} scenes\n")
    pixels = health.scenes[[*dataset.palette.names, VOID_NAME]].sum()
    for name, count in pixels.items():
        print(f"{name:<16}{count:>14,} pixels {100 * count / max(1, pixels.sum()):6.2f} %")
    print(f"\nHealth: {len(health.findings)} findings")
    for finding in health.findings.itertuples():
        print(f"  {finding.severity:<8}{finding.kind:<14}{finding.scene or finding.file}: {finding.detail}")
    voids = health.findings[health.findings["kind"].isin(["void", "smeared"])]
    if len(voids):
        print(f"{len(voids)} masks hold {voids['pixels'].sum():,} pixels whose colour is in no palette")
    return PARTLY if (health.findings["severity"] == "error").any() else DONE


def demo(folder: Annotated[Path, tyro.conf.Positional] = DEMO_FOLDER) -> int:
    """Make the demo set: a small procedural city with exact masks.

    Args:
        folder: Where to make it.
    """
    from segmentation.data.demo import make_demo

    with progress_bar("scenes") as progress:
        print(f"The demo set is in {make_demo(folder, progress)}")
    return DONE


def pack(data: Annotated[Path, tyro.conf.Positional], file: Annotated[Path, tyro.conf.Positional]) -> int:
    """Write a data set into one file, for carrying it to another machine: train and evaluate take it as --data.

    Images keep their bytes, masks their classes. A run trained on it belongs to the folder.

    Args:
        data: Folder of the data set.
        file: The new file.
    """
    from segmentation.data.packed import pack as write

    dataset = find_dataset(data)
    with progress_bar("scenes") as progress:
        write(dataset, file, progress)
    print(f"{len(dataset.scenes)} scenes are in {printable(str(file))}, {file.stat().st_size / 1e6:,.1f} MB")
    return DONE


def download(folder: Path = DATA_FOLDER) -> int:
    """Download the MBRSC aerial imagery of Dubai (CC0, 33 MB); no account is needed.

    Args:
        folder: Where to put it: a new or empty folder.
    """
    from segmentation.data.download import download as fetch

    dataset = fetch(folder)
    print(f"{len(dataset.scenes)} scenes are in {folder}")
    return DONE


def summary(architecture: str = "unet", patch_size: int = PATCH_SIZE, classes: int = 6) -> int:
    """Print a network's layers and draw it as a U with every block's output shape.

    Args:
        architecture: Network, by its name in the registry.
        patch_size: Side of a patch, in pixels.
        classes: Number of classes.
    """
    load_backend()
    from segmentation.model.diagram import describe, draw
    from segmentation.model.registry import build

    model = build(architecture, patch_size, classes)
    model.summary(line_length=110)
    print(draw(describe(model)))
    return DONE


def train(
    name: str,
    configuration: Annotated[Configuration, tyro.conf.arg(name="")],
    data: Path | None = None,
    runs: Path = RUNS,
    patches: Path | None = None,
    resume: bool = False,
    devices: int | None = None,
) -> int:
    """Train a network into a run folder and evaluate its best epoch. Ctrl-C stops it; --resume goes on.

    Keras trains with TensorFlow, or with what the environment variable KERAS_BACKEND names: jax or torch.

    Args:
        name: Name of the run, which is its folder's name.
        configuration: The hyper-parameters.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        patches: CSV file with a column patch, such as the gallery's rankings: train only on these, as far as they are
            not held out.
        resume: Go on where a training of this name was cut.
        devices: With JAX, train on so many devices at once, each on its share of every batch; 0 for all.
    """
    check_run_name(name)
    verbose = "auto" if sys.stderr.isatty() else 2
    with dataset_at(data) as dataset, progress_bar("done") as progress:
        selection = read_selection(patches) if patches else ()
        load_backend()
        from segmentation.training.fit import train as fit

        run = fit(dataset, configuration, runs / name, resume, progress, verbose, selection, remark, devices)
    if run.metrics is None:
        raise RunError(
            f"{name} has ended, but {METRICS} cannot be read: python -m segmentation evaluate --save writes it."
        )
    print_scores(run.name, run.metrics)
    return DONE


def evaluate(
    run: str,
    data: Path | None = None,
    runs: Path = RUNS,
    protocol: Protocol | None = None,
    held_out_tile: str | None = None,
    tta: bool = False,
    bfloat16: bool = False,
    save: bool = False,
) -> int:
    """Score a run's model on the held-out part of a data set.

    Args:
        run: Name of a run, or the path of its folder.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        protocol: What is held out; by default what the run was trained with.
        held_out_tile: The tile to score under the tile protocol.
        tta: Test-time augmentation: average over the eight flips and rotations of each patch.
        bfloat16: Compute with numbers of 16 bits, faster and less exactly, where the processor can.
        save: Write metrics.json and patches.csv into the run folder.
    """
    if save and (tta or bfloat16):
        raise ConfigurationError("The pages predict plainly: save scores without --tta and --bfloat16.")
    chosen = find_run(run, runs)
    if chosen.model is None or chosen.config is None:
        raise RunError(f"{chosen.name} cannot be evaluated: {', '.join(chosen.problems)}.")
    from segmentation.evaluation.evaluate import evaluate_run

    with dataset_at(data) as dataset, progress_bar("done") as progress:
        metrics, _ = evaluate_run(chosen, dataset, protocol, held_out_tile, save, progress, tta, bfloat16, remark)
    ways = [" with test-time augmentation"] * tta + [" in bfloat16"] * bfloat16
    print_scores("".join([chosen.name, *ways]), metrics)
    return DONE


def ship(run: str, data: Path | None = None, runs: Path = RUNS, target: Path = SHIPPED) -> int:
    """Copy a finished run to those that come with the project, small: half precision, compressed, measured again.

    Args:
        run: Name of a run, or the path of its folder.
        data: Folder of the data set it was trained on.
        runs: Folder that holds the runs.
        target: Folder of the shipped runs.
    """
    chosen = find_run(run, runs)
    dataset = find_dataset(dataset_folder(data))
    load_backend()
    from segmentation.training.ship import ship as copy

    with progress_bar("done") as progress:
        shipped = copy(chosen, dataset, target / chosen.name, progress)
    print_scores(shipped.name, shipped.metrics)
    return DONE


def export(run: str, format: Format, output: Path, runs: Path = RUNS) -> int:
    """Write a run's network in the format of another program: from RGB patches in 0-255 to class probabilities.

    Args:
        run: Name of a run, or the path of its folder.
        format: ONNX is the one that predicts here, and takes bytes; the others take floating-point numbers.
        output: The new file: .onnx, .xml (openvino, the weights beside it), .tflite (litert); a folder for
            tf_saved_model.
        runs: Folder that holds the runs.
    """
    chosen = find_run(run, runs)
    if chosen.model is None:
        raise RunError(f"{chosen.name} cannot be exported: {', '.join(chosen.problems)}.")
    from segmentation.inference.export import export as write

    write(chosen.model, format, output)
    print(f"{chosen.name} is in {output}")
    return DONE


def print_scores(name: str, metrics: dict) -> None:
    """Print what metrics.json holds, with the protocol that gave it."""
    print(
        f"{name}, protocol {metrics['protocol']}: {metrics['patches']:,} held-out patches, "
        f"{metrics['pixels']:,} labelled pixels"
    )
    for key, title in (
        ("accuracy", "accuracy"),
        ("jaccard", "Jaccard as in the article (soft, flattened)"),
        ("image_jaccard", "the same, image by image"),
        ("mean_iou", "mean IoU over all classes"),
        ("mean_iou_without_unlabeled", "mean IoU without Unlabeled"),
    ):
        print(f"  {title:<45}{_score(metrics.get(key))}")
    for class_name, value in metrics["iou"].items():
        print(f"  IoU {class_name:<41}{_score(value)}")
    print(f"  {'expected calibration error':<45}{_score(metrics.get('calibration_error'))}")


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def predict(
    images: Annotated[list[Path], tyro.conf.Positional],
    run: str,
    output: Path,
    masks: Path | None = None,
    nearest_colours: bool = False,
    runs: Path = RUNS,
    tta: bool = False,
    overlap: float = 0.25,
    confidence: bool = False,
    polygons: bool = False,
    bfloat16: bool = False,
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
        tta: Test-time augmentation: average over the eight flips and rotations of each patch.
        overlap: What a window has in common with the next, as a share of a patch's side, 0 to 0.5; 0 cuts as the
            article does.
        confidence: Of a GeoTIFF: also write NAME-confidence.tif, in per cent.
        polygons: Of a GeoTIFF: also write NAME-classes.geojson.
        bfloat16: Compute with numbers of 16 bits, faster and less exactly, where the processor can.
        dask: Address of a Dask scheduler, such as tcp://10.0.0.1:8786: its workers predict, from the same folders.
    """
    chosen = find_run(run, runs)
    if chosen.model is None or chosen.palette is None:
        raise RunError(f"{chosen.name} cannot predict: {', '.join(chosen.problems)}.")
    files = _image_files(images)
    from segmentation.inference.batch import Job, predict_files

    truths = {path.stem: path for path in _image_files([masks])} if masks else {}
    job = Job(
        chosen.model,
        chosen.palette,
        output,
        truths,
        nearest_colours,
        overlap,
        tta,
        confidence,
        polygons,
        bfloat16,
        chosen.stretch,
    )
    rows, single = {}, len(files) == 1
    with progress_bar("windows" if single else "images") as progress:
        for row in predict_files(job, files, dask, progress if single else None):
            rows[row["image"]] = row
            if not single:
                progress(len(rows), len(files))
            if row["problem"]:
                tqdm.write(row["problem"], sys.stderr)
            if "note" in row:
                tqdm.write(printable(row["note"]), sys.stdout)
            if "scores" in row:
                accuracy, mean_iou = row["scores"]["accuracy"], row["scores"]["mean_iou"]
                name = printable(row["image"])
                tqdm.write(f"{name}: accuracy {accuracy}, mean IoU {mean_iou}", sys.stdout)
                if row["uncertain"]:
                    tqdm.write(f"{name}: {_uncertain(row['uncertain'], nearest_colours)}", sys.stderr)
    # A name that is not UTF-8 is told with the bytes' numbers.
    utf8 = {path.name: os.fsencode(path.name).decode(errors="backslashreplace") for path in files}
    table = pd.json_normalize([rows[name] | {"image": told} for name, told in utf8.items()], sep="_")
    with replacing(output / "results.csv") as temporary:
        temporary.write_text(
            to_safe_csv(table.rename(columns=lambda name: name.removeprefix("scores_"))), encoding="utf-8"
        )
    failed = sum(row["problem"] is not None for row in rows.values())
    print(f"{len(files) - failed} of {len(files)} images predicted into {printable(str(output))}")
    return PARTLY if failed else DONE


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


COMMANDS = {
    "dashboard": dashboard,
    "data": data,
    "demo": demo,
    "download": download,
    "pack": pack,
    "summary": summary,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "ship": ship,
    "export": export,
}


def _name_of_the_program() -> str:
    """Return what the user has typed: the installed command, or Python's way to run the package."""
    return "segmentation" if Path(sys.argv[0]).stem == "segmentation" else "python -m segmentation"


def main() -> int:
    """Run the command that was asked for and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's characters are few, names of files and classes are told by the numbers of theirs.
        stream.reconfigure(errors="backslashreplace")
    # A polite kill ends a command as Ctrl-C does: nothing is left half done, and a training can be resumed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog=_name_of_the_program(), description=__doc__)
    except SegmentationError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:  # what the system refuses elsewhere: its own sentence names the file
        print(f"{error}.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
