"""Data sets as others have them: trained on, scored to the last digit, and seen on every page."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Page, expect
from rasterio.features import rasterize

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.evaluation.evaluate import evaluate_run
from tests.browser.driver import wait_until_still
from tests.browser.test_dashboard import colours_to_indices

PLACES = ((3, 1), (4, 5), (6, 3), (7, 2))
"""Tile and part of the real scene that each scene is the upper left corner of."""

SIDE, PATCH = 480, 96

SETS = {
    "loveda": "given",
    "nir-16bit": "scene",
    "coco": "scene",
    "geojson": "scene",
    "inria": "scene",
    "lists": "given",
}
"""The protocol for each data set."""


def labelled(root: Path, name: str, number: int, real: Dataset) -> np.ndarray:
    """Class indices of a scene, void 255, from the real mask or the polygons that it was made of."""
    tile, part = PLACES[number]
    with Image.open(real.root / f"Tile {tile}" / "masks" / f"image_part_{part:03d}.png") as mask:
        index = colours_to_indices(np.asarray(mask.convert("RGB"))[:SIDE, :SIDE])
    if name == "inria":
        return (index == 0).astype(np.uint8)
    if name == "geojson":
        return np.where(index < 5, index, 255).astype(np.uint8)
    if name == "coco":
        index[:] = 255
        for outline in json.loads((root / "annotations" / "instances_default.json").read_text())["annotations"]:
            if outline["image_id"] == number + 1:
                ring = np.reshape(outline["segmentation"][0], (-1, 2)).tolist()
                inside = rasterize([{"type": "Polygon", "coordinates": [[*ring, ring[0]]]}], out_shape=index.shape)
                index[inside.astype(bool)] = outline["category_id"] - 1
    return index


def image_of(dataset: Dataset, scene: str) -> np.ndarray:
    """(480, 480, bands) as a network sees it; what has 8 bits is read without the package."""
    found = dataset.scene(scene)
    if dataset.stretch:
        return read_scene(found, dataset.palette, dataset.stretch)[0]
    if found.image.suffix == ".tif":
        with rasterio.open(found.image) as file:
            return np.moveaxis(file.read(), 0, -1)
    with Image.open(found.image) as image:
        return np.asarray(image.convert("RGB"))


def scores_by_hand(matrix: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean IoU over the classes in truth or prediction, of counts [truth, prediction]."""
    right, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return right.sum() / matrix.sum(), float((right[union > 0] / union[union > 0]).mean())


@pytest.mark.parametrize(("name", "protocol"), SETS.items())
def test_a_set_of_others_is_trained_on_scored_and_shown(
    layouts: Path,
    real_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., str],
    open_page: Callable[..., Page],
    metric: Callable[[Page, str], str],
    name: str,
    protocol: str,
) -> None:
    from segmentation.training.fit import train

    variables = {"SEGMENTATION_CACHE": str(tmp_path / "cache"), "SEGMENTATION_RUNS": str(tmp_path / "runs")}
    monkeypatch.setenv("SEGMENTATION_CACHE", variables["SEGMENTATION_CACHE"])
    root = Path(shutil.copytree(layouts / name, tmp_path / name))
    if name == "nir-16bit":
        (root / "dataset.toml").write_text("bands = [1, 2, 3, 4]\n")
    dataset = find_dataset(root)
    configuration = Configuration(patch_size=PATCH, protocol=protocol, epochs=1, batch_size=8)
    run = train(dataset, configuration, tmp_path / "runs" / "first", verbose=0)
    metrics, table = evaluate_run(run, dataset, save=True)

    import keras

    model = keras.saving.load_model(run.folder / "best.keras", compile=False)
    assert model.input_shape[-1] == (4 if name == "nir-16bit" else 3)
    held_out = table[table["part"] == "test"]
    assert len(held_out) == 25  # of one scene
    matrix, by_patch = np.zeros((len(dataset.palette),) * 2, np.int64), {}
    for patch in held_out.itertuples():
        number = int(re.search(r"(\d+)$", dataset.scene(patch.scene).image.stem)[1])
        place = np.s_[patch.row * PATCH : (patch.row + 1) * PATCH, patch.column * PATCH : (patch.column + 1) * PATCH]
        truth = labelled(root, name, number, real_dataset)[place]
        predicted = np.asarray(model(image_of(dataset, patch.scene)[place][None].astype("float32"))).argmax(-1)[0]
        counts = np.zeros_like(matrix)
        np.add.at(counts, (truth[truth != 255], predicted[truth != 255]), 1)
        by_patch[patch.patch] = counts
        matrix += counts
    assert metrics.confusion_matrix == matrix.tolist()
    accuracy, mean_iou = scores_by_hand(matrix)

    address = serve(SEGMENTATION_DATA=str(root), **variables)
    page = open_page(f"{address}/Dataset_browser")
    expect(page.get_by_text("4 of 4 scenes")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Scene .* with its mask")).first).to_be_visible()
    page = open_page(f"{address}/Worst-case_gallery?run=first")
    assert (metric(page, "Accuracy"), metric(page, "Mean IoU")) == (f"{accuracy:.3f}", f"{mean_iou:.3f}")
    worst = page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code").first.inner_text()
    shown = [patch for patch, counts in by_patch.items() if counts.sum() - np.trace(counts) >= PATCH**2 // 100]
    assert scores_by_hand(by_patch[worst])[1] == min(scores_by_hand(by_patch[patch])[1] for patch in shown)
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.get_by_text(f"{worst}, {PATCH} × {PATCH} px")).to_be_visible()
    wait_until_still(page)
    accuracy, mean_iou = scores_by_hand(by_patch[worst])
    assert (metric(page, "Accuracy"), metric(page, "Mean IoU")) == (f"{accuracy:.3f}", f"{mean_iou:.3f}")
    assert metric(page, "Labelled pixels") == f"{by_patch[worst].sum():,}"
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
