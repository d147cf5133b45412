"""A tiny model to predict with."""

from pathlib import Path

import keras
import pytest

from segmentation.model.unet import unet


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of three classes and patches of 16 px."""
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("models") / "best.keras"
    unet(16, 3, filters=(4, 8), bottleneck=8).save(path)
    return path
