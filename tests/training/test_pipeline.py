"""From patches to batches: what is shown, in which order, and how it is changed on the way."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segmentation.configuration import Configuration
from segmentation.data.palette import VOID
from segmentation.data.patches import Patches
from segmentation.training.pipeline import Batches, Share, feed, held_out_batches, training_batches

SIZE = 8
PART = np.array([1, 2, 4, 5, 7, 8, 9, 11, 12, 13])
Listed = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def patches() -> Patches:
    """Fourteen patches; each image is painted from its mask, and each mask begins with the patch's number."""
    masks = np.random.default_rng(0).integers(0, 6, (14, SIZE, SIZE), dtype=np.uint8)
    masks[:, 0, 0] = np.arange(14)
    table = pd.DataFrame({"scene": "a", "row": np.arange(14) // 7, "column": np.arange(14) % 7})
    return Patches(images=paint(masks), masks=masks, table=table)


def paint(masks: np.ndarray) -> np.ndarray:
    """A colour a class, from dark to light, far enough apart to be told after any brightening."""
    return np.stack([10 + 15 * masks, 12 + 15 * masks, 14 + 15 * masks], axis=-1).astype(np.uint8)


def listed(batches: Batches) -> Listed:
    """What Keras gets of them."""
    return [(images.numpy(), masks.numpy()) for images, masks in feed(batches)]


def numbers(batches: Listed) -> list[int]:
    """Which patches were shown, in order."""
    return [int(mask[0, 0]) for _, masks in batches for mask in masks]


def assert_equal(one: Listed, other: Listed) -> None:
    assert len(one) == len(other)
    for (images, masks), (other_images, other_masks) in zip(one, other, strict=True):
        assert np.array_equal(images, other_images)
        assert np.array_equal(masks, other_masks)


def configuration(**options: object) -> Configuration:
    return Configuration(**{"patch_size": SIZE, "epochs": 3, "batch_size": 4, **options})


def test_every_epoch_shows_every_patch_of_the_part_once(patches: Patches) -> None:
    shown = numbers(listed(training_batches(patches, PART, configuration())))
    assert [sorted(shown[start : start + 10]) for start in (0, 10, 20)] == [PART.tolist()] * 3


def test_every_epoch_has_another_order(patches: Patches) -> None:
    shown = numbers(listed(training_batches(patches, PART, configuration())))
    orders = {tuple(shown[start : start + 10]) for start in (0, 10, 20)}
    assert len(orders) == 3
    assert tuple(PART) not in orders


def test_the_last_batch_of_an_epoch_is_smaller(patches: Patches) -> None:
    batches = listed(training_batches(patches, PART, configuration()))
    assert [len(images) for images, _ in batches] == [4, 4, 2] * 3


def test_batches_are_bytes_of_the_patches_size(patches: Patches) -> None:
    images, masks = listed(training_batches(patches, PART, configuration()))[0]
    assert (images.shape, images.dtype) == ((4, SIZE, SIZE, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((4, SIZE, SIZE), np.uint8)


def test_patches_are_shown_unchanged_without_augmentation(patches: Patches) -> None:
    for images, masks in listed(training_batches(patches, PART, configuration())):
        chosen = masks[:, 0, 0]
        assert np.array_equal(images, patches.images[chosen])
        assert np.array_equal(masks, patches.masks[chosen])


AUGMENTED = {
    "flips_and_rotations": True,
    "random_windows": True,
    "zoom": 0.5,
    "brightness": 0.3,
    "contrast": 0.3,
    "haze": 0.3,
    "hue": 0.1,
    "blur": 1.0,
}


@pytest.mark.parametrize("options", [{}, AUGMENTED], ids=["plain", "augmented"])
def test_the_same_seed_shows_the_same(patches: Patches, options: dict) -> None:
    one, other = (listed(training_batches(patches, PART, configuration(**options))) for _ in range(2))
    assert_equal(one, other)


def test_another_seed_shows_another_order(patches: Patches) -> None:
    one, other = (numbers(listed(training_batches(patches, PART, configuration(seed=seed)))) for seed in (1, 2))
    assert one != other


@pytest.mark.parametrize("options", [{}, AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize("first", [1, 2])
def test_a_resumed_training_sees_what_it_would_have_seen(patches: Patches, first: int, options: dict) -> None:
    whole = listed(training_batches(patches, PART, configuration(**options)))
    resumed = listed(training_batches(patches, PART, configuration(**options), first_epoch=first))
    assert_equal(resumed, whole[3 * first :])


@pytest.mark.parametrize("first", [0, 1, 2])
def test_keras_is_told_how_many_batches_there_are(patches: Patches, first: int) -> None:
    batches = training_batches(patches, PART, configuration(), first_epoch=first)
    assert feed(batches).cardinality().numpy() == len(batches) == 3 * (3 - first) == len(listed(batches))


def test_the_held_out_part_is_shown_in_its_order_and_unchanged(patches: Patches) -> None:
    batches = listed(held_out_batches(patches, PART, configuration(**AUGMENTED)))
    assert [len(images) for images, _ in batches] == [4, 4, 2]
    assert np.array_equal(np.concatenate([images for images, _ in batches]), patches.images[PART])
    assert np.array_equal(np.concatenate([masks for _, masks in batches]), patches.masks[PART])


@pytest.mark.parametrize("part", [PART, PART[:1], PART[:4]], ids=len)
def test_the_number_of_held_out_batches_is_known(patches: Patches, part: np.ndarray) -> None:
    batches = held_out_batches(patches, part, configuration())
    assert feed(batches).cardinality().numpy() == len(batches) == len(listed(batches))


def test_autotune_is_off_for_it_makes_every_iterator_wait(patches: Patches) -> None:
    for batches in (training_batches(patches, PART, configuration()), held_out_batches(patches, PART, configuration())):
        assert feed(batches).options().autotune.enabled is False


def test_image_and_mask_are_turned_together(patches: Patches) -> None:
    shown = listed(training_batches(patches, PART, configuration(flips_and_rotations=True)))
    for images, masks in shown:
        assert np.array_equal(images, paint(masks))


def test_the_patches_themselves_are_not_changed(patches: Patches) -> None:
    images, masks = patches.images.copy(), patches.masks.copy()
    listed(training_batches(patches, PART, configuration(**AUGMENTED)))
    assert np.array_equal(patches.images, images)
    assert np.array_equal(patches.masks, masks)


@pytest.mark.parametrize("order", [range(9), reversed(range(9)), [0, 0, 5, 1, 8, 5, 0]], ids=["all", "back", "any"])
def test_a_batch_is_the_same_in_whatever_order_batches_are_asked_for(patches: Patches, order: Iterable[int]) -> None:
    """Some backends look at the first batch before they begin."""
    whole = listed(training_batches(patches, PART, configuration(**AUGMENTED)))
    asked = training_batches(patches, PART, configuration(**AUGMENTED))
    for number in order:
        assert_equal([asked[number]], [whole[number]])


def test_batches_of_several_machines_are_together_those_of_one(patches: Patches) -> None:
    """What the last batch of each epoch is filled up with has no labels."""
    whole = listed(training_batches(patches, PART, configuration(**AUGMENTED)))
    shares = [
        listed(training_batches(patches, PART, configuration(**AUGMENTED), share=Share(4, process, 2)))
        for process in (0, 1)
    ]
    for (images, masks), *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part, _ in parts] == [2, 2]
        assert np.array_equal(np.concatenate([part for part, _ in parts])[: len(images)], images)
        joined = np.concatenate([part for _, part in parts])
        assert np.array_equal(joined[: len(masks)], masks)
        assert (joined[len(masks) :] == VOID).all()


def test_held_out_batches_are_filled_up_without_labels(patches: Patches) -> None:
    (images, masks) = listed(held_out_batches(patches, PART, configuration(), Share(4)))[-1]
    assert np.array_equal(images, patches.images[[12, 13, 12, 13]])
    assert np.array_equal(masks[:2], patches.masks[[12, 13]])
    assert (masks[2:] == VOID).all()


@pytest.mark.parametrize("changed", [*AUGMENTED, "all"])
def test_what_is_changed_on_the_device_is_what_would_be_changed_here(patches: Patches, changed: str) -> None:
    """Masks to the last pixel; images to a few grey values, for Pillow rounds between its steps."""
    options = AUGMENTED if changed == "all" else {changed: AUGMENTED[changed]}
    here = listed(training_batches(patches, PART, configuration(**options)))
    there = listed(training_batches(patches, PART, configuration(**options), on_device=True))
    assert len(here) == len(there) == 9
    for (images, masks), (device_images, device_masks) in zip(here, there, strict=True):
        assert np.array_equal(device_masks, masks)
        assert (device_images.shape, device_images.dtype) == (images.shape, np.uint8)
        differences = np.abs(device_images.astype(int) - images)
        assert differences.max() <= 8
        assert differences.mean() <= 1


@pytest.mark.parametrize("bands", [1, 4])
def test_images_of_any_number_of_bands_are_cut_and_changed_here_and_on_the_device(patches: Patches, bands: int) -> None:
    images = np.repeat(patches.images[..., :1], bands, axis=-1) + np.arange(bands, dtype=np.uint8)
    of_bands = replace(patches, images=images)
    here = listed(training_batches(of_bands, PART, configuration(**AUGMENTED)))
    there = listed(training_batches(of_bands, PART, configuration(**AUGMENTED), on_device=True))
    of_colors = listed(training_batches(patches, PART, configuration(**AUGMENTED | {"hue": 0.0})))
    for (seen, masks), (device_seen, device_masks), (colors, _) in zip(here, there, of_colors, strict=True):
        assert seen.shape == (*masks.shape, bands)
        assert np.array_equal(seen[..., 0], colors[..., 0])
        assert np.array_equal(device_masks, masks)
        assert np.abs(device_seen.astype(int) - seen).max() <= 8
