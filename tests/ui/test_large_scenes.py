"""A scene of a hundred megapixels is browsed, explored and cut for training within a gigabyte beyond the imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI

SIDE = 10_000
GIGABYTE = 1 << 20
"""In kilobytes, as the kernel counts."""

SCRIPT = """
import json, re, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest

def memory(kind):
    return int(re.search(rf"{kind}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def opened(page, **query):
    at = AppTest.from_file("app.py", default_timeout=300).switch_page(page)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception and not at.error, (at.exception, at.error)
    return at

page, runs, query = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
import os
small, large = os.environ["SMALL"], os.environ["LARGE"]
os.environ["SEGMENTATION_DATA"] = small  # what is imported and kept for any data set
opened(page, **query)
os.environ["SEGMENTATION_DATA"] = large
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
at = opened(page, **query)
print(json.dumps({"kilobytes": memory("VmHWM") - before, "buttons": [button.key for button in at.button]}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A data set of one small scene, and one of one large scene."""
    found = {}
    for name, side in (("SMALL", 400), ("LARGE", SIDE)):
        root = tmp_path_factory.mktemp(name)
        for kind in ("images", "masks"):
            (root / kind).mkdir()
        row = np.arange(side, dtype=np.uint32)
        grey = ((row[:, None] // 7 + row // 5) % 200).astype(np.uint8)
        Image.merge("RGB", [Image.fromarray(grey)] * 3).save(root / "images" / "city.jpg", quality=70)
        mask = Image.fromarray(((row[:, None] // 900 + row // 700) % 6).astype(np.uint8))
        mask.putpalette(np.array(DUBAI.colors, np.uint8).tobytes())
        mask.save(root / "masks" / "city.png", compress_level=1)
        found[name] = str(root)
    return found


@pytest.mark.parametrize(
    ("page", "query", "offered"),
    [
        ("pages/1_Dataset_browser.py", {"view": "One scene"}, None),
        ("pages/3_Prediction_explorer.py", {"run": "dubai-unet"}, "predict-scene"),
    ],
    ids=["browser", "explorer"],
)
def test_a_scene_of_a_hundred_megapixels_takes_less_than_a_gigabyte(
    folders: dict[str, str], tmp_path: Path, page: str, query: dict, offered: str | None
) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the most memory of a process can be seen on Linux only")
    environment = {"SEGMENTATION_RUNS": str(tmp_path), "SEGMENTATION_ALLOWED": str(Path(folders["SMALL"]).parent)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, page, str(tmp_path), json.dumps(query)],
        cwd=PROJECT,
        env={**os.environ, **folders, **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["kilobytes"] < GIGABYTE
    assert offered is None or offered in told["buttons"]


PREPARED = """
import json, os
from pathlib import Path
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset
from tests.memory import memory, reset_peak

load_patches(find_dataset(Path(os.environ["SMALL"])))
before = reset_peak()
patches = load_patches(find_dataset(Path(os.environ["LARGE"])))
print(json.dumps({"kilobytes": 1024 * (memory("VmHWM") - before), "patches": len(patches.masks)}))
"""


def test_it_is_prepared_for_training_and_scoring_within_a_gigabyte(folders: dict[str, str]) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the most memory of a process can be seen on Linux only")
    command = [sys.executable, "-c", PREPARED]
    run = subprocess.run(command, cwd=PROJECT, env={**os.environ, **folders}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["patches"] == (SIDE // 160) ** 2
    assert told["kilobytes"] < GIGABYTE
