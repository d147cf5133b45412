"""``dataset.toml``: the examples in the documentation mean what it says, and mistakes get one sentence."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from segmentation.data.description import described, write_declaration
from segmentation.data.locate import PROJECT
from segmentation.data.palette import VOID
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.data.stretch import as_colors
from segmentation.errors import DeclarationError, StorageError

EXAMPLES = re.findall(r"```toml\n(.*?)```", (PROJECT / "docs" / "data.md").read_text(encoding="utf-8"), re.DOTALL)

VALUES = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
"""(16, 24): six classes in squares."""


def put(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def photo(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (*VALUES.shape, 3), np.uint8)


def pairs(root: Path, image: str, mask: str, values: np.ndarray = VALUES) -> None:
    """Write two scenes, their number in place of the N in the paths."""
    for number in (1, 2):
        put(root / image.replace("N", str(number)), photo(number))
        put(root / mask.replace("N", str(number)), values)


def mask_of(dataset: Dataset) -> np.ndarray:
    return read_scene(dataset.scenes[0], dataset.palette)[1]


def declare(root: Path, example: int) -> Dataset:
    (root / "dataset.toml").write_text(EXAMPLES[example], encoding="utf-8")
    return find_dataset(root)


def test_there_are_eleven_examples() -> None:
    assert len(EXAMPLES) == 11


def test_folders_of_other_names(tmp_path: Path) -> None:
    pairs(tmp_path, "photos/N.jpg", "truth/N.png")
    pairs(tmp_path, "photos/N.jpg", "masks_in_colour/N.png", photo(3))
    dataset = declare(tmp_path, 0)
    assert [scene.mask.parent.name for scene in dataset.scenes] == ["truth", "truth"]
    assert np.array_equal(mask_of(dataset), VALUES)


def test_one_folder(tmp_path: Path) -> None:
    pairs(tmp_path, "N-a.png", "N-b.png")
    assert [(scene.image.name, scene.mask.name) for scene in declare(tmp_path, 1).scenes] == [
        ("1-a.png", "1-b.png"),
        ("2-a.png", "2-b.png"),
    ]


def test_splits_and_tiles_in_the_paths(tmp_path: Path) -> None:
    pairs(tmp_path, "train/north/one/x/N.png", "train/north/one/y/N.png")
    pairs(tmp_path, "held/south/x/N.png", "held/south/y/N.png")
    dataset = declare(tmp_path, 2)
    assert dataset.splits == {"train": 2, "held": 2}
    assert set(dataset.tiles) == {"north/one", "south"}


def test_classes_by_values(tmp_path: Path) -> None:
    pairs(tmp_path, "images/N.png", "masks/N.png")
    dataset = declare(tmp_path, 3)
    assert dataset.palette.names == ("Meadow", "Forest")
    assert dataset.palette.hex(0) == "#66aa33"
    assert np.array_equal(mask_of(dataset), np.minimum(VALUES, 1))


def test_classes_by_colours(tmp_path: Path) -> None:
    table = np.array([(255, 0, 0), (0, 0, 0), (9, 9, 9), (0, 0, 0), (255, 0, 0), (1, 2, 3)], np.uint8)
    pairs(tmp_path, "images/N.png", "masks/N.png", table[VALUES])
    assert np.array_equal(mask_of(declare(tmp_path, 4)), np.array([0, 1, VOID, 1, 0, VOID], np.uint8)[VALUES])


def test_ignored_and_merged_classes(tmp_path: Path) -> None:
    pairs(tmp_path, "images/N.png", "masks/N.png")
    dataset = declare(tmp_path, 5)
    assert dataset.palette.names == ("Water", "Land")
    assert np.array_equal(mask_of(dataset), np.array([0, 0, 0, 1, 1, VOID], np.uint8)[VALUES])


def test_the_nearest_colours(tmp_path: Path) -> None:
    table = np.array([(250, 3, 1), (255, 0, 0), (0, 255, 0), (20, 230, 9), (200, 90, 0), (90, 200, 0)], np.uint8)
    pairs(tmp_path, "images/N.png", "masks/N.png", table[VALUES])
    assert np.array_equal(mask_of(declare(tmp_path, 6)), np.array([0, 0, 1, 1, 0, 1], np.uint8)[VALUES])


def georeferenced(path: Path, bands: np.ndarray, left: float = 500_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2], "count": len(bands)}
    place = {"crs": "EPSG:32633", "transform": from_origin(left, 5_000_000, 2, 2)}
    with rasterio.open(path, "w", dtype=bands.dtype, **profile, **place) as file:
        file.write(bands)


def test_bands_and_their_stretch(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 5000, (5, *VALUES.shape), np.uint16)
    georeferenced(tmp_path / "images/a.tif", deep)
    put(tmp_path / "masks/a.png", VALUES)
    dataset = declare(tmp_path, 7)
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    high = np.array([4000, 3000, 3000])[:, None, None]
    expected = np.clip(deep[[3, 0, 1]] * 255.0 / high, 0, 255)
    assert np.abs(image - np.moveaxis(expected, 0, -1)).max() <= 0.5 + 1e-9


def test_four_bands_of_which_three_are_shown(tmp_path: Path) -> None:
    shallow = np.random.default_rng(1).integers(0, 255, (12, *VALUES.shape), np.uint8)
    georeferenced(tmp_path / "images/a.tif", shallow)
    put(tmp_path / "masks/a.png", VALUES)
    dataset = declare(tmp_path, 8)
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.array_equal(image, np.moveaxis(shallow[[3, 2, 1, 7]], 0, -1))
    assert np.array_equal(as_colors(image, dataset.stretch), np.moveaxis(shallow[[7, 3, 2]], 0, -1))
    assert "bands     4, 3, 2, 8 are trained on, 8, 4, 3 are shown" in "\n".join(described(dataset))


def test_bands_of_eight_bits(tmp_path: Path) -> None:
    shallow = np.random.default_rng(1).integers(0, 255, (4, *VALUES.shape), np.uint8)
    georeferenced(tmp_path / "images/a.tif", shallow)
    put(tmp_path / "masks/a.png", VALUES)
    (tmp_path / "dataset.toml").write_text("bands = [4, 2, 1]\n")
    dataset = find_dataset(tmp_path)
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.array_equal(image, np.moveaxis(shallow[[3, 1, 0]], 0, -1))


def test_splits_by_lists_and_names(tmp_path: Path) -> None:
    for name in ("east_1", "east_2", "west_1", "north_1", "north_2"):
        put(tmp_path / f"images/{name}.png", photo(1))
        put(tmp_path / f"masks/{name}.png", VALUES)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/learn.txt").write_text("east_1\neast_2.png\n")
    splits = {scene.image.stem: scene.split for scene in declare(tmp_path, 9).scenes}
    assert splits == {"east_1": "train", "east_2": "train", "west_1": "test", "north_1": "test", "north_2": ""}


def test_polygons_with_their_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    georeferenced(tmp_path / "tiles/a.tif", np.moveaxis(photo(1), -1, 0))

    def square(use: str, left: int, top: int, right: int, bottom: int) -> dict:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [[500_000 + 2 * x, 5_000_000 - 2 * y] for x, y in corners]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "properties": {"use": use, "id": left}, "geometry": geometry}

    features = [square("arable", 0, 0, 10, 16), square("barn", 2, 2, 5, 6), square("lake", 20, 0, 24, 4)]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (tmp_path / "survey.geojson").write_text(json.dumps({"features": features, "crs": crs}))
    dataset = declare(tmp_path, 10)
    expected = np.full(VALUES.shape, VOID, np.uint8)
    expected[:, :10] = 0
    expected[2:6, 2:5] = 1
    assert dataset.palette.names == ("Field", "House")
    assert np.array_equal(mask_of(dataset), expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images = ", "cannot be read"),
        ("image = 'a/{stem}.png'", "says 'image', which means nothing"),
        ("images = 3", "of the wrong kind"),
        ("images = 'a/{stem}.png'\nmasks = 'b/{stem}.png'", "0 images fit 'a/{stem}.png'"),
        ("bands = [1, 0]", "1 to 12 of them, counted from 1"),
        ("bands = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]", "1 to 12 of them, counted from 1"),
        ("bands = [1, 2, 3, 4]\nshow_bands = [1, 2, 5]", "three of bands, or one"),
        ("bands = [1, 2, 3, 4]\nshow_bands = [1, 2]", "three of bands, or one"),
        ("bands = [1, 2]\nstretch = [[0, 9]]", "a lower and a higher value for each band"),
        ("stretch = [[5, 2]]", "a lower and a higher value"),
        ("[[classes]]\nname = 'A'\nvalue = -1", "whole numbers from 0"),
        ("[[classes]]\nname = 'A'\ncolor = 'red'", "of the wrong kind"),
        ("[[classes]]\nname = 'A'\nvalue = 1\nmerge = 'B'", "no class is called 'B'"),
        ("[[classes]]\nname = 'A'\nvalue = 1\n[[classes]]\nname = 'B'\nvalue = 1", "share a value or a colour"),
        ("[[classes]]\nname = 'A'\nvalue = 1\n[[classes]]\nname = 'B'\ncolor = '#000001'", "every class a value"),
        ("[[classes]]\nname = 'A'\nvalue = 1\n[[classes]]\nname = 'A'\nvalue = 2", "share the name"),
        ("images = '" + "*" * 40 + "'", "more than 8 placeholders"),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    pairs(tmp_path, "images/N.png", "masks/N.png")
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(DeclarationError, match=re.escape(said)):
        find_dataset(tmp_path)


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "folders": lambda root: pairs(root, "north/images/N.png", "north/masks/N.png"),
    "suffixes": lambda root: pairs(root, "train/N_sat.jpg", "train/N_mask.png"),
    "splits": lambda root: (
        pairs(root, "img_dir/train/N.png", "ann_dir/train/N.png"),
        pairs(root, "img_dir/val/N.png", "ann_dir/val/N.png"),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_reads_the_same(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout](tmp_path)
    before = find_dataset(tmp_path)
    write_declaration(before)
    after = find_dataset(tmp_path)
    assert after.layout.endswith("as dataset.toml says") or "; splits" in after.layout
    assert [(scene.name, scene.image, scene.mask, scene.split) for scene in after.scenes] == [
        (scene.name, scene.image, scene.mask, scene.split) for scene in before.scenes
    ]
    assert after.palette == before.palette
    assert np.array_equal(mask_of(after), mask_of(before))
    with pytest.raises(StorageError, match="is there already"):
        write_declaration(after)
