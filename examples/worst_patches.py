"""Score a trained model on labelled scenes, class by class, and name the patches on which it does worst.

``python examples/worst_patches.py demo-data segmentation/pretrained/demo-unet``
"""

import argparse
from pathlib import Path

import numpy as np

import segmentation


def main() -> None:
    """Print the scores over all scenes and the worst patches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a folder with images and masks")
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--worst", type=int, default=5, help="how many patches to name")
    arguments = parser.parse_args()

    dataset = segmentation.find_dataset(arguments.dataset)
    run = segmentation.Run(arguments.run)
    patches = segmentation.load_patches(dataset, run.patch_size, protocol="scene")
    everything = segmentation.Fold(train=np.arange(0), test=np.arange(len(patches.masks)), protocol="scene")
    metrics, table = segmentation.evaluate(segmentation.Predictor(run.model), patches, everything, dataset.palette)

    print(f"accuracy {metrics.accuracy:.3f}, mean IoU {metrics.mean_iou:.3f}, {metrics.pixels:,} pixels")
    for name, iou in metrics.iou.items():
        print(f"  {name:<12} {'–' if iou is None else f'{iou:.3f}'}")
    for patch in table.nsmallest(arguments.worst, "mean_iou").itertuples():
        print(f"{patch.patch}: mean IoU {patch.mean_iou:.3f}, accuracy {patch.accuracy:.3f}")


if __name__ == "__main__":
    main()
