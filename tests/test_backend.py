"""Which backend Keras computes with, and one sentence where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.backend import installed_backends
from segmentation.data.locate import PROJECT


def load(backend: str, *missing: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Load a backend in a process of its own, where some packages are broken."""
    for package in missing:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("raise ImportError('it is broken.')")
    code = """
from segmentation.backend import load_backend
from segmentation.errors import BackendError
try:
    print(load_backend())
except BackendError as error:
    print(error)
"""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)


def test_a_backend_that_is_broken_is_one_sentence_that_names_others(tmp_path: Path) -> None:
    said = load("jax", "jax", folder=tmp_path).stdout
    assert said.startswith("JAX cannot be loaded (it is broken): pip install jax; or set KERAS_BACKEND=tensorflow")
    assert said.count("\n") == 1


def test_a_backend_that_cannot_train_is_refused(tmp_path: Path) -> None:
    said = load("numpy", folder=tmp_path).stdout
    assert said == "KERAS_BACKEND is 'numpy': set it to tensorflow, jax, torch, or leave it out.\n"


def test_no_backend_named_is_tensorflow(tmp_path: Path) -> None:
    said = load("", "tensorflow", folder=tmp_path).stdout
    assert said.startswith("TensorFlow cannot be loaded (it is broken): install it anew with pip install -r")


def test_what_is_installed_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("jax", "torch"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert installed_backends() == ["tensorflow", "jax", "torch"]
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert installed_backends() == ["torch", "tensorflow", "jax"]
