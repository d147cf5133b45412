"""The home page's view that adds a run: what it finds out, what can be changed, what it refuses and what it leaves."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import Dataset
from segmentation.evaluation.foreign import add_model
from segmentation.inference.foreign.adapter import read_adapter
from segmentation.runs.run import Run
from tests.brightness import THREE, TWO, write_convolution

Open = Callable[..., AppTest]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of the runs."""
    return tmp_path / "runs"


@pytest.fixture
def open_view(open_on: Open, sets: dict[str, Dataset], runs: Path) -> Callable[[], AppTest]:
    """A function that opens the view on the set of three classes."""
    return partial(open_on, sets[THREE], runs, view="add-run")


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def masks(dataset: Dataset, folder: Path) -> Path:
    """Write a data set's masks as predictions, all but the last."""
    folder.mkdir()
    for scene in dataset.scenes[:-1]:
        shutil.copy(scene.mask, folder)
    return folder


def name(at: AppTest, run: str, path: object = "") -> AppTest:
    at.text_input(key="add-name").set_value(run)
    return at.text_input(key="add-path").set_value(str(path)).run()


def control(at: AppTest, label: str) -> object:
    return next(widget for widget in [*at.selectbox, *at.number_input, *at.text_input] if widget.label == label)


def add(at: AppTest) -> AppTest:
    next(button for button in at.button if button.label == "Add this run").click().run()
    assert not at.exception
    return at


def text(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info]).replace("\\", "")


def right(at: AppTest) -> list[float]:
    """What share of the pixels is said to be right, by sample, in per cent."""
    said = [
        caption.value.split(" · ")[1] for caption in at.caption if "of the labelled pixels are right" in caption.value
    ]
    return [float(sentence.split(" ")[0]) for sentence in said]


def test_the_view_is_reached_from_home_and_says_what_it_needs(open_on: Open, sets: dict, runs: Path) -> None:
    home = open_on(sets[THREE], runs)
    links = [link for link in home.get("page_link") if link.proto.label == "Add a run"]
    assert [("view=add-run" in link.proto.query_string) for link in links] == [True]
    at = open_on(sets[THREE], runs, view="add-run")
    assert "Name a model's file, or a folder of predictions" in text(at)
    assert "Models are not uploaded, since their files may run code" in text(at)
    assert [button.label for button in at.button] == []
    assert all(widget.help for widget in [*at.text_input, *at.get("file_uploader")])


def test_without_labelled_scenes_it_says_so(open_on: Open, sets: dict, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    class Empty:
        root = tmp_path / "empty"

    at = open_on(Empty, runs, view="add-run")
    assert "A run is scored on labelled scenes, and none are in use" in text(at)
    assert len(at.text_input) == 0


def test_a_saved_model_is_left_to_the_command_line(open_view: Callable[[], AppTest], tmp_path: Path) -> None:
    folder = tmp_path / "a saved model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    at = name(open_view(), "mine", folder)
    assert f"`python -m segmentation add mine --model '{folder}'`" in text(at)
    assert [button.label for button in at.button] == []


@pytest.mark.parametrize("file", ["smp.onnx", "fixed256.onnx", "nhwc-uint8.onnx", "classes.onnx"])
def test_a_model_is_added_as_the_command_adds_it(
    open_view: Callable[[], AppTest], models: Path, sets: dict[str, Dataset], runs: Path, tmp_path: Path, file: str
) -> None:
    said: list[str] = []
    expected = add_model(tmp_path / "expected", models / file, sets[THREE], tell=said.append)
    at = name(open_view(), "mine", models / file)
    assert [sentence for sentence in said if sentence not in text(at)] == []
    assert min(right(at)) > 98
    assert len(right(at)) == min(5, len(expected.patches))
    assert all(
        widget.help for widget in [*at.selectbox, *at.number_input, *at.text_input, *at.button] if widget.key != "run"
    )
    add(at)
    run = Run(runs / "mine")
    assert read_adapter(run.model) == read_adapter(expected.model)
    assert run.metrics.confusion_matrix == expected.metrics.confusion_matrix
    assert run.fingerprint == expected.fingerprint
    assert at.selectbox(key="run").value == "mine"
    assert "view" not in at.query_params
    assert "Its worst patches" in [link.proto.label for link in at.get("page_link")]
    assert {path.name for path in runs.iterdir()} == {"log", "mine"}


def test_what_is_said_of_the_adapter_changes_what_is_predicted_and_added(
    open_view: Callable[[], AppTest], models: Path, runs: Path
) -> None:
    at = name(open_view(), "mine", models / "smp.onnx")
    assert min(right(at)) > 98
    control(at, "Scale").set_value("0-255").run()
    wrong = right(at)
    assert max(wrong) < 90
    control(at, "Scale").set_value("imagenet")
    control(at, "Channel order").set_value("bgr").run()
    assert "BGR, as given" in text(at)
    control(at, "Classes of the model").set_value("light, middle, dark").run()
    assert max(right(at)) < 60  # the classes turned round
    control(at, "Classes of the model").set_value("")
    control(at, "Channel order").set_value(None)
    control(at, "Scale").set_value("0-255").run()
    assert right(at) == wrong
    add(at)
    adapter = read_adapter(Run(runs / "mine").model)
    assert (adapter.scale, adapter.mean) == ("0-255", ())
    assert Run(runs / "mine").metrics.accuracy < 0.5


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("Mean", "0.5, 0.5", "Expected mean of 3 numbers"),
        ("Mean", "half", "Expected mean as in mean=0.5,0.5,0.5"),
        ("Deviation", "0, 0, 0", "Expected deviations above 0"),
        ("Height, px", 64, "Expected height and width, or neither"),
        (
            "Classes of the model",
            "a, b, c",
            "none of its classes a, b, c is one of the data set's: dark, middle, light",
        ),
        ("Classes of the model", "dark, light", "no map of the 2 classes dark, light: name its own classes"),
        ("Patch size, px", 1024, "choose a smaller patch size"),
    ],
)
def test_what_the_adapter_cannot_be_is_one_sentence_and_can_be_corrected(
    open_view: Callable[[], AppTest], tmp_path: Path, label: str, value: object, sentence: str
) -> None:
    at = name(open_view(), "mine", write_convolution(tmp_path / "good.onnx"))
    before = control(at, label).value
    control(at, label).set_value(value).run()
    (error,) = at.error
    assert sentence in error.value.replace("\\", "")
    assert "Add this run" not in [button.label for button in at.button]
    control(at, label).set_value(before).run()
    assert (list(at.error), min(right(at)) > 98) == ([], True)


def test_what_cannot_be_added_is_one_sentence(
    open_view: Callable[[], AppTest], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write_convolution(tmp_path / "good.onnx")
    (tmp_path / "torch.pt").write_bytes(b"PK")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "none").mkdir()
    (tmp_path / "link.onnx").symlink_to("/etc/passwd")
    at = open_view()
    for run, path, sentence in (
        ("mine", tmp_path / "torch.pt", "torch.pt cannot be used as a model: it is PyTorch's"),
        ("mine", tmp_path / "broken.onnx", "broken.onnx cannot be used as a model: it is no ONNX file"),
        ("mine", tmp_path / "missing.onnx", "missing.onnx: check the path"),
        ("mine", tmp_path / "none", "No file in none is called as a scene of"),
        ("mine", tmp_path / "link.onnx", "does not lie in a folder that pages may read, or leads out of it"),
        ("mine", "/etc/passwd", "does not lie in a folder that pages may read, or leads out of it"),
        ("mine", tmp_path / ".." / ".." / ".." / "..", "does not lie in a folder that pages may read"),
        ("../mine", good, "cannot be a run's name"),
        ("log", good, "The folder log is not for a run"),
    ):
        name(at, run, path)
        (error,) = at.error
        assert sentence in error.value.replace("\\", ""), path
        assert "Add this run" not in [button.label for button in at.button]
    for run, sentence in (
        ("demo-unet", "There is a run demo-unet already: choose another name."),
        ("", "Give the run"),
    ):
        name(at, run, good)
        assert sentence in text(at)
        assert [button.disabled for button in at.button if button.label == "Add this run"] == [True]


def test_a_model_of_another_number_of_classes_is_one_sentence(
    open_on: Open, sets: dict[str, Dataset], runs: Path, tmp_path: Path
) -> None:
    at = name(open_on(sets[TWO], runs, view="add-run"), "mine", write_convolution(tmp_path / "three.onnx"))
    assert "three.onnx cannot be used as a model" in at.error[0].value
    assert "no map of the 2 classes dark, light: name its own classes" in at.error[0].value
    control(at, "Classes of the model").set_value("dark, grey, light").run()
    assert not at.error  # of what it calls grey the data set says nothing
    add(at)
    assert Run(runs / "mine").palette.names == ("dark", "grey", "light")


def test_predictions_of_a_folder_are_shown_and_added_under_a_protocol(
    open_view: Callable[[], AppTest], sets: dict[str, Dataset], runs: Path, tmp_path: Path
) -> None:
    folder = masks(sets[THREE], tmp_path / "predictions")
    Image.fromarray(2 - np.asarray(Image.open(folder / "0.png"))).save(folder / "0.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "stranger.png")
    at = name(open_view(), "mine", folder)
    assert "2 of 3 scenes have a prediction" in text(at)
    assert "2 predictions are read as the values of the data set's masks" in text(at)
    assert "1 files fit no scene, or several: stranger.png" in text(at)
    shown = right(at)
    assert (len(shown), shown[1]) == (2, 100)
    truth = np.asarray(Image.open(sets[THREE].scenes[0].mask))
    assert shown[0] == pytest.approx(100 * (truth == 1).mean(), abs=2)
    control(at, "Protocol").set_value("tile").run()
    assert control(at, "Tile held out").value == sets[THREE].tiles[0]
    control(at, "Protocol").set_value("scene").run()
    control(at, "Patch size, px").set_value(32).run()
    add(at)
    run = Run(runs / "mine")
    assert (run.protocol, run.patch_size, run.status.state) == ("scene", 32, "finished")
    assert len(run.metrics.dataset.skipped) == 1
    assert {path.name for path in runs.iterdir()} == {"log", "mine"}


def test_predictions_that_fit_nowhere_are_said_and_leave_nothing(
    open_view: Callable[[], AppTest], sets: dict[str, Dataset], runs: Path, tmp_path: Path
) -> None:
    folder = masks(sets[THREE], tmp_path / "predictions")
    for file in folder.iterdir():
        Image.fromarray(np.zeros((7, 5), np.uint8)).save(file)
    at = name(open_view(), "mine", folder)
    assert ["has 5 × 7 pixels" in error.value for error in at.error] == [True, True]
    add(at)
    assert "No prediction in predictions can be used; the first: 0.png has 5 × 7 pixels" in at.error[0].value.replace(
        "\\", ""
    )
    assert "Cancel" not in [button.label for button in at.button]
    assert {path.name for path in runs.iterdir()} == {"log"}


def upload(at: AppTest, content: bytes) -> AppTest:
    return at.file_uploader(key="add-upload").upload("theirs.zip", content, "application/zip").run()


def test_a_zip_of_predictions_is_added_and_its_folder_goes(
    open_view: Callable[[], AppTest], sets: dict[str, Dataset], runs: Path, uploads: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for scene in sets[THREE].scenes:
            archive.write(scene.mask, f"predictions/{scene.mask.name}")
    at = upload(name(open_view(), "mine"), packed.getvalue())
    assert "3 of 3 scenes have a prediction" in text(at)
    assert right(at) == [100, 100, 100]
    assert len(list(uploads.rglob("*.png"))) == 3
    add(at)
    assert Run(runs / "mine").metrics.accuracy == 1
    assert list(uploads.rglob("*.png")) == []


def test_a_hostile_zip_is_one_sentence(open_view: Callable[[], AppTest], uploads: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("0.png", b"x")
        archive.writestr("../../1.png", b"x")
    at = upload(name(open_view(), "mine"), packed.getvalue())
    (error,) = at.error
    assert error.value.replace("\\", "") == "theirs.zip cannot be unpacked: ../../1.png would lie outside its folder."
    assert list(uploads.rglob("*.png")) == []
    assert "Add this run" not in [button.label for button in at.button]
