"""A whole scene of 2149 × 1479 pixels, with networks loaded and warm.

The article's way: `model.predict` for one patch after another, the strips beyond whole patches lost. Ours:
`Predictor.scene_classes`, all pixels, without overlap and with windows that share a quarter or half of a patch's side;
and the same with `--bfloat16`. *Equal* is the share of the pixels of whole patches that have the class of the
article's way.
"""

import os
import time
from itertools import product
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import alone, median_seconds, print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.patches import crop, cut, grid, join
from segmentation.data.scenes import find_dataset, read_scene
from segmentation.inference.options import Inference
from segmentation.runs.run import SHIPPED

HEIGHT, WIDTH = 1479, 2149
"""Of the scenes of the real set's Tile 8."""


def one_by_one(model: Path, image: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the seconds and the classes of the article's way."""
    import keras

    network = keras.saving.load_model(model, compile=False)
    size = network.input_shape[1]
    patches = cut(image, size)
    network.predict(patches[:1], verbose=0)
    begun = time.perf_counter()
    classes = [network.predict(patch[None], verbose=0)[0].argmax(-1) for patch in patches]
    duration = time.perf_counter() - begun
    return duration, join(np.array(classes, np.uint8), *grid(*image.shape[:2], size))


def whole(model: Path, image: np.ndarray, inference: Inference) -> tuple[float, np.ndarray]:
    """Return the median seconds and the classes of ours."""
    from segmentation.inference.predictor import Predictor

    predictor = Predictor(model, inference.bfloat16)
    classes = crop(predictor.scene_classes(image, inference), predictor.patch_size)
    return median_seconds(lambda: predictor.scene_classes(image, inference)), classes


def main(runs: tuple[str, ...] = ("dubai-unet", "dubai-best"), data: Path | None = None) -> None:
    """Print a row for each way and run.

    Args:
        runs: Shipped runs: by default one of each network.
        data: The data set's folder; by default that in data/.
    """
    dataset = find_dataset(data or default_folder())
    images = (read_scene(scene, dataset.palette)[0] for scene in reversed(dataset.scenes))
    image = next(image for image in images if image.shape == (HEIGHT, WIDTH, 3))
    print_header(["run", "way", "seconds", "ratio", "equal"])
    for run in runs:
        model = SHIPPED / run / "best.keras"
        slow, expected = alone(one_by_one, model, image)
        print_row(f"`{run}`", "`model.predict`, patch by patch", f"{slow:.2f}", 1, "")
        for bfloat16, overlap in product((False, True), (0, 0.25, 0.5)):
            duration, classes = alone(whole, model, image, Inference(overlap, bfloat16=bfloat16))
            equal = f"{100 * (classes == expected).mean():.2f} %"
            way = f"overlap {overlap}" + ", `--bfloat16`" * bfloat16
            print_row(f"`{run}`", way, f"{duration:.2f}", f"{slow / duration:.1f}", equal)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
