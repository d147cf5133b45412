"""A tiny model to predict with, and an empty cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.inference import onnx_file


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Translations of earlier code are not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of three classes and patches of 16 px."""
    import keras

    from segmentation.model.unet import unet

    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("models") / "best.keras"
    unet(16, 3, filters=(4, 8), bottleneck=8).save(path)
    return path
