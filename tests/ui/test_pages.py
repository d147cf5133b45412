"""Every page does its main job, driven through Streamlit's own test harness on a small data set and a real run."""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.configuration import Configuration, descriptions
from segmentation.data.images import png_bytes
from segmentation.data.locate import PROJECT
from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.inference.options import Inference
from segmentation.runs.run import Run
from segmentation.ui.monitor.curves import duration
from segmentation.ui.monitor.details import side_by_side
from segmentation.ui.monitor.logs import log_key

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")

Open = Callable[..., AppTest]


def texts(at: AppTest) -> str:
    """All the words of a page that are no widget."""
    kinds = (at.markdown, at.caption, at.info, at.warning, at.error, at.success)
    markdown = "\n".join(str(element.value) for kind in kinds for element in kind)
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


def metrics(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


@pytest.mark.parametrize("page", ["home", "browser", "monitor", "explorer", "gallery"])
def test_a_page_opens_without_an_exception(open_page: Open, page: str) -> None:
    at = open_page(page)
    assert not at.exception
    assert not at.error
    assert at.title


def test_home_tells_the_size_of_the_data_set_and_the_scores_of_the_run(open_page: Open, trained: object) -> None:
    shown = metrics(open_page())
    assert shown["Tiles"] == "2"
    assert shown["Scenes"] == "4"
    assert shown["Accuracy"] == f"{trained.run.metrics.accuracy:.3f}"
    assert shown["Epochs"] == "2"


def test_home_tells_the_health_in_one_line(open_page: Open) -> None:
    assert "Health: 4 of 4 scenes give no patch of 160 px: 4 × too small, 2 × void" in texts(open_page())


def test_home_counts_no_patch_of_a_scene_that_cannot_be_read_to_the_end(
    open_on: Open, trained: object, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("whole", "cut"):
        for kind, pixels in (("images", rng.integers(0, 256, (330, 330, 3))), ("masks", np.full((330, 330, 3), 155))):
            (tmp_path / "city" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "city" / kind / f"{name}.png")
    path = tmp_path / "city" / "images" / "cut.png"
    path.write_bytes(path.read_bytes()[:-5000])  # its header is whole
    at = open_on(find_dataset(tmp_path / "city"), trained.run.folder.parent)
    assert next(metric.value for metric in at.metric if metric.label == "Patches") == "4"
    assert "Health: 1 of 2 scenes give no patch of 160 px: 1 × unreadable" in texts(at)


@pytest.mark.parametrize("page", ["home", "monitor"])
def test_home_and_the_monitor_say_how_many_scenes_a_training_left_out(
    open_on: Open, trained: object, tmp_path: Path, page: str
) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny")
    config = json.loads((folder / "config.json").read_text())
    config["dataset"] |= {"scenes": 28, "skipped": [f"scene {number}: is too small" for number in range(18)]}
    (folder / "config.json").write_text(json.dumps(config))
    at = open_on(trained.dataset, tmp_path / "runs", page, run="tiny")
    assert "trained without 18 of 28 scenes" in texts(at)


def test_a_folder_without_scenes_is_refused_in_one_sentence(open_page: Open, tmp_path: Path) -> None:
    at = open_page()
    at.text_input[0].input(str(tmp_path))
    at.button[0].click().run()
    assert not at.exception
    assert "it holds no file. It needs an image and a mask for each scene" in at.error[0].value
    assert metrics(at)["Scenes"] == "4"


def test_a_folder_with_scenes_comes_into_use(open_page: Open, write_dataset: Callable, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "another city")
    at = open_page()
    at.text_input[0].input(str(folder))
    at.button[0].click().run()
    assert not at.exception
    assert at.selectbox(key="data").value == "another city"


def test_a_data_set_that_is_gone_leaves_a_sentence(
    open_on: Open, pages: Mapping[str, str], trained: object, tmp_path: Path
) -> None:
    gone = replace(trained.dataset, root=tmp_path / "gone")
    for page in pages:
        at = open_on(gone, trained.run.folder.parent, page)
        assert not at.exception
        assert "There is no folder" in at.warning[0].value


def test_no_page_imports_tensorflow_not_even_to_predict(pages: Mapping[str, str], trained: object) -> None:
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
for page in {[str(PROJECT / page) for page in pages.values()]}:
    at = AppTest.from_file({str(PROJECT / "app.py")!r}, default_timeout=120).switch_page(page).run()
    assert not at.exception
    assert not at.error
assert "segmentation.inference.predictor" in sys.modules
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
    environment = {
        **os.environ,
        "SEGMENTATION_DATA": str(trained.dataset.root),
        "SEGMENTATION_RUNS": str(trained.run.folder.parent),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_browser_counts_what_a_filter_leaves(open_page: Open) -> None:
    at = open_page("browser", tile="Tile 2")
    assert "**2** of 4 scenes" in texts(at)


def test_the_browser_filters_patches_by_the_share_of_a_class(open_page: Open, small_dataset: Dataset) -> None:
    at = open_page("browser", view="Patches", size="32", **{"class": "Water"}, share="30")
    expected = 0
    for scene in small_dataset.scenes:
        _, mask = read_scene(scene, small_dataset.palette)
        for row in range(mask.shape[0] // 32):
            for column in range(mask.shape[1] // 32):
                patch = mask[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                expected += (patch == 4).mean() >= 0.3
    assert f"**{expected}** of 28 patches" in texts(at)


def test_a_filter_that_nothing_passes_says_so(open_page: Open) -> None:
    at = open_page("browser", **{"class": "Water"}, share="100")
    assert "loosen the filters" in at.info[0].value


def test_the_browser_opens_one_scene_large(open_page: Open) -> None:
    at = open_page("browser")
    at.button(key="open-tile-2/image_part_001").click().run()
    assert not at.exception
    assert at.selectbox(key="scene").value == "tile-2/image_part_001"
    assert "129 × 65 px" in texts(at)


def test_the_browser_shows_the_health_report(open_page: Open) -> None:
    table = open_page("browser", view="Health").dataframe[0].value
    assert list(table["kind"]) == ["void", *["too small"] * 3, "void", "too small", *["palette file"] * 2]


def test_the_browser_shows_the_table_of_tiles(open_page: Open) -> None:
    table = open_page("browser", view="Class shares", size="32").dataframe[0].value
    assert list(table["patches"]) == [12, 16]
    assert list(table["height"]) == ["65–66", "65"]


def pictures_in_order(at: AppTest) -> list[str]:
    """The scenes in sight, by their buttons."""
    return [button.key.removeprefix("open-") for button in at.button if str(button.key).startswith("open-")]


def test_the_browser_sorts_scenes_by_the_share_of_a_class(open_page: Open, small_dataset: Dataset) -> None:
    masks = {scene.name: read_scene(scene, small_dataset.palette)[1] for scene in small_dataset.scenes}
    shares = {name: (mask == 2).mean() for name, mask in masks.items()}
    at = open_page("browser", sort="Share of Road")
    assert not at.exception
    assert pictures_in_order(at) == sorted(shares, key=shares.get, reverse=True)
    assert pictures_in_order(open_page("browser", sort="Share of Road", falling="false")) == sorted(
        shares, key=shares.get
    )


def test_the_browser_sorts_by_brightness(open_page: Open, small_dataset: Dataset) -> None:
    images = {scene.name: read_scene(scene, small_dataset.palette)[0] for scene in small_dataset.scenes}
    by_hand = sorted(images, key=lambda name: images[name].mean(), reverse=True)
    assert pictures_in_order(open_page("browser", sort="Brightness")) == by_hand


def test_the_browser_filters_scenes_by_a_health_finding(open_page: Open) -> None:
    at = open_page("browser", finding="void")
    assert pictures_in_order(at) == ["tile-1/image_part_001", "tile-2/image_part_002"]


@pytest.mark.parametrize(("part", "count"), [("Held out", 3), ("Validation", 3), ("Trained on", 22)])
def test_the_browser_filters_patches_by_part(open_page: Open, part: str, count: int) -> None:
    at = open_page("browser", view="Patches", size="32", split="patch", part=part)
    assert not at.exception
    assert f"**{count}** of 28 patches" in texts(at)


def test_a_page_holds_as_many_pictures_as_asked_for(open_page: Open) -> None:
    at = open_page("browser", view="Patches", size="32", **{"per-page": "18"})
    assert not at.exception
    assert len([link for link in at.get("page_link") if "r0" in link.proto.label]) == 18


def test_the_browser_says_what_cropping_drops_of_each_class(open_page: Open, small_dataset: Dataset) -> None:
    scene = small_dataset.scenes[0]
    _, mask = read_scene(scene, small_dataset.palette)
    kept = mask[: mask.shape[0] // 32 * 32, : mask.shape[1] // 32 * 32]
    at = open_page("browser", view="One scene", scene=scene.name, size="32")
    assert not at.exception
    for index, name in enumerate(small_dataset.palette.names):
        lost = 100 * (1 - (kept == index).sum() / (mask == index).sum())
        assert f"{name} {lost:.1f} %" in texts(at)


def test_a_tile_that_is_no_square_is_not_put_together(open_page: Open) -> None:
    at = open_page("browser", view="One tile")
    assert not at.exception
    assert "not numbered as parts of one square area" in at.info[0].value


def test_the_split_tells_how_different_the_parts_are_and_where_they_touch(
    open_page: Open, small_dataset: Dataset
) -> None:
    at = open_page("browser", view="Split", size="32")
    assert not at.exception
    table = load_patches(small_dataset, 32)
    order = np.random.RandomState(42).permutation(28)
    counts = [np.bincount(table.masks[part].ravel(), minlength=256)[:6] for part in (order[:3], order[6:])]
    distance = 0.5 * np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum()
    assert (metrics(at)["Held-out patches"], metrics(at)["Validation patches"]) == ("3", "3")
    assert metrics(at)["Class shares differ by"] == f"{100 * distance:.1f} %"
    assert metrics(at)["Touch a training patch"] == "3"
    assert (
        metrics(open_page("browser", view="Split", size="32", **{"split-shown": "scene"}))["Touch a training patch"]
        == "0"
    )


def test_the_monitor_shows_the_best_epoch(open_page: Open, trained: object) -> None:
    at = open_page("monitor")
    table = trained.run.history.table
    best = table.loc[table["val_accuracy"].idxmax()]
    assert f"best is epoch {int(best['epoch'])} by val_accuracy" in texts(at)
    assert metrics(at)["Accuracy, validation"] == f"{best['val_accuracy']:.3f}"


def test_the_monitor_reads_an_upload_and_says_what_it_mended(open_page: Open) -> None:
    log = b"epoch,loss,val_loss\n0,1.0,NA\nepoch,loss,val_loss\n1,0.5,0.4\n2,0.3"
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("old.csv", log, "text/csv").run()
    assert not at.exception
    words = texts(at)
    assert "old.csv: The header occurs 2 times" in words
    assert "still being written" in words
    at.session_state[f"details-{log_key('old.csv', log)}"] = True
    at.run()
    epochs = at.dataframe[-1].value
    assert list(epochs["epoch"]) == [0, 1]


def test_the_monitor_keeps_an_upload_over_a_change_of_page(open_page: Open, pages: Mapping[str, str]) -> None:
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("old.csv", b"epoch,loss\n0,1.0\n", "text/csv").run()
    at.switch_page(str(PROJECT / pages["browser"])).run()
    at.switch_page(str(PROJECT / pages["monitor"])).run()
    assert "**old.csv**: 1 epoch," in texts(at)


def test_the_monitor_refuses_what_is_no_log_and_keeps_the_rest(open_page: Open) -> None:
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("photo.csv", bytes(range(256)) * 20, "text/csv").run()
    assert not at.exception
    assert any("photo.csv" in error.value for error in at.error)
    assert "is finished" in texts(at)


def test_the_monitor_reads_a_path(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("epoch;loss\n0;2.5e-1\n1;2e-1\n")
    at = open_page("monitor")
    at.text_input(key="log-path").input(str(tmp_path / "mine.csv")).run()
    assert "**mine.csv**: 2 epochs, best is epoch 1" in texts(at)


def test_the_monitor_finds_the_logs_below_a_folder(open_page: Open, tmp_path: Path) -> None:
    for version, losses in (("version_0", "0,9,1.0,1.5\n"), ("version_1", "0,9,0.5,0.75\n1,19,0.25,0.5\n")):
        (tmp_path / "lightning_logs" / version).mkdir(parents=True)
        log = tmp_path / "lightning_logs" / version / "metrics.csv"
        log.write_text("epoch,step,train_loss,val_loss\n" + losses)
    at = open_page("monitor")
    at.text_input(key="log-path").input(str(tmp_path / "lightning_logs")).run()
    words = texts(at)
    assert "**version_0**: 1 epoch, best is epoch 0 by val_loss" in words
    assert "**version_1**: 2 epochs, best is epoch 1 by val_loss" in words
    assert "version_1: read as Lightning's metrics.csv, counted by epochs" in words


def test_cleared_uploads_stay_away(open_page: Open) -> None:
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("old.csv", b"epoch,loss\n0,1.0\n", "text/csv").run()
    assert "**old.csv**: 1 epoch" in texts(at)
    next(button for button in at.button if button.label == "Clear uploads").click().run()
    assert "**old.csv**" not in texts(at)
    at.run()
    assert "**old.csv**" not in texts(at)
    assert "Clear uploads" not in [button.label for button in at.button]
    at.file_uploader(key="logs-1").upload("new.csv", b"epoch,loss\n0,1.0\n", "text/csv").run()
    assert "**new.csv**: 1 epoch" in texts(at)
    assert "**old.csv**" not in texts(at)


def test_an_upload_that_is_taken_out_of_the_uploader_is_gone(open_page: Open) -> None:
    at = open_page("monitor")
    uploader = at.file_uploader(key="logs").upload("old.csv", b"epoch,loss\n0,1.0\n", "text/csv")
    uploader.upload("new.csv", b"epoch,loss\n0,1.0\n", "text/csv").run()
    assert "**old.csv**" in texts(at)
    at.file_uploader(key="logs").set_value(("new.csv", b"epoch,loss\n0,1.0\n", "text/csv")).run()
    assert "**old.csv**" not in texts(at)
    assert "**new.csv**" in texts(at)


def test_two_uploads_of_one_name_and_a_run_of_it_are_three_logs(open_page: Open, trained: object) -> None:
    namesake = trained.run.folder.parent / "log.csv"
    shutil.copytree(trained.run.folder, namesake)
    try:
        at = open_page("monitor", run="log.csv")
        longer = b"epoch,loss\n0,1.0\n1,0.5\n2,0.4\n"
        uploader = at.file_uploader(key="logs").upload("log.csv", b"epoch,loss\n0,1.0\n", "text/csv")
        uploader.upload("log.csv", longer, "text/csv").run()
        assert not at.exception
        assert not at.error
        words = texts(at)
        assert "**log.csv**: 2 epochs" in words
        assert "**log.csv (2)**: 1 epoch," in words
        assert "**log.csv (3)**: 3 epochs" in words
    finally:
        shutil.rmtree(namesake)


def test_a_log_that_is_given_twice_is_drawn_once(open_page: Open, trained: object) -> None:
    at = open_page("monitor")
    uploader = at.file_uploader(key="logs").upload("same.csv", b"epoch,loss\n0,1.0\n", "text/csv")
    uploader.upload("same.csv", b"epoch,loss\n0,1.0\n", "text/csv").run()
    at.text_input(key="log-path").input(str(trained.run.folder)).run()
    assert not at.error
    assert "**same.csv**: 1 epoch" in texts(at)
    assert "(2)" not in texts(at)


def test_which_training_of_a_log_is_seen_can_be_chosen(open_page: Open) -> None:
    log = (
        b"epoch,train/seg_loss,metrics/mAP50(M),val/seg_loss\n1,2,0.1,2\n2,1,0.4,1\n3,0.9,0.3,1\n1,2,0.2,2\n2,1,0.3,1\n"
    )
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("results.csv", log, "text/csv").run()
    assert "The log holds 2 trainings, of 3 and 2 epochs" in texts(at)
    assert "**results.csv**: 2 epochs, best is epoch 2 by metrics/mAP50(M)" in texts(at)
    choice = next(box for box in at.selectbox if box.label.startswith("Training of results"))
    assert choice.options == ["Latest: 2 epochs", "1: 3 epochs", "2: 2 epochs"]
    choice.set_value(1).run()
    assert "**results.csv**: 3 epochs, best is epoch 2 by metrics/mAP50(M)" in texts(at)
    at.session_state[f"details-{log_key('results.csv', log)}"] = True
    at.run()
    assert list(at.dataframe[-1].value["epoch"]) == [1, 2, 3]


def test_a_loss_that_becomes_nan_is_said_on_the_page(open_page: Open) -> None:
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("bad.csv", b"epoch,loss\n0,1.0\n1,nan\n2,nan\n", "text/csv").run()
    assert any("bad.csv: loss became NaN or infinite in epoch 1" in warning.value for warning in at.warning)


def test_a_log_of_very_many_columns_is_refused_in_one_sentence(open_page: Open) -> None:
    log = "epoch," + ",".join(f"m{number}" for number in range(16_000)) + "\n" + ",".join(["1"] * 16_001) + "\n"
    at = open_page("monitor")
    at.file_uploader(key="logs").upload("wide.csv", log.encode(), "text/csv").run()
    assert [("wide.csv" in error.value and "over 1,000 columns" in error.value) for error in at.error] == [True]


def test_of_very_many_metrics_some_are_drawn_and_others_can_be_chosen(open_page: Open) -> None:
    log = "epoch," + ",".join(f"m{number}" for number in range(900)) + "\n" + ",".join(["1"] * 901) + "\n"
    at = open_page("monitor", run="tiny")
    at.file_uploader(key="logs").upload("wide.csv", log.encode(), "text/csv").run()
    assert not at.exception
    charts = [element for element in at.get("plotly_chart") if element.proto.id]
    gaps = 3
    assert len(charts) <= 16 + 1 + gaps
    assert len(at.multiselect(key="metrics").value) == 16


def test_a_run_without_a_name_is_told_that_it_needs_one(open_page: Open) -> None:
    at = open_page("monitor")
    next(button for button in at.button if button.label == "Start the training").click().run()
    assert [error.value.startswith("A run needs a name") for error in at.error] == [True]


def test_a_link_opens_the_monitor_with_both_runs(open_page: Open, trained: object) -> None:
    second = trained.run.folder.parent / "second"
    shutil.copytree(trained.run.folder, second)
    try:
        at = open_page("monitor", run="tiny", **{"with": "second"})
        assert not at.exception
        assert "**tiny** is finished" in texts(at)
        assert "**second** is finished" in texts(at)
    finally:
        shutil.rmtree(second)


def test_hyper_parameters_stand_side_by_side_what_differs_first(trained: object, tmp_path: Path) -> None:
    for name, rate in (("one", 0.001), ("other", 0.5)):
        shutil.copytree(trained.run.folder, tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        config["configuration"]["learning_rate"] = rate
        if name == "one":
            del config["configuration"]["haze"]  # from before there was any
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    table = side_by_side([Run(tmp_path / "one"), Run(tmp_path / "other")])
    assert table.iloc[0].tolist() == ["learning_rate", "0.001", "0.5", True]
    assert table["differs"].sum() == 1
    assert table.set_index("name").loc["haze", "one"] == "0.0"


def test_the_monitor_starts_a_training_as_the_command_line_would(
    open_on: Open, trained: object, tmp_path: Path
) -> None:
    at = open_on(trained.dataset, tmp_path, "monitor")
    at.text_input(key="train-name").input("from-here")
    at.number_input(key="train-epochs").set_value(500)
    at.number_input(key="train-size").set_value(32)
    at.toggle(key="train-mixed").set_value(True)
    next(button for button in at.button if button.label == "Start the training").click().run()
    assert not at.exception
    run, until = Run(tmp_path / "from-here"), time.monotonic() + 90
    while Run(run.folder).history is None and time.monotonic() < until:
        continue
    configuration = Run(run.folder).config.configuration
    assert (configuration["epochs"], configuration["mixed_precision"]) == (500, True)
    at.run()
    assert at.selectbox(key="run").value == "from-here"
    at.button(key="stop-from-here").click().run()
    while Run(run.folder).status.state == "running" and time.monotonic() < until:
        continue
    assert Run(run.folder).status.state == "stopped"
    at.run()
    assert at.button(key="resume-from-here").label == "Resume from-here"


def test_masks_without_a_class_are_refused_on_the_page_with_the_values_found(
    open_on: Open, write_dataset: Callable, trained: object, tmp_path: Path
) -> None:
    dataset = find_dataset(write_dataset(tmp_path / "city"))
    for scene in dataset.scenes:
        with Image.open(scene.mask) as mask:
            indices = dataset.palette.encode(np.asarray(mask.convert("RGB")))
        Image.fromarray(indices).save(scene.mask)
    (dataset.root / "class_dict.csv").write_text(
        "name,r,g,b\nRoof,200,0,0\nLawn,0,200,0\n"
    )  # which the masks do not hold
    at = open_on(dataset, tmp_path / "runs", "monitor")
    at.text_input(key="train-name").input("indexed")
    at.number_input(key="train-size").set_value(32)
    next(button for button in at.button if button.label == "Start the training").click().run()
    until = time.monotonic() + 90
    while not at.error and time.monotonic() < until:
        at.run()
    (error,) = at.error
    assert "they hold the grey values 0, 1, 2, 3, 4, 5, 255, and the classes are Roof" in error.value
    assert not (tmp_path / "runs" / "indexed").exists()


def test_the_monitor_offers_the_backends_that_are_installed(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the environment names first, and none that would have to be installed."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    titles = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    expected = [title for name, title in titles.items() if importlib.util.find_spec(name)]
    box = open_page("monitor").selectbox(key="train-backend")
    assert (box.options, box.value) == (expected, "tensorflow")


def test_a_name_that_is_taken_is_refused_on_the_page(open_page: Open) -> None:
    at = open_page("monitor")
    at.text_input(key="train-name").input("tiny")
    next(button for button in at.button if button.label == "Start the training").click().run()
    assert "There is a run tiny already" in at.error[0].value


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.4, "4 s"), (90, "1 min 30 s"), (601, "10 min"), (3600, "1 h 0 min"), (9000, "2 h 30 min")]
)
def test_a_time_is_said_as_a_person_would(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_monitor_draws_the_runs_of_another_folder(open_page: Open, trained: object, tmp_path: Path) -> None:
    for name in ("theirs", "others"):
        shutil.copytree(trained.run.folder, tmp_path / name)
    at = open_page("monitor")
    at.text_input(key="log-path").input(str(tmp_path)).run()
    assert not at.exception
    assert "**theirs**: 2 epochs" in texts(at)
    assert "**others**: 2 epochs" in texts(at)
    at.text_input(key="log-path").input(str(tmp_path / "theirs")).run()
    assert "**others**" not in texts(at)
    (tmp_path / "empty").mkdir()
    at.text_input(key="log-path").input(str(tmp_path / "empty")).run()
    assert "no run with a history.csv in empty" in at.error[0].value


def test_a_patch_is_seen_in_its_scene(open_page: Open, trained: object) -> None:
    at = open_page("gallery")
    first = shown_patches(at)[0]
    at.button(key=f"context-{first}").click().run()
    assert not at.exception
    assert not at.error


def upload(at: AppTest, role: str, name: str, content: bytes) -> AppTest:
    return at.file_uploader(key=f"upload-{role}").upload(name, content, "image/png").run()


def png(mode: str, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90).save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    return buffer.getvalue()


def independent_scores(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean IoU over the classes in either; void (255) left out."""
    labelled = truth != 255
    truth, predicted = truth[labelled], predicted[labelled]
    ious = [
        ((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum()
        for c in range(6)
        if ((truth == c) | (predicted == c)).any()
    ]
    return (truth == predicted).mean(), float(np.mean(ious))


def test_the_explorer_scores_an_upload_as_numpy_does(open_page: Open, trained: object) -> None:
    scene = trained.dataset.scenes[0]
    at = open_page("explorer", source="Upload", overlap="0")
    upload(at, "image", scene.image.name, scene.image.read_bytes())
    upload(at, "mask", scene.mask.name, scene.mask.read_bytes())
    assert not at.exception
    assert not at.error

    import keras

    image, truth = read_scene(scene, trained.dataset.palette)
    model = keras.saving.load_model(trained.run.folder / "best.keras", compile=False)
    predicted = np.empty_like(truth)
    filled = np.pad(image, ((0, 31), (0, 31), (0, 0)), mode="symmetric")
    for top in range(0, truth.shape[0], 32):
        for left in range(0, truth.shape[1], 32):
            patch = filled[top : top + 32, left : left + 32]
            classes = np.asarray(model(patch[None].astype("float32")))[0].argmax(-1)
            here = predicted[top : top + 32, left : left + 32]
            here[...] = classes[: here.shape[0], : here.shape[1]]
    accuracy, mean_iou = independent_scores(truth, predicted)
    assert metrics(at)["Accuracy"] == f"{accuracy:.3f}"
    assert metrics(at)["Mean IoU"] == f"{mean_iou:.3f}"
    assert metrics(at)["Labelled pixels"] == f"{(truth != 255).sum():,}"


def test_a_scene_is_seen_through_windows_that_overlap_as_asked(open_page: Open, trained: object) -> None:
    from segmentation.inference.predictor import Predictor

    scene = trained.dataset.scenes[1]
    image, truth = read_scene(scene, trained.dataset.palette)
    predictor = Predictor(trained.run.model)
    labelled = truth != 255
    shown = set()
    for query, overlap in (({"overlap": "0"}, 0), ({}, 0.25), ({"overlap": "50"}, 0.5)):
        expected = np.concatenate(
            list(predictor.strips(lambda top, end: image[top:end], *truth.shape, Inference(overlap)))
        )
        at = open_page("explorer", scene=scene.name, **query)
        right = (expected.argmax(-1) == truth)[labelled].mean()
        assert metrics(at)["Accuracy"] == f"{right:.3f}"
        assert metrics(at)["Confidence"] == f"{expected.max(-1).mean():.3f}"
        shown.add(metrics(at)["Confidence"])
    assert len(shown) > 1


@pytest.mark.parametrize(("mode", "size"), [("RGB", (1, 1)), ("L", (70, 33)), ("RGBA", (40, 40)), ("CMYK", (50, 20))])
def test_the_explorer_predicts_images_of_any_size_and_mode(open_page: Open, mode: str, size: tuple[int, int]) -> None:
    at = open_page("explorer", source="Upload")
    upload(at, "image", "odd.png", png(mode, size))
    assert not at.exception
    assert not at.error
    assert f"odd.png, {size[0]} × {size[1]} px" in texts(at)
    assert "Upload a mask to get scores." in texts(at)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"Dear Sir or Madam", "is not an image that can be read"),
        (png("RGB", (300, 300))[:200], "is damaged or cut short"),
        (b"", "is not an image that can be read"),
    ],
)
def test_the_explorer_refuses_a_broken_image_in_one_sentence(open_page: Open, content: bytes, sentence: str) -> None:
    at = open_page("explorer", source="Upload")
    upload(at, "image", "broken.png", content)
    assert not at.exception
    assert len(at.error) == 1
    assert "broken.png" in at.error[0].value
    assert sentence in at.error[0].value


def test_a_mask_that_does_not_fit_leaves_the_prediction(open_page: Open) -> None:
    at = open_page("explorer", source="Upload")
    upload(at, "image", "image.png", png("RGB", (64, 64)))
    upload(at, "mask", "mask.png", png("RGB", (64, 32)))
    assert not at.exception
    assert "mask.png has 64 × 32 pixels, the image image.png 64 × 64" in at.error[0].value
    assert "Upload a mask to get scores." in texts(at)


def test_a_mask_in_other_colours_is_refused(open_page: Open) -> None:
    at = open_page("explorer", source="Upload")
    upload(at, "image", "image.png", png("RGB", (64, 64)))
    upload(at, "mask", "mask.png", png_bytes(np.full((64, 64, 3), 7, np.uint8)))
    assert "No pixel of mask.png has a colour of the legend" in at.error[0].value


def test_an_upload_outlives_a_change_of_page(open_page: Open, pages: Mapping[str, str]) -> None:
    at = open_page("explorer", source="Upload")
    upload(at, "image", "image.png", png("RGB", (64, 64)))
    at.switch_page(str(PROJECT / pages["gallery"])).run()
    at.switch_page(str(PROJECT / pages["explorer"]))
    at.query_params["source"] = "Upload"
    at.run()
    assert "In use: image.png" in texts(at)
    assert "image.png, 64 × 64 px" in texts(at)


def test_a_link_opens_the_explorer_on_its_patch(open_page: Open, trained: object) -> None:
    row = trained.run.patches.iloc[-1]
    at = open_page("explorer", scene=row["scene"], patch=row["patch"].rsplit("/", 1)[1])
    assert f"{row['patch']}, 32 × 32 px" in texts(at)
    assert metrics(at)["Mean IoU"] == f"{row['mean_iou']:.3f}"
    assert metrics(at)["Accuracy"] == f"{row['accuracy']:.3f}"


def test_two_runs_are_scored_on_the_same_picture(open_page: Open, trained: object, tmp_path: Path) -> None:
    import keras

    runs = trained.run.folder.parent
    second = runs / "second"
    shutil.copytree(trained.run.folder, second)
    try:
        model = keras.saving.load_model(second / "best.keras", compile=False)
        rng = np.random.default_rng(0)
        model.set_weights([w + rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
        model.save(second / "best.keras")
        scene = trained.dataset.scenes[1]
        at = open_page("explorer", run="tiny", scene=scene.name, patch="r00c00", **{"with": "second"})
        assert not at.exception
        image, truth = read_scene(scene, trained.dataset.palette)
        predicted = np.asarray(model(image[None, :32, :32].astype("float32")))[0].argmax(-1)
        accuracies = [m.value for m in at.metric if m.label == "Accuracy"]
        labelled = truth[:32, :32] != 255
        assert len(accuracies) == 2
        assert accuracies[1] == f"{(predicted == truth[:32, :32])[labelled].mean():.3f}"
        table = at.dataframe[0].value
        assert table["pixels predicted of second"].tolist() == [int((predicted == c).sum()) for c in range(6)]
    finally:
        shutil.rmtree(second)


def test_accuracy_at_edges_is_that_of_the_pixels_near_another_class(open_page: Open, trained: object) -> None:
    import keras

    scene = trained.dataset.scenes[1]
    at = open_page("explorer", scene=scene.name, patch="r00c00")
    image, truth = (array[:32, :32] for array in read_scene(scene, trained.dataset.palette))
    model = keras.saving.load_model(trained.run.folder / "best.keras", compile=False)
    predicted = np.asarray(model(image[None].astype("float32")))[0].argmax(-1)
    right, counted = 0, 0
    for row, column in np.ndindex(32, 32):
        # within three rows and columns there is a pixel that has another class beside it
        around = [
            (r, c)
            for r in range(max(0, row - 2), min(32, row + 3))
            for c in range(max(0, column - 2), min(32, column + 3))
        ]
        near = any(
            0 <= r + d < 32 and 0 <= c + e < 32 and truth[r + d, c + e] != truth[r, c]
            for r, c in around
            for d, e in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
        if near and truth[row, column] != 255:
            counted += 1
            right += predicted[row, column] == truth[row, column]
    assert metrics(at)["Accuracy at edges"] == f"{right / counted:.3f}"


def test_test_time_augmentation_is_a_switch(open_page: Open, trained: object) -> None:
    from segmentation.inference.predictor import Predictor

    scene = trained.dataset.scenes[1]
    at = open_page("explorer", scene=scene.name, patch="r00c00", tta="true")
    image, truth = (array[:32, :32] for array in read_scene(scene, trained.dataset.palette))
    (probabilities,) = Predictor(trained.run.model).batches(image[None], tta=True)
    labelled = truth != 255
    assert metrics(at)["Accuracy"] == f"{(probabilities[0].argmax(-1) == truth)[labelled].mean():.3f}"


def test_random_patches_are_held_out_and_the_same_for_the_same_seed(open_page: Open, trained: object) -> None:
    held_out = set(trained.run.patches.query("part == 'test'")["patch"])

    def display_palette(**query: str) -> list[str]:
        at = open_page("explorer", source="Random patches", **query)
        assert not at.exception
        return [m.value.strip("`") for m in at.markdown if m.value.startswith("`")]

    first = display_palette(n="4", seed="5")
    assert len(set(first)) == 4
    assert set(first) <= held_out
    assert display_palette(n="4", seed="5") == first
    assert display_palette(n="4", seed="6") != first


def test_reshuffle_takes_the_next_seed(open_page: Open) -> None:
    at = open_page("explorer", source="Random patches", n="3", seed="5")
    next(button for button in at.button if button.label == "Reshuffle").click().run()
    assert at.number_input(key="seed").value == 6


@pytest.mark.parametrize("page", ["browser", "explorer", "gallery"])
def test_the_legend_shows_the_colours_that_are_drawn(open_page: Open, page: str) -> None:
    at = open_page(page, **{"safe-colours": "true"})
    assert not at.exception
    assert "background:#117733" in str([element.proto for element in at.get("html")])


def shown_patches(at: AppTest) -> list[str]:
    return [m.value.split("`")[1] for m in at.markdown if m.value.startswith("**") and ".** `" in m.value]


def test_the_gallery_shows_held_out_patches_worst_first(open_page: Open, trained: object) -> None:
    at = open_page("gallery")
    table = trained.run.patches
    held_out = table[table["part"] == "test"].sort_values("mean_iou", kind="stable")
    assert shown_patches(at) == list(held_out["patch"][:8])


def test_the_gallery_turns_the_order_and_the_part(open_page: Open, trained: object) -> None:
    at = open_page("gallery", order="Best first", part="Trained on")
    table = trained.run.patches
    trained_on = table[table["part"] == "train"].sort_values("mean_iou", ascending=False, kind="stable")
    assert shown_patches(at) == list(trained_on["patch"][:8])


def test_the_gallery_filters_by_class(open_page: Open, trained: object) -> None:
    at = open_page("gallery", **{"class": "Water", "least-wrong": "0"})
    table = trained.run.patches
    expected = table[(table["part"] == "test") & table["iou_Water"].notna()]
    assert f"**{len(expected)}** of {len(table)} patches" in texts(at)


@pytest.mark.parametrize(
    ("by", "column", "falling"),
    [
        ("Accuracy", "accuracy", False),
        ("Confidently wrong", "surely_wrong", True),
        ("Surely wrong", "surely_wrong", True),  # so links said before
    ],
)
def test_the_gallery_ranks_by_other_scores(
    open_page: Open, trained: object, by: str, column: str, falling: bool
) -> None:
    at = open_page("gallery", by=by)
    table = trained.run.patches.query("part == 'test'")
    wrong = sum(table[f"{one} as {other}"] for one in NAMES for other in NAMES if one != other)
    by_wrong = table.loc[wrong.sort_values(ascending=False, kind="stable").index]  # settles ties
    expected = by_wrong.sort_values(column, ascending=not falling, kind="stable")
    assert shown_patches(at) == list(expected["patch"][:8])


def test_the_gallery_ranks_by_the_iou_of_a_class(open_page: Open, trained: object) -> None:
    at = open_page("gallery", by="IoU of the class", **{"class": "Road"})
    table = trained.run.patches.query("part == 'test'").dropna(subset="iou_Road")
    of_road = sum(table[f"Road as {name}"] + table[f"{name} as Road"] for name in NAMES if name != "Road")
    by_wrong = table.loc[of_road.sort_values(ascending=False, kind="stable").index]  # settles ties
    expected = by_wrong[of_road.loc[by_wrong.index] >= 0.01 * 32 * 32].sort_values("iou_Road", kind="stable")
    assert shown_patches(at) == list(expected["patch"][:8])


@pytest.mark.parametrize("rank", ["Scenes", "Tiles"])
def test_the_gallery_ranks_scenes_and_tiles_by_all_their_pixels(open_page: Open, trained: object, rank: str) -> None:
    at = open_page("gallery", rank=rank)
    shown = next(frame.value for frame in at.dataframe if "patches" in frame.value)
    by = rank.lower()[:-1]
    patches = trained.run.patches.query("part == 'test'")
    expected = {}
    for name, rows in patches.groupby(by):
        right = sum(rows[f"{c} as {c}"].sum() for c in trained.dataset.palette.names)
        expected[name] = right / rows["pixels"].sum()
    assert dict(zip(shown[by], shown["accuracy"], strict=True)) == pytest.approx(expected)
    assert shown["mean_iou"].is_monotonic_increasing


def test_a_cell_of_the_confusion_matrix_shows_the_patches_that_make_it(open_page: Open, trained: object) -> None:
    at = open_page("gallery", view="Confusions", true="Land", taken="Road")
    assert not at.exception
    table = trained.run.patches.query("part == 'test' and `Land as Road` > 0")
    expected = table.sort_values("Land as Road", ascending=False, kind="stable")
    assert metrics(at)["Land predicted as Road, pixels"] == f"{expected['Land as Road'].sum():,}"
    assert shown_patches(at) == list(expected["patch"][:8])


def test_the_confusions_begin_with_the_greatest(open_page: Open, trained: object) -> None:
    at = open_page("gallery", view="Confusions")
    names = trained.dataset.palette.names
    table = trained.run.patches.query("part == 'test'")
    cells = {(t, p): table[f"{t} as {p}"].sum() for t in names for p in names if t != p}
    assert (at.selectbox(key="true").value, at.selectbox(key="taken").value) == max(cells, key=cells.get)


def test_the_causes_state_each_correlation_and_test_the_articles_claim(open_page: Open, trained: object) -> None:
    at = open_page("gallery", view="Causes")
    assert not at.exception
    table = trained.run.patches.query("part == 'test'")
    shown = next(frame.value for frame in at.dataframe if "rank correlation" in frame.value).set_index("goes with")
    for name in ("brightness", "contrast", "confidence"):
        expected = np.corrcoef(table[name].rank(), table["mean_iou"].rank())[0, 1]
        assert shown.loc[name.capitalize(), "rank correlation"] == pytest.approx(expected)
    bright = table["brightness"] >= table["brightness"].quantile(0.9)
    assert f"mean IoU of **{table['mean_iou'][bright].mean():.3f}**" in texts(at)
    assert f"all other patches **{table['mean_iou'][~bright].mean():.3f}**" in texts(at)


def test_a_verdict_on_a_suspect_label_is_kept(open_on: Open, trained: object, tmp_path: Path) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "tiny")
    table = trained.run.patches.assign(surely_wrong=np.linspace(0, 0.5, 28))
    table.to_csv(tmp_path / "tiny" / "patches.csv", index=False)
    at = open_on(trained.dataset, tmp_path, "gallery", run="tiny", view="Suspect labels")
    held_out = table.query("part == 'test' and surely_wrong > 0").sort_values("surely_wrong", ascending=False)
    first = held_out.iloc[0]["patch"]
    assert shown_patches(at)[0] == first
    at.pills(key=f"verdict-{first}").set_value("wrong label").run()
    at.text_input(key=f"note-{first}").set_value("a road is missing").run()
    assert not at.exception
    (file,) = (tmp_path / "reviews").iterdir()
    kept = pd.read_csv(file)
    assert kept.iloc[-1][["patch", "verdict", "note", "run"]].tolist() == [
        first,
        "wrong label",
        "a road is missing",
        "tiny",
    ]
    at.segmented_control(key="reviews").set_value("Done").run()
    assert shown_patches(at) == [first]
    at.segmented_control(key="reviews").set_value("To do").run()
    assert first not in shown_patches(at)


def test_a_run_is_fine_tuned_on_its_worst_training_patches(open_on: Open, trained: object, tmp_path: Path) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "tiny")
    at = open_on(trained.dataset, tmp_path, "gallery", run="tiny", part="Trained on")
    at.number_input(key="tune-count").set_value(3)
    at.number_input(key="tune-epochs").set_value(1)
    at.button(key="tune").click().run()
    assert not at.exception
    assert not at.error
    until = time.monotonic() + 90
    while Run(tmp_path / "tiny-tuned").status.state != "finished" and time.monotonic() < until:
        continue
    run = Run(tmp_path / "tiny-tuned")
    worst = trained.run.patches.query("part == 'train'").sort_values("mean_iou", kind="stable")["patch"][:3]
    assert set(pd.read_csv(run.folder / "selection.csv")["patch"]) == set(worst)
    assert run.config.configuration["start_from"] == "tiny"
    assert run.config.configuration["protocol"] == "scene"


def test_two_runs_are_set_against_each_other_patch_by_patch(open_page: Open, trained: object) -> None:
    second = trained.run.folder.parent / "second"
    shutil.copytree(trained.run.folder, second)
    try:
        table = trained.run.patches
        changed = table.assign(mean_iou=(table["mean_iou"] + np.linspace(-0.2, 0.2, 28)).clip(0, 1))
        changed.to_csv(second / "patches.csv", index=False)
        at = open_page("gallery", run="tiny", view="Two runs", **{"with": "second"})
        assert not at.exception
        gain = (changed["mean_iou"] - table["mean_iou"])[table["part"] == "test"]
        assert metrics(at)["second is better on"] == str((gain > 0).sum())
        assert metrics(at)["second is worse on"] == str((gain < 0).sum())
        assert metrics(at)["Mean gain of mean IoU"] == f"{gain.mean():+.3f}"
        assert shown_patches(at) == list(table.loc[gain.sort_values(kind="stable").index, "patch"][:8])
    finally:
        shutil.rmtree(second)


def test_the_gallery_says_what_is_missing_in_a_run_that_was_not_evaluated(
    trained: object, open_on: Open, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("config.json", "history.csv", "best.keras"):
        (tmp_path / "raw" / name).write_bytes((trained.run.folder / name).read_bytes())
    at = open_on(trained.dataset, tmp_path, "gallery", run="raw")
    assert not at.exception
    assert "raw has not been evaluated" in at.info[0].value


@pytest.mark.parametrize("missing", ["config.json", "history.csv", "best.keras", "metrics.json", "patches.csv"])
@pytest.mark.parametrize("content", [None, b"", b"{half"])
def test_a_run_with_a_missing_or_broken_file_breaks_no_page(
    trained: object,
    open_on: Open,
    pages: Mapping[str, str],
    tmp_path: Path,
    missing: str,
    content: bytes | None,
) -> None:
    folder = tmp_path / "hurt"
    folder.mkdir()
    for path in trained.run.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / missing).unlink()
    if content is not None:
        (folder / missing).write_bytes(content)
    for page in pages:
        assert not open_on(trained.dataset, tmp_path, page, run="hurt").exception, page


def test_the_patch_table_is_what_the_gallery_downloads(trained: object) -> None:
    table = pd.read_csv(trained.run.folder / "patches.csv")
    assert Run(trained.run.folder).patches.equals(table)


def test_the_training_form_begins_with_the_defaults_of_the_command(open_page: Open) -> None:
    at, default = open_page("monitor"), Configuration()
    numbers = {"epochs": "epochs", "batch": "batch_size", "rate": "learning_rate", "size": "patch_size"}
    assert {name: at.number_input(key=f"train-{key}").value for key, name in numbers.items()} == {
        name: getattr(default, name) for name in numbers.values()
    }
    assert at.selectbox(key="train-schedule").value == default.schedule
    assert at.selectbox(key="train-protocol").value == default.protocol
    assert at.number_input(key="train-batch").proto.help == descriptions()["batch_size"]
