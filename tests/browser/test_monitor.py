"""The training monitor in a real Chromium: logs that grow, uploads that come and go, charts as they are drawn."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from playwright.sync_api import Locator, Page, expect

from segmentation.data.scenes import Dataset

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def chart(page: Page, title: str) -> Locator:
    """The chart with a title."""
    titled = page.locator(".gtitle", has_text=re.compile(f"^{title}$"))
    return page.locator(".js-plotly-plot").filter(has=titled)


def test_a_log_at_a_path_is_followed_while_it_grows(
    serve: Callable[..., str], open_page: Open, demo: Dataset, tmp_path: Path
) -> None:
    log = tmp_path / "elsewhere.csv"
    log.write_text("epoch,train_loss,val_loss\n1,1.0,1.25\n")
    address = serve(
        SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(tmp_path / "runs"), SEGMENTATION_ALLOWED=str(tmp_path)
    )
    page = open_page(f"{address}/Training_monitor")
    page.get_by_text("Another log: a path or an upload").click()
    page.get_by_role("textbox", name="Path of a training log").fill(str(log))
    page.keyboard.press("Enter")
    expect(page.get_by_text("elsewhere.csv: 1 epoch, best is epoch 1 by val_loss")).to_be_visible()
    with log.open("a") as file:
        file.write("2,0.9,1.0\n3,nan,nan\n")
    expect(page.get_by_text("elsewhere.csv: 3 epochs, best is epoch 2 by val_loss")).to_be_visible()
    expect(page.get_by_text("became NaN or infinite in epoch 3")).to_be_visible()
    with log.open("a") as file:
        file.write("1,1.5,1.75\n")
    expect(page.get_by_text("The log holds 2 trainings, of 3 and 1 epochs")).to_be_visible()
    expect(page.get_by_text("elsewhere.csv: 1 epoch, best is epoch 1 by val_loss")).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def test_cleared_uploads_do_not_come_back(demo_address: str, open_page: Open, settle: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("epoch,loss\n0,1.0\n")
    page = open_page(f"{demo_address}/Training_monitor")
    page.get_by_text("Another log: a path or an upload").click()
    page.locator("[data-testid=stFileUploaderDropzoneInput]").set_input_files(tmp_path / "mine.csv")
    expect(page.get_by_text("mine.csv: 1 epoch, best is epoch 0 by loss")).to_be_visible()
    page.get_by_role("button", name="Clear uploads").click()
    expect(page.get_by_text("mine.csv")).to_have_count(0)
    page.get_by_text("Logarithmic losses").click()
    settle(page)
    expect(page.get_by_text("mine.csv")).to_have_count(0)


def test_the_axis_after_one_epoch_has_one_tick(demo_address: str, open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "young.csv").write_text("epoch,young_loss\n1,1.0\n")
    page = open_page(f"{demo_address}/Training_monitor")
    page.get_by_text("Another log: a path or an upload").click()
    page.locator("[data-testid=stFileUploaderDropzoneInput]").set_input_files(tmp_path / "young.csv")
    young = chart(page, "Young loss")
    expect(young).to_be_visible()
    expect(young.locator(".xtick text")).to_have_text(["1"])


def test_best_values_of_two_runs_do_not_print_over_each_other(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Training_monitor?run=dubai-lite0&with=dubai-best&with=dubai-unet")
    for title in ("Loss", "Accuracy", "Mean IoU"):
        expect(chart(page, title)).to_be_visible()
        boxes = [text.bounding_box() for text in chart(page, title).locator(".textpoint text").all()]
        assert boxes
        for place, one in enumerate(boxes):
            for other in boxes[:place]:
                beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                below = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
                assert beside or below, (title, one, other)


@pytest.mark.parametrize("width", [360, 1440])
def test_the_drawing_of_the_network_is_whole_on_every_screen(demo_address: str, open_page: Open, width: int) -> None:
    page = open_page(demo_address, width)
    drawing = page.locator(".st-key-network .js-plotly-plot")
    drawing.scroll_into_view_if_needed()
    frame = drawing.bounding_box()
    texts = [text.bounding_box() for text in drawing.locator(".textpoint text").all()]
    assert len(texts) > 4
    for text in texts:
        assert frame["x"] <= text["x"]
        assert text["x"] + text["width"] <= frame["x"] + frame["width"]
        assert frame["y"] <= text["y"]
        assert text["y"] + text["height"] <= frame["y"] + frame["height"]


def test_logs_of_other_trainers_are_drawn_and_said_what_they_are(
    demo_address: str, open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train_loss,val_dice,val_loss\n0,49,0.9,,\n0,99,0.7,,\n0,99,,0.4,0.75\n1,199,0.5,,\n1,199,,0.6,0.5\n"
    )
    lines = [
        {"epoch": 1.0, "loss": 1.0, "step": 100},
        {"epoch": 1.0, "eval_loss": 0.9, "eval_mean_iou": 0.35, "step": 100},
        {"epoch": 2.0, "loss": 0.5, "step": 200},
        {"epoch": 2.0, "eval_loss": 0.8, "eval_mean_iou": 0.45, "step": 200},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": lines}))
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in range(5):
            tf.summary.write("Accuracy/val", tf.constant(step / 8), 100 * step)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    page = open_page(f"{demo_address}/Training_monitor")
    page.get_by_text("Another log: a path or an upload").click()
    uploader = page.locator("[data-testid=stFileUploaderDropzoneInput]")
    uploader.set_input_files([tmp_path / "metrics.csv", tmp_path / "trainer_state.json", events])
    for said in (
        "metrics.csv: read as Lightning's metrics.csv, counted by epochs",
        "metrics.csv: Of train_loss, logged several times in an epoch, the mean over the epoch is drawn.",
        "trainer_state.json: read as Hugging Face's trainer_state.json, counted by epochs",
        f"{events.name}: read as TensorBoard's event file, counted by steps, not by epochs",
        "metrics.csv: 2 epochs, best is epoch 1 by val_dice",
        "trainer_state.json: 2 epochs, best is epoch 2 by eval_mean_iou",
        f"{events.name}: 5 steps, best is step 400 by Accuracy/val",
    ):
        expect(page.get_by_text(said)).to_be_visible()
    for title, name in (("Loss", "metrics.csv, validation"), ("Mean IoU", "trainer_state.json, validation")):
        expect(chart(page, title).locator(".legendtext", has_text=name)).to_be_visible()
    expect(chart(page, "Accuracy").locator(".legendtext", has_text=events.name[:12])).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
