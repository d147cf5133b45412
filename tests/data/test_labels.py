"""Masks that hold no class are refused with what they hold: a network would learn that there is nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.labels import shows_a_class
from segmentation.data.palette import DUBAI, VOID
from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError

Writer = Callable[[Path], Path]


def with_masks(dataset: Dataset, draw: Callable[[np.ndarray], np.ndarray], scenes: slice = slice(None)) -> Dataset:
    """The data set with masks drawn anew, from class indices."""
    for scene in dataset.scenes[scenes]:
        _, classes = read_scene(scene, DUBAI)
        Image.fromarray(draw(classes)).save(scene.mask)
    return find_dataset(dataset.root)


@pytest.fixture
def dataset(write_dataset: Writer, tmp_path: Path) -> Dataset:
    return find_dataset(write_dataset(tmp_path / "city"))


def told(dataset: Dataset, *rows: str) -> Dataset:
    """The data set with a class_dict.csv of these rows."""
    (dataset.root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *rows]) + "\n")
    return find_dataset(dataset.root)


@pytest.mark.parametrize("protocol", ["patch", "scene", "tile", None])
def test_index_masks_that_no_class_fits_are_refused_with_the_values_found(
    dataset: Dataset, protocol: str | None
) -> None:
    indexed = told(with_masks(dataset, lambda classes: classes), "Roof,200,0,0", "Lawn,0,200,0")
    with pytest.raises(ConfigurationError) as caught:
        load_patches(indexed, 32, protocol=protocol)
    sentence = str(caught.value)
    assert "they hold the grey values 0, 1, 2, 3, 4, 5, 255, and the classes are Roof #c80000, Lawn" in sentence
    assert f"put a class_dict.csv into {dataset.root} that gives each class its name and colour" in sentence


def test_index_masks_that_nothing_names_are_read_by_their_values(dataset: Dataset) -> None:
    before = load_patches(dataset, 32)
    indexed = with_masks(dataset, lambda classes: classes)
    assert indexed.palette.names == tuple(f"Class {value}" for value in range(6))
    assert np.array_equal(load_patches(indexed, 32).masks, before.masks)


def test_masks_in_other_colours_are_refused_with_the_most_frequent_ones(dataset: Dataset) -> None:
    other = with_masks(dataset, lambda classes: np.stack([classes * 9 + 1, classes, classes], axis=-1))
    with pytest.raises(ConfigurationError, match=r"they hold #\w{6}, .*#0a0101.*, and the classes"):
        load_patches(told(other, "Roof,200,0,0", "Lawn,0,200,0"), 32, protocol="patch")


def test_masks_that_are_transparent_everywhere_are_refused_as_that(dataset: Dataset) -> None:
    hidden = with_masks(dataset, lambda classes: np.dstack([DUBAI.decode(classes), np.zeros_like(classes)]))
    with pytest.raises(ConfigurationError, match="they hold transparent pixels, and the classes"):
        load_patches(hidden, 32, protocol="patch")


def test_one_mask_without_a_class_among_others_is_named_and_counts_as_the_protocol_says(dataset: Dataset) -> None:
    partly = with_masks(dataset, lambda classes: classes, slice(1, 2))
    patches = load_patches(partly, 32, protocol="patch")
    assert patches.unlabelled == (dataset.scenes[1].name,)
    assert (patches.masks[patches.table["scene"] == dataset.scenes[1].name] == DUBAI.unlabeled).all()
    (remark,) = patches.remarks(partly, "patch")
    assert remark == f"No class in 1 of 4 masks; what they hold counts as Unlabeled: {dataset.scenes[1].name}"
    assert "is left out of loss and scores" in load_patches(partly, 32).remarks(partly, "scene")[0]


def test_unlabeled_alone_is_no_class_to_learn() -> None:
    mask = np.array([[5, VOID]], np.uint8)
    assert shows_a_class(mask)
    assert not shows_a_class(mask, unlabeled=5)
