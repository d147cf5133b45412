"""Reader of PyTorch's old ``.pth`` weight files, without PyTorch and without executing anything from the file.

Such a file is a row of pickles (a magic number, a protocol number, system information, a dictionary of tensors that
point into storages, the storages' keys) and then, storage by storage, its length and its raw values. It is read here
since PyTorch itself is no requirement, and libraries that do without it know only its later zip files.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmentation.errors import RunError

MAGIC = 0x1950A86A20F9469CFC6C

STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    """A view of a storage: its key, and where in it the tensor lies, in elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the four names such a file needs, as plain data, and refuses every other."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, identity: tuple) -> str:
        _, dtype, key, *_ = identity
        self.dtypes = {**getattr(self, "dtypes", {}), key: dtype}
        return key


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a ``.pth`` file in PyTorch's old format, by name.

    Args:
        path: The file.

    Raises:
        RunError: If the file is not of that format, is damaged, or names anything but tensors.
    """
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != MAGIC:
                raise ValueError("no magic number")
            for _ in ("protocol", "system information"):
                _Unpickler(file).load()
            unpickler = _Unpickler(file)
            tensors = unpickler.load()
            storages = {}
            for key in _Unpickler(file).load():
                count = int(np.frombuffer(file.read(8), "<i8")[0])
                dtype = unpickler.dtypes[key]
                storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
            return {name: _view(storages[tensor.storage], tensor) for name, tensor in tensors.items()}
    # A pickle of unknown origin makes the unpickler raise almost anything: to the user all mean the same.
    except Exception as error:
        raise RunError(f"{path.name} is no readable file of PyTorch weights: install its package again.") from error


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """Return a tensor's values; refuse one that reaches beyond its storage."""
    reach = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min(tensor.shape, default=1) < 1 or min(tensor.strides, default=0) < 0:
        raise ValueError("a tensor has no elements")
    if reach >= len(storage):
        raise ValueError("a tensor is longer than its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False).copy()
