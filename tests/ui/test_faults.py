"""What goes wrong under a page's feet: one sentence, never a traceback, and the rest of the page goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.inference.predictor import Predictor
from segmentation.model.unet import unet
from segmentation.runs.run import Run

Open = Callable[..., AppTest]

VIEWS = [
    ("home", {}),
    *[("browser", {"view": view}) for view in ("Scenes", "Patches", "One scene", "Health")],
    ("monitor", {}),
    ("explorer", {"scene": "tile-1/image_part_001"}),
    ("explorer", {"source": "Random patches"}),
    *[("gallery", {"view": view}) for view in ("Ranking", "Suspect labels")],
]


@pytest.fixture
def copied(trained: object, tmp_path: Path) -> tuple[Dataset, Run]:
    """The small data set and its run, to be broken."""
    dataset = find_dataset(shutil.copytree(trained.dataset.root, tmp_path / "small"))
    return dataset, Run(shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny"))


@pytest.mark.parametrize(("page", "query"), VIEWS, ids=str)
def test_a_data_set_may_vanish_while_it_is_looked_at(
    open_on: Open, copied: tuple[Dataset, Run], page: str, query: dict[str, str]
) -> None:
    """First one scene, then its mask's folder, then all."""
    dataset, run = copied
    at = open_on(dataset, run.folder.parent, page, **query)
    assert not at.exception
    dataset.scenes[0].image.unlink()
    assert not at.run().exception
    shutil.rmtree(dataset.scenes[0].mask.parent)
    assert not at.run().exception
    shutil.rmtree(dataset.root)
    at.run()
    assert not at.exception
    assert "There is no folder" in at.warning[0].value


def test_scenes_of_another_data_set_with_the_same_names_are_not_called_trained_on(
    open_on: Open, copied: tuple[Dataset, Run]
) -> None:
    dataset, run = copied
    views = [("explorer", {"source": "Random patches"}), ("gallery", {})]
    remark = "trained and evaluated on other files, perhaps of another data set"

    def captions() -> str:
        at = open_on(dataset, run.folder.parent, "explorer", scene="tile-1/image_part_001")
        return " ".join(caption.value for caption in at.caption)

    assert remark not in captions()
    assert not any(open_on(dataset, run.folder.parent, page, **query).warning for page, query in views)
    shutil.copy(dataset.scenes[2].image, dataset.scenes[3].image)
    assert remark in captions()
    for page, query in views:
        (warning,) = open_on(dataset, run.folder.parent, page, **query).warning
        assert "tiny was evaluated on other files than these" in warning.value


def test_random_patches_have_the_scores_of_their_pictures(open_on: Open, copied: tuple[Dataset, Run]) -> None:
    dataset, run = copied
    held_out = dataset.scenes[1]
    with Image.open(held_out.image) as image:
        upside_down = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    upside_down.save(held_out.image)  # the run's own table is of another picture
    at = open_on(dataset, run.folder.parent, "explorer", source="Random patches", n="24")
    names = [element.value.strip("`") for element in at.markdown if element.value.startswith("`")]
    said = [caption.value for caption in at.caption if caption.value.startswith("Mean IoU")]
    assert any(name.startswith(held_out.name) for name in names)
    predictor = Predictor(run.model)
    for name, caption in zip(names, said, strict=True):
        scene, place = name.rsplit("/", 1)
        image, truth = read_scene(next(s for s in dataset.scenes if s.name == scene), dataset.palette)
        row, column = (32 * int(number) for number in (place[1:3], place[4:6]))
        here = np.s_[row : row + 32, column : column + 32]
        predicted = predictor.scene(image[here]).classes
        labelled = truth[here] != 255
        true, guess = truth[here][labelled], predicted[labelled]
        ious = [
            ((true == index) & (guess == index)).sum() / ((true == index) | (guess == index)).sum()
            for index in set(true) | set(guess)
        ]
        classes = f"{len(ious)} classes" if len(ious) > 1 else "1 class"
        assert caption == f"Mean IoU {np.mean(ious):.3f} of {classes} · accuracy {(true == guess).mean():.3f}"


@pytest.mark.parametrize("page", ["explorer", "gallery"])
@pytest.mark.parametrize(("size", "classes"), [(32, 3), (32, 9), (16, 6)])
def test_a_model_that_is_not_the_runs_is_named_once(
    open_on: Open, copied: tuple[Dataset, Run], page: str, size: int, classes: int
) -> None:
    dataset, run = copied
    unet(size, classes, filters=(2,), bottleneck=2).save(run.model)
    at = open_on(dataset, run.folder.parent, page)
    assert not at.exception
    (error,) = at.error
    assert f"has {classes} classes and patches of {size} px, its config" in error.value


def change(content: dict, path: str, value: object) -> None:
    """Put a value where a path such as ``dataset.name`` leads."""
    *parents, last = path.split(".")
    for parent in parents:
        content = content[parent]
    content[last] = value


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("config.json", "configuration.epochs"),
        ("config.json", "configuration.seed"),
        ("config.json", "dataset.name"),
        ("config.json", "dataset.fingerprint"),
        ("config.json", "palette.classes"),
        ("config.json", "architecture"),
        ("config.json", "architecture.skips"),
        ("config.json", "versions"),
        ("metrics.json", "calibration"),
        ("metrics.json", "calibration_error"),
        ("status.json", "reason"),
        ("status.json", "state"),
    ],
)
@pytest.mark.parametrize("value", ["another", 1e300, [[1]]], ids=str)
def test_a_run_of_another_version_breaks_no_page(
    open_on: Open, pages: Mapping[str, str], copied: tuple[Dataset, Run], file: str, path: str, value: object
) -> None:
    dataset, run = copied
    content = json.loads((run.folder / file).read_text())
    change(content, path, value)
    (run.folder / file).write_text(json.dumps(content))
    run.model.unlink()  # nothing here needs it
    for page in pages:
        assert not open_on(dataset, run.folder.parent, page, run="tiny").exception, page


BROKEN_TENSORFLOW = """
import json
import sys
from streamlit.testing.v1 import AppTest

errors = []
for page in sys.argv[2:]:
    at = AppTest.from_file(sys.argv[1] + "/app.py", default_timeout=120)
    at = (at.switch_page(sys.argv[1] + "/" + page) if page != "app.py" else at).run()
    assert not at.exception, at.exception
    errors.append([error.value for error in at.error])
print(json.dumps(errors))
"""


@pytest.mark.parametrize("content", ["raise ImportError('libtensorflow.so is not here\\nand more')", "pass"])
def test_without_tensorflow_pages_predict_all_the_same(
    pages: Mapping[str, str], trained: object, tmp_path: Path, content: str
) -> None:
    """One that raises, and one of which nothing is left but its folder."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(content)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)]),
        "SEGMENTATION_DATA": str(trained.dataset.root),
        "SEGMENTATION_RUNS": str(trained.run.folder.parent),
    }
    command = [sys.executable, "-c", BROKEN_TENSORFLOW, str(PROJECT), *pages.values()]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [[]] * 5
