"""Uploads in the explorer: masks of every kind give the scores that NumPy gives; what nothing tells is asked for."""

import zlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.palette import VOID
from segmentation.data.scenes import read_scene
from tests.data.test_recognition import STRANGE, geotiff, paletted, saved

Open = Callable[..., AppTest]

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))


@pytest.fixture(scope="module")
def scene(trained: object) -> SimpleNamespace:
    """A scene of the small data set: its file, its classes, and what Keras itself predicts of its patches."""
    from segmentation.inference.predictor import Predictor

    of = trained.dataset.scenes[2]
    image, truth = read_scene(of, trained.dataset.palette)
    predicted = Predictor(trained.run.model).scene(image).classes
    return SimpleNamespace(name=of.image.name, content=of.image.read_bytes(), truth=truth, predicted=predicted)


@pytest.fixture
def score(open_page: Open, scene: SimpleNamespace) -> Callable[..., AppTest]:
    """A function that uploads a mask beside the scene's image."""

    def score_(content: bytes, name: str = "truth.png") -> AppTest:
        at = open_page("explorer", source="Upload", overlap="0")
        at.file_uploader(key="upload-image").upload(scene.name, scene.content, "image/png")
        return at.file_uploader(key="upload-mask").upload(name, content, "image/png").run()

    return score_


def by_hand(truth: np.ndarray, predicted: np.ndarray) -> dict[str, str]:
    """The scores that the page shows, by another way: void is left out."""
    labelled = truth != VOID
    of, as_ = truth[labelled], predicted[labelled]
    either = [(of == c) | (as_ == c) for c in range(6)]
    ious = [((of == c) & (as_ == c)).sum() / here.sum() for c, here in enumerate(either) if here.any()]
    return {
        "Accuracy": f"{(of == as_).mean():.3f}",
        "Mean IoU": f"{np.mean(ious):.3f}",
        "Labelled pixels": f"{labelled.sum():,}",
    }


def shown(at: AppTest) -> dict[str, str]:
    metrics = {metric.label: metric.value for metric in at.metric}
    return {label: metrics[label] for label in ("Accuracy", "Mean IoU", "Labelled pixels")}


def panel(at: AppTest) -> str:
    """What the page says of how the mask is read; empty if it says nothing."""
    return next((expander.label for expander in at.expander if expander.label.startswith("How ")), "")


def answer(at: AppTest, of: str, index: int) -> AppTest:
    box = next(box for box in at.selectbox if box.label == f"Class of {of}")
    return box.set_value(index).run()


def hexadecimal(color: tuple[int, int, int]) -> str:
    return f"#{bytes(color).hex()}"


def drawn(truth: np.ndarray, colors: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """A mask in some colours, black where there is no class."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table[truth]


def doubled(pixels: np.ndarray) -> np.ndarray:
    return np.kron(pixels, np.ones((2, 2), np.uint8))


def half_transparent(truth: np.ndarray) -> np.ndarray:
    alpha = np.full(truth.shape, 255, np.uint8)
    alpha[: len(truth) // 2] = 0
    return np.dstack([drawn(truth, COLORS), alpha])


KINDS: dict[str, Callable[[np.ndarray], bytes]] = {
    "colours": lambda truth: saved(Image.fromarray(drawn(truth, COLORS))),
    "indices": lambda truth: saved(Image.fromarray(truth)),
    "indices of 16 bits": lambda truth: saved(Image.fromarray(truth.astype(np.uint16))),
    "indices of 16 bits in a TIFF": lambda truth: saved(Image.fromarray(truth.astype(np.uint16)), "TIFF"),
    "indices in three channels": lambda truth: saved(Image.fromarray(np.repeat(truth[..., None], 3, 2))),
    "a palette in another order": lambda truth: saved(
        paletted(np.where(truth == VOID, 6, 5 - truth).astype(np.uint8), (*COLORS[::-1], (0, 0, 0)))
    ),
    "a GeoTIFF": lambda truth: geotiff(truth, compress="lzw", tiled=True),
    "a GeoTIFF with a table of colours": lambda truth: geotiff(
        truth, {index: (*color, 255) for index, color in enumerate(COLORS)}
    ),
    "twice the size": lambda truth: saved(Image.fromarray(doubled(truth))),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_masks_of_every_kind_give_the_same_scores(
    kind: Callable[[np.ndarray], bytes], scene: SimpleNamespace, score: Callable[..., AppTest]
) -> None:
    at = score(kind(scene.truth))
    assert not at.exception
    assert not at.error
    assert not at.warning
    assert shown(at) == by_hand(scene.truth, scene.predicted)
    resized = [caption.value for caption in at.caption if "was resized" in caption.value]
    assert len(resized) == (kind is KINDS["twice the size"])


def test_transparent_is_void(scene: SimpleNamespace, score: Callable[..., AppTest]) -> None:
    at = score(saved(Image.fromarray(half_transparent(scene.truth))))
    visible = scene.truth.copy()
    visible[: len(visible) // 2] = VOID
    assert "are transparent and count as void" in at.warning[0].value
    assert shown(at) == by_hand(visible, scene.predicted)


@pytest.mark.parametrize("one", [1, 255, True])
def test_no_and_yes_of_six_classes_are_as_somebody_says(
    one: int, scene: SimpleNamespace, score: Callable[..., AppTest]
) -> None:
    yes = scene.truth == 2
    content = saved(Image.fromarray(yes) if one is True else Image.fromarray((yes * one).astype(np.uint8)))
    at = score(content)
    assert "values that nothing names" in panel(at)
    assert len(at.error) == (one == 255)
    value = 255 if one == 255 else 1
    at = answer(at, f"value {value}", 2)
    at = answer(at, "value 0", VOID)
    assert not at.exception
    assert not at.error
    assert shown(at) == by_hand(np.where(yes, 2, VOID), scene.predicted)


def test_an_unknown_palette_is_mapped_class_by_class_and_remembered(
    scene: SimpleNamespace, score: Callable[..., AppTest]
) -> None:
    at = score(saved(Image.fromarray(drawn(scene.truth, STRANGE))))
    (error,) = at.error
    assert "say above which class each is" in error.value
    assert "colours that nothing names" in panel(at)
    for index, color in enumerate(STRANGE):
        at = answer(at, hexadecimal(color), index)
        said = np.where(scene.truth <= index, scene.truth, VOID)
        assert not at.error
        assert shown(at) == by_hand(said, scene.predicted)
    assert not at.warning
    # Another classes' colour is another class's score.
    at = answer(at, hexadecimal(STRANGE[0]), 1)
    assert shown(at) == by_hand(np.where(scene.truth == 0, 1, scene.truth), scene.predicted)

    # The next mask of these colours is read the same way, without being asked about.
    again = saved(Image.fromarray(drawn(scene.truth, STRANGE)[::-1]))
    at.file_uploader(key="upload-mask").set_value(("next.png", again, "image/png")).run()
    turned = scene.truth[::-1]
    assert shown(at) == by_hand(np.where(turned == 0, 1, turned), scene.predicted)
    assert panel(at) == "How next.png is read: colours as you said"
    assert not [box for box in at.selectbox if box.label.startswith("Class of ")]


def test_answers_can_be_forgotten(scene: SimpleNamespace, score: Callable[..., AppTest]) -> None:
    at = score(saved(Image.fromarray(drawn(scene.truth, STRANGE))))
    at = answer(at, hexadecimal(STRANGE[0]), 4)
    assert not at.error
    at.button(key="forget-answers").click().run()
    assert "say above which class each is" in at.error[0].value


def test_values_in_another_order_are_mapped(scene: SimpleNamespace, score: Callable[..., AppTest]) -> None:
    at = score(saved(Image.fromarray(np.where(scene.truth == VOID, VOID, (scene.truth + 7) * 3).astype(np.uint8))))
    for index in range(6):
        at = answer(at, f"value {(index + 7) * 3}", index)
    assert shown(at) == by_hand(scene.truth, scene.predicted)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "another shape": (lambda: saved(Image.new("RGB", (64, 48))), "export the mask in the image's size"),
    "no bytes": (lambda: b"", "is not an image that can be read"),
    "65,536 values": (
        lambda: saved(Image.fromarray(np.arange(1 << 16, dtype=np.uint16)[: 129 * 65].reshape(65, 129) * 7 + 40)),
        "a value that is a class's",
    ),
    "a photograph": (
        lambda: saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (65, 129, 3), np.uint8))),
        "has a colour of the legend",
    ),
    "a bomb": (lambda: bomb(65 * 200, 129 * 200), "far too few bytes"),
}


def bomb(height: int, width: int) -> bytes:
    """A PNG that claims to be large and holds nothing."""
    content = bytearray(saved(Image.new("L", (1, 1))))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(("content", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_mask_of_the_image_is_one_sentence(
    content: Callable[[], bytes], sentence: str, score: Callable[..., AppTest]
) -> None:
    at = score(content(), "hostile.png")
    assert not at.exception
    (error,) = at.error
    assert sentence in error.value
    assert "hostile.png" in error.value
    assert "Upload a mask to get scores." in [caption.value for caption in at.caption]


@pytest.mark.parametrize("first", ["image", "mask"])
@pytest.mark.parametrize(("image", "mask"), [("a.png", "a_mask.png"), ("one.png", "two.png")])
def test_two_files_dropped_together_are_told_apart(
    first: str, image: str, mask: str, open_page: Open, scene: SimpleNamespace
) -> None:
    files = [(image, scene.content, "image/png"), (mask, KINDS["colours"](scene.truth), "image/png")]
    at = open_page("explorer", source="Upload", overlap="0")
    at.file_uploader(key="upload-both-0").set_value(files if first == "image" else files[::-1]).run()
    assert not at.exception
    assert shown(at) == by_hand(scene.truth, scene.predicted)
    assert at.file_uploader(key="upload-both-1").value == []
    at.button(key="swap-uploads").click().run()
    captions = [caption.value for caption in at.caption]
    assert [caption.replace("\\", "") for caption in captions if caption.startswith("In use: ")] == [
        f"In use: {mask}",
        f"In use: {image}",
    ]
    at.button(key="swap-uploads").click().run()
    assert shown(at) == by_hand(scene.truth, scene.predicted)


def test_one_file_alone_is_the_image_and_three_are_refused(open_page: Open, scene: SimpleNamespace) -> None:
    at = open_page("explorer", source="Upload")
    file = (scene.name, scene.content, "image/png")
    at.file_uploader(key="upload-both-0").set_value([file]).run()
    assert "Upload a mask to get scores." in [caption.value for caption in at.caption]
    at.file_uploader(key="upload-both-1").set_value([file] * 3).run()
    (error,) = at.error
    assert "3 files" in error.value
    assert "Upload a mask to get scores." in [caption.value for caption in at.caption]


def test_an_uploader_does_not_take_back_what_was_dropped_later(open_page: Open, scene: SimpleNamespace) -> None:
    at = open_page("explorer", source="Upload", overlap="0")
    at.file_uploader(key="upload-image").upload("old.png", saved(Image.new("RGB", (40, 40))), "image/png").run()
    files = [(scene.name, scene.content, "image/png"), ("a_mask.png", KINDS["indices"](scene.truth), "image/png")]
    at.file_uploader(key="upload-both-0").set_value(files).run()
    at.run()
    assert shown(at) == by_hand(scene.truth, scene.predicted)
    at.file_uploader(key="upload-image").set_value(("new.png", saved(Image.new("RGB", (40, 40))), "image/png")).run()
    assert "new.png, 40 × 40 px" in [caption.value for caption in at.caption]
