"""The hyper-parameters: the article's as defaults, and those that contradict each other refused."""

import dataclasses
import math
import re
from typing import get_args

import pytest

from segmentation.configuration import Configuration, LossName, descriptions
from segmentation.errors import ConfigurationError
from segmentation.runs.run import SHIPPED, Run, find_runs


def test_the_defaults_are_the_articles_recipe() -> None:
    assert dataclasses.asdict(Configuration()) == {
        "architecture": "unet",
        "patch_size": 160,
        "protocol": "patch",
        "held_out_tile": None,
        "fold": 0,
        "folds": None,
        "start_from": None,
        "worst_share": 1.0,
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warm_up": 0,
        "weight_decay": 0.0,
        "ema": 0.0,
        "flips_and_rotations": False,
        "random_windows": False,
        "zoom": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "haze": 0.0,
        "hue": 0.0,
        "blur": 0.0,
        "loss": "cross_entropy",
        "class_weights": (),
        "early_stopping": None,
        "mixed_precision": False,
        "seed": 42,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"patch_size": 0},
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"brightness": -0.1},
        {"brightness": 1.0},
        {"contrast": 1.5},
        {"contrast": float("nan")},
        {"warm_up": -1},
        {"fold": 1},
        {"fold": -1, "protocol": "scene"},
        {"worst_share": 0.0},
        {"weight_decay": -0.1},
        {"ema": 1.0},
        {"zoom": float("inf")},
        {"haze": 1.0},
        {"hue": float("nan")},
        {"blur": -1.0},
        {"early_stopping": 0},
        {"class_weights": (1.0, -1.0)},
        {"class_weights": (0.0, 0.0)},
    ],
    ids=str,
)
def test_a_value_out_of_range_is_refused_by_its_name(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))}.* Received: "):
        Configuration(**options)


@pytest.mark.parametrize("options", [{"protocol": "tile"}, {"held_out_tile": "Tile 7"}], ids=str)
def test_the_tile_protocol_and_the_tile_go_together(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="held_out_tile goes with protocol tile"):
        Configuration(**options)


def test_a_protocol_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Choose another one of patch, scene, tile, given"):
        Configuration(protocol="all")


def test_the_tile_protocol_with_a_tile_is_accepted() -> None:
    assert Configuration(protocol="tile", held_out_tile="Tile 7").held_out_tile == "Tile 7"


def test_the_worst_share_needs_a_run_that_says_which_are_worst() -> None:
    with pytest.raises(ConfigurationError, match="worst_share needs start_from"):
        Configuration(worst_share=0.5)
    assert Configuration(worst_share=0.5, start_from="first").worst_share == 0.5


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Configuration().epochs = 3


@pytest.mark.parametrize(
    ("loss", "terms"),
    [
        ("cross_entropy", {"cross_entropy": 1.0}),
        ("cross_entropy+0.5*jaccard", {"cross_entropy": 1.0, "jaccard": 0.5}),
        (" 2 * focal + .25*dice ", {"focal": 2.0, "dice": 0.25}),
    ],
)
def test_a_sum_of_losses_is_read(loss: str, terms: dict[str, float]) -> None:
    assert Configuration(loss=loss).loss_terms == terms


@pytest.mark.parametrize("loss", ["", "hinge", "cross_entropy+", "dice+dice", "-1*dice", "dice*2", "1e3*dice"])
def test_a_loss_that_cannot_be_read_is_refused(loss: str) -> None:
    with pytest.raises(ConfigurationError, match=r"or a sum such as .* Received: "):
        Configuration(loss=loss)


@pytest.mark.slow
def test_the_losses_that_can_be_named_are_those_there_are() -> None:
    from segmentation.model.losses import TERMS

    assert get_args(LossName) == tuple(TERMS)


def test_every_hyper_parameter_is_described() -> None:
    told = descriptions()
    assert list(told) == [field.name for field in dataclasses.fields(Configuration)]
    assert told["batch_size"] == "Patches per step."
    assert all(text.endswith(('"', ".", ")")) and len(text) > 15 for text in told.values())


LONG = 10**400
"""An integer that has no float."""

WRONG = {
    bool: (1, 0.0, "true", None, []),
    int: (0.5, True, "3", [], {}, LONG, -LONG, math.nan, math.inf),
    float: (True, "0.5", None, [], {}, LONG, -LONG, math.nan, math.inf),
    str: (1, 0.5, True, [], {}, math.nan),
    tuple: ("12", 1, None, {}, [None], ["a"], [True], [LONG], [math.nan], [math.inf]),
}
"""Values out of JSON that are not of a type."""


@pytest.mark.parametrize("field", dataclasses.fields(Configuration), ids=lambda field: field.name)
def test_a_value_of_another_type_out_of_a_file_is_refused(field: dataclasses.Field) -> None:
    named = re.search(r"bool|int|float|str|tuple|Literal", str(field.type))[0]
    kind = {kind.__name__: kind for kind in WRONG}.get(named, str)
    for value in WRONG[kind]:
        with pytest.raises(ConfigurationError, match="not what this version understands"):
            Configuration.from_dict({field.name: value})


@pytest.mark.parametrize("run", find_runs(SHIPPED), ids=lambda run: run.name)
def test_the_hyper_parameters_of_shipped_runs_are_understood(run: Run) -> None:
    assert run.config.hyper_parameters.to_dict().items() >= run.config.configuration.items()


def test_folds_say_the_protocol() -> None:
    assert Configuration(folds="tile").protocol == "k-fold"
    assert Configuration(folds="tile", protocol="k-fold") == Configuration(folds="tile")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folds": "tile", "protocol": "scene"}, "leave protocol scene out"),
        ({"folds": "tile", "start_from": "dubai-lite0"}, "leave start_from out"),
        ({"folds": "tile", "held_out_tile": "Tile 1"}, "held_out_tile goes with protocol tile"),
        ({"folds": "tile", "fold": 1}, "fold counts the scene protocol's groups"),
        ({"protocol": "k-fold"}, "needs folds: tile or scene"),
    ],
    ids=str,
)
def test_what_does_not_go_with_folds_is_refused(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Configuration(**options)
