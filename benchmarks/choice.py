"""How much a score flatters when the epoch that is kept is chosen on the patches that are scored.

A shipped run's recipe is trained anew in three parts, and both parts that are not trained on are scored after every
epoch. In two parts, as the article has it, the epoch with the best test accuracy would be kept; in three the one with
the best validation accuracy is. What the test part says of the one more than of the other is flattery.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import print_header, print_row
from segmentation import scores
from segmentation.configuration import Configuration
from segmentation.data.locate import default_folder
from segmentation.data.patches import load_patches
from segmentation.data.protocols import Fold, assign_parts
from segmentation.data.scenes import find_dataset
from segmentation.runs.run import SHIPPED, Run


def main(recipe: str = "dubai-unet-plain", data: Path | None = None, epochs: int | None = None, every: int = 1) -> None:
    """Print the test part's scores of the epochs that are chosen.

    Args:
        recipe: A shipped run that was trained from the beginning.
        data: The data set's folder; by default that in data/.
        epochs: How many to train; by default as many as the recipe says.
        every: Train on every second patch, or every so manieth, where time is short.
    """
    import keras

    from segmentation.model.registry import build
    from segmentation.training.fit import compile_model, learning_rate
    from segmentation.training.pipeline import feed, steps_an_epoch, training_batches

    config = Run(SHIPPED / recipe).config
    if config is None or config.configuration.get("start_from"):
        raise SystemExit(f"{recipe} goes on from another run: name one that was trained from the beginning.")
    of = replace(Configuration.from_dict(config.configuration), protocol="patch")
    of = replace(of, epochs=epochs or of.epochs)
    dataset = find_dataset(data or default_folder())
    patches = load_patches(dataset, of.patch_size, protocol="patch")
    fold = Fold.of(assign_parts(patches.table, "patch", None, of.seed), "patch")
    train = fold.train[::every]
    keras.utils.set_random_seed(of.seed)
    model = build(of.architecture, of.patch_size, len(dataset.palette), dataset.channels)
    compile_model(model, of)

    def score(part: np.ndarray) -> tuple[float, float]:
        matrix = np.zeros((len(dataset.palette),) * 2, np.int64)
        for start in range(0, len(part), 32):
            places = part[start : start + 32]
            predicted = np.asarray(model.predict_on_batch(patches.images[places].astype(np.float32))).argmax(-1)
            matrix += scores.confusion_matrices(patches.masks[places], predicted, len(dataset.palette)).sum(0)
        return float(scores.accuracy(matrix)), float(scores.mean_iou(matrix))

    found = []
    print_header(["epoch", "validation accuracy", "test accuracy", "test mIoU"])

    def ended(epoch: int, _: dict | None) -> None:
        found.append((*score(fold.validation), *score(fold.test)))
        print_row(epoch + 1, f"{found[-1][0]:.4f}", f"{found[-1][2]:.4f}", f"{found[-1][3]:.4f}")

    steps = steps_an_epoch(train, of)
    model.fit(
        feed(training_batches(patches, train, of)),
        epochs=of.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch: learning_rate(of, epoch)),
            *([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if of.ema else []),
            keras.callbacks.LambdaCallback(on_epoch_end=ended),
        ],
    )
    print(
        f"\n`{recipe}`, {len(train):,} patches trained on, {len(fold.validation):,} for validation, "
        f"{len(fold.test):,} for test:\n"
    )
    print_header(["epoch chosen on", "epoch", "test accuracy", "test mIoU"])
    table = np.array(found)
    best = {part: int(table[:, column].argmax()) for part, column in (("test", 2), ("validation", 0))}
    for part, epoch in best.items():
        print_row(part, epoch + 1, f"{table[epoch, 2]:.4f}", f"{table[epoch, 3]:.4f}")
    flattery = table[best["test"]] - table[best["validation"]]
    print_row("flattery", "", f"{flattery[2]:+.4f}", f"{flattery[3]:+.4f}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
