"""Train a U-Net on labelled scenes, and predict one of them with it.

``python examples/train_and_predict.py demo-data runs/example --epochs 1 --architecture lite0-unet``
"""

import argparse

import numpy as np
from PIL import Image

import segmentation


def main() -> None:
    """Train, then write the prediction of the first scene beside the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a folder with images and masks")
    parser.add_argument("run", help="the run's new folder")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--architecture", default="unet")
    parser.add_argument("--patch-size", type=int, default=160)
    arguments = parser.parse_args()

    dataset = segmentation.find_dataset(arguments.dataset)
    configuration = segmentation.Configuration(
        architecture=arguments.architecture,
        patch_size=arguments.patch_size,
        epochs=arguments.epochs,
        protocol="scene",
        flips_and_rotations=True,
    )
    run = segmentation.train(dataset, configuration, arguments.run)
    print(f"mean IoU on held-out scenes: {run.metrics.mean_iou:.3f}")

    predictor = segmentation.Predictor(run.model)
    with Image.open(dataset.scenes[0].image) as file:
        image = np.asarray(file.convert("RGB"))
    classes = predictor.scene_classes(image, segmentation.Inference(overlap=0.25))
    Image.fromarray(run.palette.decode(classes)).save(run.folder / "prediction.png")
    print(
        f"{run.folder / 'prediction.png'} shows {', '.join(run.palette.names[index] for index in np.unique(classes))}"
    )


if __name__ == "__main__":
    main()
