"""Planted label errors in the demo city, and how many of them an audit has among its first regions.

In a copy of the set 50 connected objects of 400 to 20,000 pixels, spread over the scenes, are given another class of
their scene. They are looked for twice. By `demo-unet`, which was trained on nine tenths of these patches with their
right labels and has never seen the planted ones. And out of fold, as a user would: a network for each third of the
scenes, trained on the other two, planted errors included. Those networks are small, so that it takes minutes.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tyro
from PIL import Image

from benchmarks.measuring import print_header, print_row
from segmentation.configuration import Configuration
from segmentation.data.demo import make_demo
from segmentation.data.kept import KeptResults
from segmentation.data.palette import VOID
from segmentation.data.patches import PATCH_SIZE, load_patches
from segmentation.data.protocols import Fold
from segmentation.data.scenes import DEMO_MARKER, Dataset, find_dataset
from segmentation.evaluation.audit_run import audit_labels, fresh_models
from segmentation.evaluation.label_audit import suspect_table
from segmentation.evaluation.objects import find_objects
from segmentation.evaluation.outlines import object_pixels
from segmentation.files import write_json
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import BEST, CONFIG, SHIPPED, Run, write_scores
from segmentation.runs.run import FOLDS as FOLDS_FOLDER

if TYPE_CHECKING:
    import keras

SMALLEST, LARGEST = 400, 20_000
"""Pixels of an object that is relabelled."""

FIRST = (50, 100, 150, 200)
"""First regions of an audit that are looked at."""

FOLDS, EPOCHS, BATCH = 3, 12, 16
"""Of the networks that are trained out of fold."""


class Planted(NamedTuple):
    """A region that was given a wrong label.

    Args:
        scene: Its scene's name.
        pixels: (height, width) bool, which pixels of the scene are its.
        true: The class index that is right.
        label: The one that it was given.
    """

    scene: str
    pixels: np.ndarray
    true: int
    label: int


def plant(dataset: Dataset, count: int, seed: int = 0) -> list[Planted]:
    """Relabel connected objects in the masks of a data set, in turn from scene to scene, and return them.

    Args:
        dataset: Its masks are written anew, as PNG files in the palette's colours.
        count: How many objects.
        seed: The same plants the same.
    """
    rng, planted = np.random.default_rng(seed), []
    masks = {scene.name: scene.read_mask(dataset.palette) for scene in dataset.scenes}
    waiting = {}
    for name, mask in masks.items():
        regions = find_objects(mask, mask, len(dataset.palette)).true
        fits = np.flatnonzero((regions.pixels >= SMALLEST) & (regions.pixels <= LARGEST))
        waiting[name] = [(int(regions.classes[i]), tuple(regions.boxes[i])) for i in rng.permutation(fits)]
    while len(planted) < count and any(waiting.values()):
        for name in [name for name, of in waiting.items() if of][: count - len(planted)]:
            true, (top, left, bottom, right) = waiting[name].pop()
            mask, pixels = masks[name], np.zeros(masks[name].shape, bool)
            pixels[top:bottom, left:right] = object_pixels(mask, true, (top, left, bottom, right))
            if (mask[pixels] != true).any():  # another was planted around it
                continue
            others = [index for index in np.unique(mask) if index not in (true, VOID)]
            label = int(rng.choice(others))
            mask[pixels] = label
            planted.append(Planted(name, pixels, true, label))
    for scene in dataset.scenes:
        changed = masks[scene.name]
        Image.fromarray(dataset.palette.decode(changed)).save(scene.mask)
    return planted


def found_among(planted: list[Planted], run: Run, dataset: Dataset, kept: Path) -> tuple[dict[int, int], float]:
    """Audit a run's labels; return how many planted objects are among the first regions, by `FIRST`, and the seconds.

    An object is found by a region of its label most of whose pixels are the object's, whatever is predicted there.
    """
    begun = time.perf_counter()
    audit = audit_labels(run, dataset, KeptResults(kept, 1 << 28), fresh_models())
    seconds = time.perf_counter() - begun
    # All by evidence: which patches the shipped network was trained on does not matter, since it saw other labels.
    table = suspect_table(audit.scenes, dataset.palette).sort_values("evidence", ascending=False)
    names, hits = dataset.palette.names, []
    for row in table.itertuples():
        mask, box = audit.scenes[row.scene].mask(row.place), np.s_[row.top : row.bottom, row.left : row.right]
        hits.append(
            {
                number
                for number, of in enumerate(planted)
                if (of.scene, names[of.label]) == (row.scene, row.labelled)
                and 2 * (of.pixels[box] & mask).sum() >= mask.sum()
            }
        )
    return {first: len(set().union(*hits[:first])) for first in FIRST}, seconds


def train_out_of_fold(dataset: Dataset, folder: Path) -> Run:
    """Train a small network for each third of the scenes on the other two, and return the run of all of them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from segmentation.evaluation.evaluate import evaluate
    from segmentation.evaluation.out_of_fold import models_of_folds, predict_out_of_fold
    from segmentation.training.run_config import run_config

    patches = load_patches(dataset)
    scenes = np.random.default_rng(0).permutation([scene.name for scene in dataset.scenes])
    place, made = patches.table["scene"].to_numpy(), []
    for number in range(FOLDS):
        test = np.isin(place, scenes[number::FOLDS])
        rest = np.flatnonzero(~test)
        fold = Fold(rest[rest % 10 > 0], np.flatnonzero(test), "scene", rest[rest % 10 == 0])
        target = folder / FOLDS_FOLDER / f"{folder.name}-{number + 1:02d}"
        target.mkdir(parents=True)
        network = fitted(patches.images[fold.train], patches.masks[fold.train], len(dataset.palette))
        network.save(target / BEST)
        configuration = Configuration(protocol="scene", epochs=EPOCHS, batch_size=BATCH)
        write_json(target / CONFIG, run_config(dataset, configuration, patches, fold, network).to_dict())
        write_scores(target, *evaluate(Predictor(target / BEST), patches, fold, dataset.palette))
        made.append(Run(target))
    whole = Fold(np.arange(0), np.arange(len(place)), "k-fold")
    configuration = Configuration(folds="scene", epochs=EPOCHS, batch_size=BATCH)
    write_json(folder / CONFIG, run_config(dataset, configuration, patches, whole, network).to_dict())
    write_scores(folder, *predict_out_of_fold(folder, models_of_folds(made), dataset, patches))
    return Run(folder)


def fitted(images: np.ndarray, masks: np.ndarray, classes: int) -> "keras.Model":
    """Return a small network that was fitted to patches, each in another of its eight ways up in every epoch."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)

    def block(x: "keras.KerasTensor", filters: int, **how: int) -> "keras.KerasTensor":
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, **how)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input((PATCH_SIZE, PATCH_SIZE, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = block(layers.AveragePooling2D(2)(x), 32, strides=2)
    for _ in range(5):
        x = block(x, 32)
    x = layers.UpSampling2D(4, interpolation="bilinear")(x)
    outputs = layers.Conv2D(classes, 1, activation="softmax")(x)
    network = keras.Model(inputs, outputs, name="small")
    steps = EPOCHS * (len(images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=VOID)
    network.compile(keras.optimizers.Adam(rate), loss)
    rng = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen, turns, flip = order[first : first + BATCH], int(rng.integers(4)), int(rng.choice((-1, 1)))
            pixels, labels = (np.rot90(of[chosen], turns, (1, 2))[:, :, ::flip] for of in (images, masks[..., None]))
            network.train_on_batch(pixels.astype(np.float32), labels.astype(np.float32))
    return keras.Model(inputs, outputs, name="small")  # without what it was compiled with


def main(count: int = 50, folds: bool = True) -> None:
    """Measure.

    Args:
        count: How many objects are relabelled.
        folds: Also train out of fold, which takes minutes.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = make_demo(folder / "planted")
        (root / DEMO_MARKER).unlink()  # it is another data set now
        planted = plant(find_dataset(root), count)
        dataset = find_dataset(root)
        print_header(("audited by", "mean IoU", *(f"first {first}" for first in FIRST), "audit"))
        runs = {"`demo-unet`, which never saw these labels": Run(SHIPPED / "demo-unet")}
        if folds:
            runs["small networks, out of fold"] = train_out_of_fold(dataset, folder / "folds")
        for what, run in runs.items():
            found, seconds = found_among(planted, run, dataset, folder / "kept.sqlite")
            score = run.metrics.mean_iou if run.metrics else None
            print_row(what, f"{score:.3f}", *(f"{of} of {len(planted)}" for of in found.values()), f"{seconds:.0f} s")


if __name__ == "__main__":
    tyro.cli(main)
