"""Every page serves a data set of other classes, with files that do not fit among it, and a model trained on it."""

import html
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.runs.run import Run

CLASSES = {
    "Roof": (200, 30, 40),
    "Tree, shrub": (20, 120, 30),
    "Grass & soil": (150, 200, 90),
    "Asphalt": (70, 70, 80),
    "Pool (water)": (30, 160, 220),
}
"""Names with a comma, an ampersand and brackets in them, as people write."""

VIEWS = [
    ("home", {}),
    *(
        ("browser", {"view": view})
        for view in ("Scenes", "Patches", "One scene", "One tile", "Class shares", "Split", "Health")
    ),
    ("monitor", {}),
    ("explorer", {"scene": "north/block-1", "patch": "r00c01"}),
    ("explorer", {"scene": "south/block-2", "tta": "true", "show": "Errors"}),
    ("explorer", {"source": "Random patches"}),
    *(("gallery", {"view": view}) for view in ("Ranking", "Confusions", "Causes", "Suspect labels", "Two runs")),
    ("gallery", {"part": "Trained on", "class": "Tree, shrub"}),
    ("gallery", {"rank": "Scenes"}),
]

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def suburbs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five classes of their own, scenes of several sizes; one mask is smaller than its image, one image is broken."""
    root = tmp_path_factory.mktemp("other") / "Suburbs"
    rng = np.random.default_rng(3)
    colors = np.array(list(CLASSES.values()), np.uint8)
    for tile in ("North", "South"):
        for number, (height, width) in enumerate(((96, 130), (70, 64), (128, 97)), 1):
            blocks = rng.integers(0, len(colors), (-(-height // 16), -(-width // 16)))
            mask = colors[np.kron(blocks, np.ones((16, 16), int))[:height, :width]]
            image = np.clip(mask.astype(int) + rng.integers(-30, 30, mask.shape), 0, 255).astype(np.uint8)
            for folder, picture in (("images", image), ("masks", mask)):
                (root / tile / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(root / tile / folder / f"block {number}.png")
    Image.new("RGB", (40, 40), CLASSES["Roof"]).save(root / "South" / "masks" / "block 1.png")
    (root / "North" / "images" / "block 3.png").write_bytes(b"not a picture")
    lines = [f'"{name}",{red},{green},{blue}' for name, (red, green, blue) in CLASSES.items()]
    (root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *lines]) + "\n")
    return find_dataset(root)


@pytest.fixture(scope="module")
def suburban_run(suburbs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from segmentation.training.fit import train

    configuration = Configuration(patch_size=32, epochs=1, batch_size=4)
    return train(suburbs, configuration, tmp_path_factory.mktemp("other-runs") / "suburban", verbose=0)


@pytest.fixture
def open_page(open_on: Open, suburbs: Dataset, suburban_run: Run) -> Open:
    """A function that opens a page on that data set and its run, with query parameters."""
    return partial(open_on, suburbs, suburban_run.folder.parent)


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_a_view_opens_on_other_classes(open_page: Open, page: str, query: dict[str, str]) -> None:
    at = open_page(page, **query)
    assert not at.exception
    assert not at.error
    assert at.selectbox(key="data").value == "Suburbs"
    if page not in ("home", "monitor"):
        legend = next(element.proto.body for element in at.get("html") if 'aria-label="Classes"' in element.proto.body)
        assert [html.unescape(name) for name in re.findall(r"</i>([^<]*)</span>", legend)][:5] == list(CLASSES)


def test_files_that_do_not_fit_are_in_the_health_report(open_page: Open) -> None:
    table = open_page("browser", view="Health").dataframe[0].value
    small = table["detail"].str.contains("less than a patch of 160 × 160")  # as all scenes are that can be read
    assert small.any()
    table = table[~small]
    details = dict(zip(table["scene"], table["detail"], strict=True))
    assert set(details) == {"south/block-1", "north/block-3"}
    assert "40 × 40 pixels, the image block 1.png 130 × 96" in details["south/block-1"]
    assert "not an image that can be read" in details["north/block-3"]


def test_the_scores_of_a_patch_are_of_the_five_classes(open_page: Open, suburbs: Dataset, suburban_run: Run) -> None:
    import keras

    at = open_page("explorer", scene="north/block-1", patch="r01c02")
    scene = suburbs.scene("north/block-1")
    here = np.s_[32:64, 64:96]
    image = np.asarray(Image.open(scene.image))[here]
    colors = np.asarray(Image.open(scene.mask))[here]
    truth = np.argmax([(colors == color).all(-1) for color in CLASSES.values()], axis=0)
    model = keras.saving.load_model(suburban_run.model, compile=False)
    predicted = np.asarray(model(image[None].astype("float32")))[0].argmax(-1)
    ious = [
        ((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum()
        for c in range(5)
        if ((truth == c) | (predicted == c)).any()
    ]
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Accuracy"] == f"{(truth == predicted).mean():.3f}"
    assert shown["Mean IoU"] == f"{np.mean(ious):.3f}"
    assert shown["Labelled pixels"] == "1,024"


def test_a_model_of_other_classes_is_not_asked_about_this_set(open_page: Open) -> None:
    at = open_page("explorer", run="dubai-unet")
    assert not at.exception
    assert "was trained on other classes than this data set" in at.warning[0].value
