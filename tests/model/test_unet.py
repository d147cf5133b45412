"""The article's U-Net and the registry it is asked for from."""

import keras
import numpy as np
import pytest

from segmentation.errors import ConfigurationError
from segmentation.model.registry import ARCHITECTURES, build
from segmentation.model.unet import unet


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    keras.utils.set_random_seed(0)
    return unet(32, 4, filters=(4, 8), bottleneck=8)


def test_the_articles_network_has_1421830_parameters() -> None:
    assert unet(160, 6).count_params() == 1_421_830


def test_all_parameters_are_trained() -> None:
    model = unet(160, 6)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 1_421_830


@pytest.mark.parametrize(("size", "classes"), [(160, 6), (32, 2), (256, 11)])
def test_an_image_becomes_a_map_of_the_classes(size: int, classes: int) -> None:
    model = unet(size, classes)
    assert (model.input_shape, model.output_shape) == ((None, size, size, 3), (None, size, size, classes))


def test_every_pixel_gets_probabilities_that_add_up_to_one(tiny: keras.Model) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    probabilities = np.asarray(tiny(images))
    assert probabilities.shape == (2, 32, 32, 4)
    assert probabilities.min() >= 0
    assert np.allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_images_are_rescaled_inside_the_model(tiny: keras.Model) -> None:
    rescaling = next(layer for layer in tiny.layers if isinstance(layer, keras.layers.Rescaling))
    assert np.allclose(rescaling(np.array([0.0, 51.0, 255.0])), [0, 0.2, 1])


def test_dropout_is_a_tenth_on_the_way_down_and_a_fifth_from_the_bottom_up() -> None:
    rates = [layer.rate for layer in unet(160, 6).layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.1] * 4 + [0.2] * 5


def test_a_pixel_far_away_reaches_the_output_through_the_bottleneck(tiny: keras.Model) -> None:
    image = np.zeros((1, 32, 32, 3), np.float32)
    before = np.asarray(tiny(image))[0, 0, 0]
    image[0, 8:, 8:] = 255
    assert not np.array_equal(np.asarray(tiny(image))[0, 0, 0], before)


def test_the_same_seed_gives_the_same_weights() -> None:
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        models.append(unet(32, 4, filters=(4,), bottleneck=4))
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_the_registry_builds_the_articles_network() -> None:
    assert build("unet", 160, 6).count_params() == 1_421_830


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="out of unet"):
        build("resnet", 160, 6)


@pytest.mark.parametrize("size", [0, 8, 100, 168])
def test_a_patch_size_that_cannot_be_halved_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"divisible by 16. Received: {size}"):
        build("unet", size, 6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_smallest_patch_size_of_every_architecture_works(name: str) -> None:
    size = ARCHITECTURES[name].divisor
    assert build(name, size, 3).output_shape == (None, size, size, 3)
