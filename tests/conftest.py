"""Fixtures shared by the tests: a small labelled data set on disk, the real one, and one short training."""

import gc
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from segmentation.configuration import Configuration
from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.runs.run import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# The same examples every time, on machines of any speed.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")

REAL = (
    PROJECT / "data" / "Semantic segmentation dataset",
    PROJECT.parent / "shared" / "data" / "Semantic segmentation dataset",
)

LAYOUTS = PROJECT.parent / "shared" / "cases" / "layouts.py"
"""The script that makes data sets in many layouts."""

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))
"""The article's mask colours, written out a second time so that a slip in the package shows."""

SIZES = {("Tile 1", 1): (65, 97), ("Tile 1", 2): (66, 97), ("Tile 2", 1): (65, 129), ("Tile 2", 2): (65, 128)}
"""(height, width) of every scene of the small data set: 6, 6, 8 and 8 patches of 32 px."""

SLOW = (
    *("corpus/test_maps.py", "ui/test_pages.py", "training/test_fit.py", "training/test_backends.py"),
    *("test_command_line.py", "evaluation/test_shipped.py", "test_add_model.py", "browser", "corpus", "training", "ui"),
    *("test_house.py", "evaluation/test_recorded.py", "inference/test_saved_model.py", "inference/test_workers.py"),
    *("inference/test_predictor.py", "inference/test_engine.py", "inference/test_export.py", "inference/test_maps.py"),
    *("inference/test_batch.py", "inference/test_exported.py", "test_package.py", "test_backend.py", "model"),
    *("evaluation/test_on_workers.py", "evaluation/test_elsewhere.py", "inference/test_foreign.py"),
    *("inference/test_onnx_file.py", "inference/test_onnx_graph.py", "runs/logs/test_tensorboard.py"),
    *("data/test_packed.py", "data/test_demo.py", "data/test_raster.py", "data/test_health.py"),
)
"""Folders and files of tests that take seconds each or import TensorFlow, the longest first.

So does whatever needs a trained run.
"""

Writer = Callable[[Path], Path]


class Trained(NamedTuple):
    """A finished run and what it was made from."""

    run: Run
    dataset: Dataset
    configuration: Configuration


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a folder be named for the browser tests' screenshots."""
    parser.addoption("--screenshots", help="folder for screenshots of every page; the README's are docs/screenshots")


@cache
def place(path: Path) -> int:
    """Return where a file stands among what is slow, or `len(SLOW)` if it is not."""
    below = path.relative_to(Path(__file__).parent)
    return next((place for place, name in enumerate(SLOW) if below.is_relative_to(name)), len(SLOW))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files that are slow as a whole where that is not asked for: to import them takes longest."""
    return True if config.getoption("markexpr") == "not slow" and place(collection_path) < len(SLOW) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, so that the rest can be run alone, and begin with it: the last file must not be a long one."""
    for item in items:
        if "trained" in item.fixturenames or place(item.path) < len(SLOW):
            item.add_marker("slow")
    items.sort(key=lambda item: place(item.path))


def keep_out_of_collections() -> None:
    """Have garbage collections pass over what is here by now, and stays: modules, tests, a backend's tables.

    Streamlit collects all garbage at each end of each run of a page, and Keras whenever Streamlit has it forget: of the
    time that a page takes here, that would be the most.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Begin with what all test modules import."""
    keep_out_of_collections()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the files that took longest, where the slowest tests are asked for, too."""
    if not (longest := config.getoption("durations")):
        return
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section("slowest files")
    for file, duration in seconds.most_common(longest):
        terminalreporter.line(f"{duration:.0f} s {file}")


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: the folder that was asked for, or one that pytest forgets."""
    asked = request.config.getoption("--screenshots")
    folder = Path(asked) if asked else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def write_dataset() -> Writer:
    """A function that writes a data set of two tiles with two scenes each into a folder, and returns the folder.

    It has the real set's quirks: sizes that differ by a pixel, JPEG images, masks with a colour table of their own
    (tile 2), and pixels of no class (scenes 1/001 and 2/002). Images are lighter where the class index is higher.
    """

    def write(root: Path) -> Path:
        rng = np.random.default_rng(7)
        for (tile, part), (height, width) in SIZES.items():
            blocks = rng.integers(0, len(COLORS), (-(-height // 16), -(-width // 16)), dtype=np.uint8)
            classes = np.kron(blocks, np.ones((16, 16), np.uint8))[:height, :width]
            if (tile, part) == ("Tile 1", 1):
                classes[3:13, 5:40] = len(COLORS)
            if (tile, part) == ("Tile 2", 2):
                classes[40:50, 60:100] = len(COLORS)
            shade = 20 + 35 * classes[..., None] + rng.integers(0, 20, (height, width, 3), dtype=np.uint8)
            for folder in ("images", "masks"):
                (root / tile / folder).mkdir(parents=True, exist_ok=True)
            name = f"image_part_{part:03d}"
            image = Image.fromarray(shade.astype(np.uint8))
            image.save(root / tile / "images" / f"{name}{'.jpg' if tile == 'Tile 1' else '.png'}", quality=95)
            colors = np.array([*COLORS, (0, 0, 0)], np.uint8)
            if tile == "Tile 1":
                mask = Image.fromarray(colors[classes])
            else:  # a colour table in another order than the classes
                mask = Image.fromarray(6 - classes)
                mask.putpalette(colors[::-1].tobytes())
            mask.save(root / tile / "masks" / f"{name}.png")
        return root

    return write


@pytest.fixture(scope="session")
def small_dataset(write_dataset: Writer, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small data set, once a session; not to be changed."""
    return find_dataset(write_dataset(tmp_path_factory.mktemp("data") / "small"))


@pytest.fixture(scope="session")
def bfloat16() -> None:
    """Skip where the processor does not compute in bfloat16."""
    from segmentation.inference.engine import openvino_core

    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("This machine's processor does not compute in bfloat16.")


def _mount(folder: Path, options: str) -> Iterator[Path]:
    """Lay a file system in memory over a folder, as only root may, while a test runs."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of two megabytes of its own."""
    yield from _mount(tmp_path / "small disk", "size=2m")


@pytest.fixture
def fill() -> Callable[[Path], None]:
    """A function that leaves no room on a folder's disk."""

    def fill_(folder: Path) -> None:
        with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))

    return fill_


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody may write, not even root."""
    yield from _mount(tmp_path / "read only", "size=4k,ro")


@pytest.fixture(scope="session")
def real_dataset() -> Dataset:
    """The 72 Dubai scenes, downloaded to data/ or laid beside the project."""
    for folder in REAL:
        if folder.is_dir():
            return find_dataset(folder)
    # Where the tests guard the project they may not pass by leaving out what counts most.
    outcome = pytest.fail if os.environ.get("CI") else pytest.skip
    return outcome("the real data set is not here: python -m segmentation download")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models that people bring."""
    from tests.brightness import make_models

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """A data set of three classes by brightness, and one of two."""
    from tests.brightness import THREE, TWO, write_set

    root = tmp_path_factory.mktemp("sets")
    return {names: write_set(root / str(number), names) for number, names in enumerate((THREE, TWO))}


@pytest.fixture(scope="session")
def real_counts(real_dataset: Dataset) -> dict[str, np.ndarray]:
    """Pixels of every mask of the real set by scene name: six classes, then black, then any other colour."""
    keys = [red << 16 | green << 8 | blue for red, green, blue in [*COLORS, (0, 0, 0)]]
    counts = {}
    for scene in real_dataset.scenes:
        with Image.open(scene.mask) as mask:
            channels = np.asarray(mask.convert("RGB")).astype(np.int32)
        code = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
        of_color = [np.count_nonzero(code == key) for key in keys]
        counts[scene.name] = np.array([*of_color, code.size - sum(of_color)])
    return counts


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data sets in many layouts, cut from the real one, and what is right about each."""
    if not LAYOUTS.is_file():
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        return outcome("the script that makes the layouts is not here")
    folder = tmp_path_factory.mktemp("layouts")
    subprocess.run([sys.executable, LAYOUTS, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def four_bands(layouts: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four scenes of four bands of 16 bits, all of which are chosen; not to be changed."""
    root = shutil.copytree(layouts / "nir-16bit", tmp_path_factory.mktemp("bands") / "Near infrared")
    (root / "dataset.toml").write_text("bands = [1, 2, 3, 4]\n")
    return find_dataset(root)


@pytest.fixture(scope="session")
def trained(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of the article's network under the scene protocol, trained for two epochs; not to be changed."""
    from segmentation.training.fit import train

    configuration = Configuration(patch_size=32, protocol="scene", epochs=2, batch_size=4)
    run = train(small_dataset, configuration, tmp_path_factory.mktemp("runs") / "tiny", verbose=0)
    keep_out_of_collections()  # what TensorFlow loads when it computes
    return Trained(run, small_dataset, configuration)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip installs it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, PROJECT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An environment that has the wheel alone, and what it needs from this one; its user's folder is empty."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "empty").mkdir()
    return folder, {**os.environ, "XDG_DATA_HOME": str(folder / "user"), "HOME": str(folder / "user")}
