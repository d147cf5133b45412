"""Numbers on the pages that no other test of the pages computes a second time, in plain NumPy."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")
COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))

Open = Callable[..., AppTest]


def read(scene: object) -> tuple[np.ndarray, np.ndarray]:
    """Image and class indices of a scene, 255 for void; read without the package."""
    colors = np.asarray(Image.open(scene.mask).convert("RGB"))
    truth = np.full(colors.shape[:2], 255, np.uint8)
    for index, color in enumerate(COLORS):
        truth[(colors == color).all(-1)] = index
    return np.asarray(Image.open(scene.image).convert("RGB")), truth


@pytest.fixture(scope="module")
def probabilities(trained: object) -> Callable[[np.ndarray], np.ndarray]:
    """A function from patches (n, 32, 32, 3) to what the run's model makes of them, (n, 32, 32, 6)."""
    import keras

    model = keras.saving.load_model(trained.run.folder / "best.keras", compile=False)
    return lambda images: np.asarray(model(images.astype("float32")))


def bars(at: AppTest, key: str) -> dict[str, str]:
    """What is written at the bars of a chart, by what they are of."""
    chart = next(chart for chart in at.get("plotly_chart") if chart.proto.id.endswith(f"-{key}"))
    figure = json.loads(chart.proto.spec)["data"][0]
    return dict(zip(figure["y"], figure["text"], strict=True))


def test_the_table_of_a_patch_counts_its_pixels(
    open_page: Open, trained: object, probabilities: Callable[[np.ndarray], np.ndarray]
) -> None:
    scene = trained.dataset.scenes[0]
    at = open_page("explorer", scene=scene.name, patch="r01c01")
    image, truth = (array[32:64, 32:64] for array in read(scene))
    found = probabilities(image[None])[0]
    predicted = found.argmax(-1)
    labelled = truth != 255
    table = at.dataframe[0].value.set_index("class")
    for index, name in enumerate(NAMES):
        in_mask, in_prediction = (truth == index), (predicted == index) & labelled
        assert table.loc[name, "pixels in the mask"] == in_mask.sum()
        assert table.loc[name, "pixels predicted"] == in_prediction.sum()
        assert table.loc[name, "pixels in both"] == (in_mask & in_prediction).sum()
        union = (in_mask | in_prediction).sum()
        if union:
            assert table.loc[name, "IoU"] == pytest.approx((in_mask & in_prediction).sum() / union)
        else:
            assert np.isnan(table.loc[name, "IoU"])
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Confidence"] == f"{found.max(-1).mean():.3f}"
    assert shown["Labelled pixels"] == f"{labelled.sum():,}"


def test_without_a_mask_the_shares_are_of_all_pixels(
    open_page: Open, trained: object, probabilities: Callable[[np.ndarray], np.ndarray]
) -> None:
    scene = trained.dataset.scenes[3]  # 65 × 128 px, stored without loss
    at = open_page("explorer", source="Upload", overlap="0")
    at.file_uploader(key="upload-image").upload("scene.png", scene.image.read_bytes(), "image/png").run()
    image, _ = read(scene)
    filled = np.pad(image, ((0, -image.shape[0] % 32), (0, -image.shape[1] % 32), (0, 0)), mode="symmetric")
    predicted = np.zeros(filled.shape[:2], int)
    for top in range(0, filled.shape[0], 32):
        for left in range(0, filled.shape[1], 32):
            patch = filled[None, top : top + 32, left : left + 32]
            predicted[top : top + 32, left : left + 32] = probabilities(patch)[0].argmax(-1)
    predicted = predicted[: image.shape[0], : image.shape[1]]
    shown = bars(at, "share-bars-tiny")
    for index, name in enumerate(NAMES):
        assert shown[name] == f"{100 * (predicted == index).mean():.1f} %"


def test_a_scene_tells_its_brightness_contrast_and_shares(open_page: Open, trained: object) -> None:
    scene = trained.dataset.scenes[2]
    at = open_page("browser", view="One scene", scene=scene.name)
    image, truth = read(scene)
    grey = image.mean(-1) / 255
    captions = "\n".join(caption.value for caption in at.caption)
    assert f"Brightness {grey.mean():.2f} · contrast {grey.std():.2f}" in captions
    shown = bars(at, "scene-shares")
    for index, name in enumerate(NAMES):
        assert shown[name] == f"{100 * (truth == index).mean():.1f} %"


def test_of_many_tiles_those_that_differ_most_are_drawn(
    open_page: Open, trained: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.ui.browser.statistics.TILES_DRAWN", 1)
    at = open_page("browser", view="Class shares")
    masks = {"Tile 1": [], "Tile 2": []}
    for scene in trained.dataset.scenes:
        masks[scene.tile].append(read(scene)[1].ravel())
    counts = {tile: np.bincount(np.concatenate(parts), minlength=256)[:6] for tile, parts in masks.items()}
    whole = sum(counts.values()) / sum(counts.values()).sum()
    distances = {tile: np.abs(count / count.sum() - whole).sum() for tile, count in counts.items()}
    chart = next(chart for chart in at.get("plotly_chart") if chart.proto.id.endswith("-tile-shares"))
    drawn = {tile for tile in distances if f'"{tile}"' in chart.proto.spec}
    assert drawn == {max(distances, key=distances.get)}
    captions = [caption.value for caption in at.caption]
    assert "The 1 of 2 tiles that differ most from the whole set." in captions


def test_the_gallerys_scores_are_those_of_all_held_out_pixels(
    open_page: Open, trained: object, probabilities: Callable[[np.ndarray], np.ndarray]
) -> None:
    table = trained.run.patches
    images, masks = [], []
    for row in table[table["part"] == "test"].itertuples():
        image, truth = read(trained.dataset.scene(row.scene))
        here = np.s_[row.row * 32 : row.row * 32 + 32, row.column * 32 : row.column * 32 + 32]
        images.append(image[here])
        masks.append(truth[here])
    found, truth = probabilities(np.stack(images)), np.stack(masks)
    predicted, labelled = found.argmax(-1), np.stack(masks) != 255
    ious = []
    for index in range(6):
        union = (((truth == index) | (predicted == index)) & labelled).sum()
        ious.append(((truth == index) & (predicted == index)).sum() / union if union else np.nan)
    one_hot = (truth[..., None] == np.arange(6)) & labelled[..., None]
    overlap = found[one_hot].sum()
    jaccard = (overlap + 1) / (one_hot.sum() + found[labelled].sum() - overlap + 1)
    at = open_page("gallery", matrix="true", trust="true")
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Accuracy"] == f"{(predicted == truth)[labelled].mean():.3f}"
    assert shown["Jaccard"] == f"{jaccard:.3f}"
    assert shown["Mean IoU"] == f"{np.nanmean(ious):.3f}"
    assert shown["Mean IoU without Unlabeled"] == f"{np.nanmean(ious[:5]):.3f}"
    written = ["–" if np.isnan(iou) else f"{iou:.3f}" for iou in ious]
    assert bars(at, "class-iou") == dict(zip(NAMES, written, strict=True))
    sure, right = found.max(-1)[labelled], (predicted == truth)[labelled]
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert f"Expected calibration error **{sum(gaps):.3f}**" in "\n".join(caption.value for caption in at.caption)
