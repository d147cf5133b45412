"""Networks of well-known libraries, exported by the lines of docs/models.md: the same classes here as in PyTorch."""

import os
import re
import runpy
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.evaluation.foreign import add_model
from segmentation.inference.foreign.adapter import DEVIATION, MEAN, read_adapter, read_settings
from segmentation.inference.predictor import Predictor

if TYPE_CHECKING:
    import torch

EXPORT, WRAP = (
    block
    for block in re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "models.md").read_text("utf-8"), re.DOTALL)
    if "torch." in block
)
"""What the page says to run: the export of a network, and what is put around one that gives more than logits."""

SIDE = 160
"""Of the patches that a run is scored by, in pixels."""


@pytest.fixture(scope="session")
def libraries() -> tuple[Any, Any]:
    """The libraries segmentation_models_pytorch and torchvision, which the first needs, too."""
    try:
        import torch
        from torch import library

        with suppress(RuntimeError):
            import torchvision
        if not hasattr(torch.ops.torchvision, "nms"):
            # Built for CUDA, as registries hold it, it finds no operators for boxes beside a torch for the CPU, and
            # stops. It is content where their names are known, and no network here has boxes.
            operators = library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import segmentation_models_pytorch
        import torchvision
    except ImportError:
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        return outcome("PyTorch's libraries of networks are not installed: .ci/requirements.txt says which")
    return segmentation_models_pytorch, torchvision


@pytest.fixture(scope="session")
def one_scene(real_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A scene of the real set, alone."""
    scene, root = real_dataset.scenes[0], tmp_path_factory.mktemp("one scene")
    for folder, file in (("images", scene.image), ("masks", scene.mask)):
        (root / "Tile 1" / folder).mkdir(parents=True)
        shutil.copyfile(file, root / "Tile 1" / folder / file.name)
    return find_dataset(root)


def run_lines(lines: str, file: Path, model: "torch.nn.Module") -> "torch.nn.Module":
    """Run lines of docs/models.md as a file of their own, with the model that they speak of; return what it is then."""
    import torch

    file.write_text(lines, encoding="utf-8")
    return runpy.run_path(str(file), {"torch": torch, "model": model})["model"]


def check_same_classes(model: "torch.nn.Module", bias: "torch.Tensor", dataset: Dataset, folder: Path) -> None:
    """Export a network, add it as a run, and compare what both say of every patch of a scene.

    Args:
        model: Gives logits. Its weights are random.
        bias: Of its last layer.
        dataset: One scene.
        folder: The current one, where the export is written.
    """
    import torch

    image = np.asarray(Image.open(dataset.scenes[0].image))
    image = image[: image.shape[0] // SIDE * SIDE, : image.shape[1] // SIDE * SIDE]
    patches = image.reshape(-1, SIDE, image.shape[1] // SIDE, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    values = torch.from_numpy(((patches / 255 - MEAN) / DEVIATION).astype(np.float32).transpose(0, 3, 1, 2))
    with torch.no_grad():
        bias -= model.eval()(values).mean((0, 2, 3))  # so that no class covers it all
        theirs = model(values).argmax(1).numpy()
    assert (np.bincount(theirs.ravel(), minlength=6) > 0.01 * theirs.size).all()

    with pytest.warns(DeprecationWarning):  # of dynamo=False
        run_lines(EXPORT, folder / "export.py", model)
    settings = read_settings(["scale=imagenet", "order=rgb"])
    run = add_model(folder / "runs" / "run", folder / "model.onnx", dataset, settings, tell=len)
    adapter = read_adapter(run.model)
    assert (adapter.layout, adapter.height, adapter.output) == ("nchw", 0, "logits")
    ours = np.concatenate(list(Predictor(run.model).batches(patches))).argmax(-1)
    assert (ours == theirs).mean() >= 0.999
    scene = Predictor(run.model).scene_classes(image)
    assert (scene.reshape(-1, SIDE, image.shape[1] // SIDE, SIDE).swapaxes(1, 2).reshape(ours.shape) == ours).all()


@pytest.fixture(autouse=True)
def repeatable(libraries: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same random weights every time, and a folder of the test's own for what the lines write."""
    import torch

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)


def test_a_unet_of_segmentation_models_pytorch(libraries: tuple[Any, Any], one_scene: Dataset, tmp_path: Path) -> None:
    smp, _ = libraries
    network = smp.Unet("resnet18", encoder_weights=None, classes=6)
    check_same_classes(network, network.segmentation_head[0].bias, one_scene, tmp_path)


def test_a_network_of_torchvision(libraries: tuple[Any, Any], one_scene: Dataset, tmp_path: Path) -> None:
    _, torchvision = libraries
    make = torchvision.models.segmentation.lraspp_mobilenet_v3_large
    network = make(weights=None, weights_backbone=None, num_classes=6)
    wrapped = run_lines(WRAP, tmp_path / "wrap.py", network)
    check_same_classes(wrapped, network.classifier.high_classifier.bias, one_scene, tmp_path)
