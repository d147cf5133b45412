"""PyTorch's old weight files are read as numbers, and nothing in them is executed."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import RunError
from segmentation.model.lite0_unet import WEIGHTS_FILE, WEIGHTS_PACKAGE
from segmentation.model.torch_file import read_torch_file


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(importlib.util.find_spec(WEIGHTS_PACKAGE).origin).parent / WEIGHTS_FILE


def test_every_tensor_of_the_pretrained_encoder_is_read(path: Path) -> None:
    tensors = read_torch_file(path)
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.bias"].shape == (1000,)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert sum(t.size for n, t in tensors.items() if n.endswith(("weight", "bias"))) == 4_652_008


def test_the_last_storage_holds_the_last_bytes(path: Path) -> None:
    content = path.read_bytes()
    stored = {tensor.tobytes() for tensor in read_torch_file(path).values()}
    assert any(content.endswith(values) for values in stored if values)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.5, 0.99])
def test_a_cut_file_is_refused(path: Path, tmp_path: Path, share: float) -> None:
    content = path.read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"cut\.pth is no readable file of PyTorch weights"):
        read_torch_file(cut)


class Hostile:
    """Unpickled by the standard library, this would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("place", range(5))
def test_a_file_that_wants_something_executed_is_refused(tmp_path: Path, place: int) -> None:
    target = tmp_path / "executed"
    parts: list[object] = [0x1950A86A20F9469CFC6C, 1001, {}, {}, []]
    parts[place] = Hostile(target)
    hostile = tmp_path / "hostile.pth"
    hostile.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(RunError):
        read_torch_file(hostile)
    assert not target.exists()
