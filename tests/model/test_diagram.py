"""The U of a network, read off the model itself."""

import json

import keras
import pytest

from segmentation.model.diagram import describe, draw
from segmentation.model.unet import unet


@pytest.fixture(scope="module")
def article() -> dict:
    return describe(unet(160, 6))


def test_the_blocks_are_the_articles(article: dict) -> None:
    down = [[160, 160, 16], [80, 80, 32], [40, 40, 64], [20, 20, 128]]
    assert [block["shape"] for block in article["blocks"]] == [*down, [10, 10, 160], *down[::-1]]


def test_every_level_is_joined_with_its_own_on_the_way_up(article: dict) -> None:
    assert sorted(article["skips"]) == [[0, 8], [1, 7], [2, 6], [3, 5]]


def test_a_block_tells_its_layers(article: dict) -> None:
    assert article["blocks"][1]["layers"] == {"MaxPooling2D": 1, "Conv2D": 2, "Dropout": 1}
    assert article["blocks"][7]["layers"] == {"Conv2DTranspose": 1, "Concatenate": 1, "Conv2D": 2, "Dropout": 1}


def test_name_output_and_parameters_are_told(article: dict) -> None:
    assert (article["name"], article["output"], article["parameters"]) == ("unet", [160, 160, 6], 1_421_830)


def test_the_description_is_ready_for_json(article: dict) -> None:
    assert json.loads(json.dumps(article)) == article


def test_another_network_has_another_description() -> None:
    description = describe(unet(64, 3, filters=(4, 8), bottleneck=12))
    assert [block["shape"] for block in description["blocks"]] == [
        *([64, 64, 4], [32, 32, 8], [16, 16, 12], [32, 32, 8], [64, 64, 4])
    ]
    assert sorted(description["skips"]) == [[0, 4], [1, 3]]


def test_a_network_without_skips_is_described() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.MaxPooling2D()(inputs)
    x = keras.layers.UpSampling2D()(x)
    description = describe(keras.Model(inputs, keras.layers.Conv2D(2, 1)(x)))
    assert ([block["shape"] for block in description["blocks"]], description["skips"]) == (
        [[8, 8, 3], [4, 4, 3], [8, 8, 3]],
        [],
    )


def test_the_drawing_shows_each_level_on_both_sides_with_an_arrow_between(article: dict) -> None:
    lines = draw(article).splitlines()
    for shape in ("160 × 160 ×  16", " 80 ×  80 ×  32", " 40 ×  40 ×  64", " 20 ×  20 × 128"):
        left, right = next(line for line in lines if shape in line).split("▶")
        assert left.count(shape) == right.count(shape) == 1
        assert "───" in left


def test_the_drawing_ends_with_output_and_parameters(article: dict) -> None:
    assert draw(article).splitlines()[-1] == "out: 160 × 160 × 6 probabilities, 1,421,830 parameters"


def test_the_bottleneck_stands_alone_at_the_bottom(article: dict) -> None:
    lines = draw(article).splitlines()
    assert lines[-3].strip() == "10 ×  10 × 160"


def test_the_levels_step_in_from_both_sides(article: dict) -> None:
    rows = [line for line in draw(article).splitlines() if "▶" in line]
    begins = [len(line) - len(line.lstrip()) for line in rows]
    ends = [len(line) for line in rows]
    assert begins == sorted(begins)
    assert ends == sorted(ends, reverse=True)


def test_a_network_without_skips_is_drawn_without_arrows() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.MaxPooling2D()(inputs)
    x = keras.layers.UpSampling2D()(x)
    assert "▶" not in draw(describe(keras.Model(inputs, keras.layers.Conv2D(2, 1)(x))))
