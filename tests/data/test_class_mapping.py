"""A data set in the classes of a run, matched by name."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.class_mapping import (
    count_classes,
    in_classes_of,
    match_classes,
    read_mapping,
    same_classes,
)
from segmentation.data.palette import DUBAI, VOID, Palette
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError


def palette_of(*names: str) -> Palette:
    """Classes in colours that no other palette of these tests has."""
    return Palette(names, tuple((250 - index, 7, index) for index in range(len(names))))


TARGET = palette_of("Building", "Dense forest", "Water")


@pytest.mark.parametrize("name", ["Dense forest", "dense_forest", "DENSE-FOREST", "denseForest", " dense  forest "])
def test_case_spaces_and_hyphens_of_names_do_not_matter(name: str) -> None:
    assert match_classes(palette_of("Water", name, "Sand"), TARGET) == (2, 1, VOID)


def test_a_name_as_it_is_comes_first_and_one_that_could_be_two_is_none() -> None:
    two = palette_of("Tree", "tree", "Road")
    assert match_classes(two, two) == (0, 1, 2)
    assert match_classes(palette_of("TREE", "tree"), two) == (VOID, 1)


def test_a_mapping_goes_before_the_names() -> None:
    palette = palette_of("water", "Urban", "Woods")
    mapping = {"Urban": "Building", "woods": "dense_forest", "Water": None, "Gone": "Water"}
    assert match_classes(palette, TARGET, mapping) == (VOID, 0, 1)


def test_the_same_classes_in_another_order_are_the_same() -> None:
    assert same_classes(palette_of("water", "Building", "dense-forest"), TARGET)
    assert not same_classes(palette_of("water", "Building"), TARGET)
    assert not same_classes(palette_of("water", "Building", "Forest"), TARGET)


def test_entries_of_a_mapping_are_read_in_the_palettes_spelling() -> None:
    palette = palette_of("Urban", "a=b", "Sand", "Sea")
    entries = ["urban = building", "a=b=Dense_Forest", "Sand=", "Sea=-"]
    assert read_mapping(entries, palette, TARGET) == {
        "Urban": "Building",
        "a=b": "Dense forest",
        "Sand": None,
        "Sea": None,
    }


@pytest.mark.parametrize("entry", ["Urban", "Urbn=Building", "Urban=House", "=Building", ""])
def test_an_entry_that_names_nothing_known_is_refused_with_both_sides(entry: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_mapping([entry], palette_of("Urban", "Sand"), TARGET)
    assert f"Received: {entry}." in str(refused.value)
    assert "The data set has Urban, Sand; the run has Building, Dense forest, Water." in str(refused.value)


def test_a_class_that_is_mapped_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Urban is mapped twice"):
        read_mapping(["Urban=Water", "urban=Building"], palette_of("Urban"), TARGET)


def test_a_data_set_of_the_same_classes_stays_itself(small_dataset: Dataset) -> None:
    assert in_classes_of(small_dataset, DUBAI) is small_dataset


def test_a_data_set_without_any_of_the_classes_is_none(small_dataset: Dataset) -> None:
    assert in_classes_of(small_dataset, palette_of("Roof", "Lawn")) is None


@pytest.mark.parametrize("kind", ["colors", "palette file", "values"])
def test_masks_of_any_kind_are_read_in_the_classes_asked_for(
    write_dataset: Callable[[Path], Path], tmp_path: Path, kind: str
) -> None:
    """The classes of the data set are in another order, one is called otherwise, one is not known."""
    root = write_dataset(tmp_path / "set")
    truth = {scene.name: read_scene(scene, DUBAI)[1] for scene in find_dataset(root).scenes}
    order = ["Water", "unlabeled", "ROAD", "Building", "Meadow", "Land"]
    own = {"Building": 3, "Land": 5, "Road": 2, "Vegetation": 4, "Water": 0, "Unlabeled": 1}
    colors = np.array([(9 * index + 1, 200 - index, 3) for index in range(6)] + [(0, 0, 0)], np.uint8)
    table = np.full(256, 6, np.uint8)
    table[:6] = [own[name] for name in DUBAI.names]
    for scene in find_dataset(root).scenes:
        drawn = table[truth[scene.name]]
        if kind == "colors":
            mask = Image.fromarray(colors[drawn])
        else:
            mask = Image.fromarray(drawn)
            if kind == "palette file":
                mask.putpalette(colors.tobytes())
        mask.save(scene.mask)
    if kind == "values":
        classes = (f'[[classes]]\nname = "{name}"\nvalue = {value}\n' for value, name in enumerate(order))
        (root / "dataset.toml").write_text("".join(classes))
    else:
        with (root / "class_dict.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [("name", "r", "g", "b"), *((n, *c) for n, c in zip(order, colors.tolist(), strict=False))]
            )
    dataset = find_dataset(root)
    assert list(dataset.palette.names) == order

    read = in_classes_of(dataset, DUBAI)
    for scene in read.scenes:
        expected = np.where(truth[scene.name] == 3, VOID, truth[scene.name])
        assert np.array_equal(read_scene(scene, read.palette)[1], expected)
    mapped = in_classes_of(dataset, DUBAI, {"Meadow": "Vegetation"})
    for scene in mapped.scenes:
        assert np.array_equal(read_scene(scene, mapped.palette)[1], truth[scene.name])

    pixels = [sum((mask == DUBAI.names.index(name)).sum() for mask in truth.values()) for name in DUBAI.names]
    assert count_classes(dataset).tolist() == [pixels[place] for place in (4, 5, 2, 0, 3, 1)]


def test_outlines_are_read_in_the_classes_asked_for_and_what_they_leave_is_background(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (20, 10)).save(images / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
        "categories": [{"id": 1, "name": "building"}],
        "annotations": [annotation],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = find_dataset(tmp_path)
    assert dataset.palette.names == ("Background", "building")
    read = in_classes_of(dataset, palette_of("Road", "Building", "Ground"), {"background": "Ground"})
    mask = read_scene(read.scenes[0], read.palette)[1]
    assert (mask[:, :10] == 1).all()
    assert (mask[:, 10:] == 2).all()
    alone = in_classes_of(dataset, palette_of("Road", "Building", "Ground"))
    assert (read_scene(alone.scenes[0], alone.palette)[1][:, 10:] == VOID).all()
