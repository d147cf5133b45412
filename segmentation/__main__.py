"""The command line: ``python -m segmentation <command> --help``.

Exit codes: 0 done, 1 refused with one sentence, 2 wrong usage, 3 done but some files could not be used,
130 stopped by the user.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from segmentation.data.locate import PROJECT, default_folder
from segmentation.data.patches import Progress
from segmentation.data.scenes import find_dataset
from segmentation.errors import SegmentationError
from segmentation.training.configuration import Configuration

DONE, REFUSED, PARTLY, STOPPED = 0, 1, 3, 130

RUNS = PROJECT / "runs"


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar on standard error."""
    with tqdm(unit=f" {unit}", leave=False, dynamic_ncols=True) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def train(
    name: str,
    configuration: Annotated[Configuration, tyro.conf.arg(name="")],
    data: Path | None = None,
    runs: Path = RUNS,
    resume: bool = False,
) -> int:
    """Train a network into a run folder and evaluate its best epoch. Ctrl-C stops it; --resume goes on.

    Args:
        name: Name of the run, which is its folder's name.
        configuration: The hyper-parameters.
        data: Folder of the data set; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        resume: Go on where a training of this name was cut.
    """
    from segmentation.training.fit import train as fit  # imports TensorFlow

    # A polite kill ends a training as Ctrl-C does: it says so and can be resumed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    dataset = find_dataset(data or default_folder())
    with progress_bar("patches") as progress:
        run = fit(dataset, configuration, runs / name, resume, progress, verbose="auto" if sys.stderr.isatty() else 2)
    print_scores(run.name, run.metrics)
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
        print(f"  {title:<45}{_score(metrics[key])}")
    for class_name, value in metrics["iou"].items():
        print(f"  IoU {class_name:<41}{_score(value)}")


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def main() -> int:
    """Run the command that was asked for and return its exit code."""
    try:
        return tyro.extras.subcommand_cli_from_dict({"train": train}, prog="python -m segmentation")
    except SegmentationError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
