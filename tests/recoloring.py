"""A data set of the article's classes, written again in other colours or as values, and in another order."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from segmentation.data.scenes import Dataset, find_dataset

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))
NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")
"""The article's classes, written out a second time so that a slip in the package shows."""

OTHER = {"road": (200, 0, 0), "WATER": (0, 0, 200), "Unlabeled": (9, 9, 9), "building": (90, 90, 0), "Land": (0, 99, 0)}
"""The same classes in colours and an order of their own; Vegetation comes first."""

ORDER = (4, 5, 1, 0, 2, 3, 6)
"""The place of each of `NAMES` among them, and of no class."""


def classes_of(mask: Path) -> np.ndarray:
    """Class indices of one of the article's masks, 6 where its colour is none."""
    pixels = np.asarray(Image.open(mask).convert("RGB")).astype(int)
    found = np.full(pixels.shape[:2], 6, np.uint8)
    for index, color in enumerate(COLORS):
        found[(pixels == color).all(-1)] = index
    return found


def recolor(
    dataset: Dataset, root: Path, vegetation: str = "vegetation", values: bool = False, every: int = 1
) -> Dataset:
    """Write a data set again.

    Args:
        dataset: In the article's classes and colours.
        root: The new folder.
        vegetation: What to call Vegetation.
        values: Write masks of values instead of colours.
        every: Take every so many scenes only.
    """
    classes = {vegetation: (0, 220, 0), **OTHER}
    colors = np.array([*classes.values(), (0, 0, 0)], np.uint8)
    for scene in dataset.scenes[::every]:
        image, mask = (root / path.relative_to(dataset.root) for path in (scene.image, scene.mask))
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scene.image, image)
        drawn = np.array(ORDER, np.uint8)[classes_of(scene.mask)]
        Image.fromarray(drawn if values else colors[drawn]).save(mask)
    if values:
        listed = (f'[[classes]]\nname = "{name}"\nvalue = {value}\n' for value, name in enumerate(classes))
        (root / "dataset.toml").write_text("".join(listed))
    else:
        rows = (f"{name},{red},{green},{blue}\n" for name, (red, green, blue) in classes.items())
        (root / "class_dict.csv").write_text("name,r,g,b\n" + "".join(rows))
    return find_dataset(root)
