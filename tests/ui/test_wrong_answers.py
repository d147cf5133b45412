"""Small things that pages once told wrongly."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import find_dataset

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))

Open = Callable[..., AppTest]


def words(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.info, at.warning)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def test_sizes_are_width_by_height(open_page: Open, trained: object) -> None:
    scene = trained.dataset.scenes[0]
    width, height = Image.open(scene.image).size
    assert width != height
    assert f"{width} × {height} px" in words(open_page("browser"))
    one_scene = words(open_page("browser", view="One scene", scene=scene.name, size="32"))
    assert f"**{width} × {height} px** · {width // 32} × {height // 32} patches of 32 px" in one_scene
    assert f"{scene.name}, {width} × {height} px" in words(open_page("explorer", scene=scene.name))


def test_labelled_pixels_are_those_with_a_class_also_where_void_is_scored(
    open_on: Open, trained: object, tmp_path: Path
) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "article")
    config = json.loads((tmp_path / "article" / "config.json").read_text())
    config["configuration"]["protocol"] = "patch"
    (tmp_path / "article" / "config.json").write_text(json.dumps(config))
    scene = trained.dataset.scenes[0]
    at = open_on(trained.dataset, tmp_path, "explorer", run="article", scene=scene.name, patch="r00c00")
    assert not at.exception
    colors = np.asarray(Image.open(scene.mask).convert("RGB"))[:32, :32]
    truth = np.full((32, 32), 255)
    for index, color in enumerate(COLORS):
        truth[(colors == color).all(-1)] = index
    assert (truth == 255).any()
    model = keras.saving.load_model(trained.run.folder / "best.keras", compile=False)
    image = np.asarray(Image.open(scene.image).convert("RGB"))[None, :32, :32]
    predicted = np.asarray(model(image.astype("float32")))[0].argmax(-1)
    scored = np.where(truth == 255, 5, truth)  # as the article counts void
    ious = []
    for index in range(5):
        union = ((scored == index) | (predicted == index)).sum()
        if union:
            ious.append(((scored == index) & (predicted == index)).sum() / union)
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Labelled pixels"] == f"{(truth != 255).sum():,}"
    assert shown["Accuracy"] == f"{(scored == predicted).mean():.3f}"
    assert shown["Mean IoU without Unlabeled"] == f"{np.mean(ious):.3f}"
    gallery = open_on(trained.dataset, tmp_path, "gallery", run="article")
    help_ = next(metric.proto.help for metric in gallery.metric if metric.label == "Accuracy")
    assert help_ == next(metric.proto.help for metric in at.metric if metric.label == "Accuracy")
    assert "scored pixels" in words(gallery)


def test_a_run_evaluated_without_surely_wrong_is_told_what_is_missing(
    open_on: Open, trained: object, tmp_path: Path
) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "older")
    table = pd.read_csv(tmp_path / "older" / "patches.csv").drop(columns="surely_wrong")
    table.to_csv(tmp_path / "older" / "patches.csv", index=False)
    at = open_on(trained.dataset, tmp_path, "gallery", run="older", view="Suspect labels")
    assert not at.exception
    assert "python -m segmentation evaluate --run older --save" in at.info[0].value
    ranked = open_on(trained.dataset, tmp_path, "gallery", run="older")
    assert not ranked.exception
    assert "Confidently wrong" not in ranked.selectbox(key="by").options


@pytest.mark.parametrize("name", ["patch", "scene", "tile"])
def test_a_tile_with_the_name_of_a_protocol_is_a_tile(
    open_on: Open, write_dataset: Callable[[Path], Path], trained: object, tmp_path: Path, name: str
) -> None:
    root = write_dataset(tmp_path / "city")
    (root / "Tile 1").rename(root / name)
    dataset = find_dataset(root)
    runs = trained.run.folder.parent
    at = open_on(dataset, runs, "browser", view="Split", size="32")
    assert sorted(at.selectbox(key="split-shown").options) == sorted(["patch", "scene", f"{name} (tile)", "Tile 2"])
    at.selectbox(key="split-shown").set_value(f"{name} (tile)").run()
    assert not at.exception
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Held-out patches"] == "12"  # all of the tile's
    assert shown["Touch a training patch"] == "0"
    at = open_on(dataset, runs, "browser", view="Patches", size="32", split=f"{name} (tile)")
    assert "**12** of 28 patches" in words(at)
    at = open_on(dataset, runs, "browser", view="Patches", size="32", split="patch")
    assert "**3** of 28 patches" in words(at)
