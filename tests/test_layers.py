"""The house stands straight: no module imports one that lies above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.data.locate import PROJECT

LAYERS = (
    ("errors",),
    ("files", "tables", "log", "backend", "allocator"),
    ("data",),
    ("scores", "configuration"),
    ("intervals", "calibration", "thresholds"),
    ("model", "runs"),
    ("inference",),
    ("evaluation", "areas"),
    ("report",),
    ("training",),
    ("ui",),
    ("commands",),
    ("__main__",),
)
"""From the foundation up: the modules and packages in `segmentation`. Docs draw the same picture."""

FLOOR = {name: floor for floor, names in enumerate(LAYERS) for name in names}

PACKAGE = PROJECT / "segmentation"


def imported(path: Path) -> Iterator[str]:
    """The package's modules that a file imports anywhere in it, by the part of their name after ``segmentation``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "segmentation":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segmentation."):
            yield node.module.removeprefix("segmentation.")
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("segmentation.")
                for alias in node.names
                if alias.name.startswith("segmentation.")
            )


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_part_has_its_floor() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert parts == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_one_above_it(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    above = [name for name in imported(path) if FLOOR[name.split(".")[0]] > FLOOR[here]]
    assert above == []


@pytest.mark.parametrize("path", [PROJECT / "app.py", *sorted((PROJECT / "pages").glob("*.py"))], ids=lambda p: p.name)
def test_pages_call_the_parts_made_for_them(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} == {"ui"}
