"""Every view of every page in a real Chromium, opened by its link; what it says is computed here a second time."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED
from tests.browser.driver import choose, wait_for_answer, watch_clicks

pytestmark = pytest.mark.browser

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")
COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))

Open = Callable[..., Page]
Metric = Callable[[Page, str], str]


@pytest.fixture(scope="session")
def masks(demo: Dataset) -> dict[str, np.ndarray]:
    """Class indices of every scene of the demo city, 255 for void; read without the package."""
    found = {}
    for scene in demo.scenes:
        colors = np.asarray(Image.open(scene.mask).convert("RGB"))
        found[scene.name] = np.full(colors.shape[:2], 255, np.uint8)
        for index, color in enumerate(COLORS):
            found[scene.name][(colors == color).all(-1)] = index
    return found


@pytest.fixture(scope="session")
def patches(masks: dict[str, np.ndarray]) -> dict[tuple[str, int, int], np.ndarray]:
    """Every patch's class indices by scene, row and column."""
    return {
        (scene, top // 160, left // 160): mask[top : top + 160, left : left + 160]
        for scene, mask in masks.items()
        for top in range(0, mask.shape[0] - 159, 160)
        for left in range(0, mask.shape[1] - 159, 160)
    }


@pytest.fixture
def visit(demo_address: str, open_page: Open, screenshots: Path, request: pytest.FixtureRequest) -> Callable:
    """A function that opens a link, takes its picture, and holds it against what no page may show."""

    def visit_(link: str) -> Page:
        page = open_page(demo_address + link)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
        overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        page.screenshot(path=screenshots / f"view-{request.node.name.removeprefix('test_')}.png")
        return page

    return visit_


@pytest.fixture(scope="session")
def scores() -> pd.DataFrame:
    """What the shipped demo run scored, patch by patch."""
    return pd.read_csv(SHIPPED / "demo-unet" / "patches.csv")


def cards(page: Page) -> list[str]:
    """The names of the patches in sight."""
    return page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code").all_inner_texts()


def main(page: Page) -> Locator:
    return page.locator("[data-testid=stMain]")


def test_home_tells_sizes_as_width_by_height(visit: Callable, masks: dict) -> None:
    page = visit("/")
    height, width = masks["tile-1/image_part_001"].shape
    assert height != width
    expect(page.get_by_text(f"1 Scene {width} × {height} px")).to_be_visible()
    expect(page.get_by_text(f"cut to {width // 160} × {height // 160} of 160 px")).to_be_visible()


def test_patches_of_a_class(visit: Callable, patches: dict) -> None:
    page = visit("/Dataset_browser?view=Patches&class=Water&share=20")
    passing = sum((mask == NAMES.index("Water")).mean() >= 0.2 for mask in patches.values())
    assert 0 < passing < len(patches)
    expect(page.get_by_text(f"{passing} of {len(patches)} patches of 160 px")).to_be_visible()


def test_one_scene_with_its_grid(visit: Callable, masks: dict) -> None:
    page = visit("/Dataset_browser?view=One+scene&scene=tile-2%2Fimage_part_003&grid=true")
    mask = masks["tile-2/image_part_003"]
    (height, width), (rows, columns) = mask.shape, (mask.shape[0] // 160, mask.shape[1] // 160)
    dropped = 100 * (1 - rows * columns * 160 * 160 / mask.size)
    expect(main(page)).to_contain_text(
        f"{width} × {height} px · {columns} × {rows} patches of 160 px · cropping drops {dropped:.1f} %"
    )
    kept = mask[: rows * 160, : columns * 160]
    lost = [
        f"{name} {100 * (1 - (kept == index).sum() / (mask == index).sum()):.1f} %"
        for index, name in enumerate(NAMES)
        if (mask == index).any()
    ]
    expect(main(page)).to_contain_text(f"Lost to cropping: {', '.join(lost)}.")
    expect(page.locator(".viewer[data-state=shown] canvas")).to_have_count(1)


def test_one_tile_as_a_mosaic(visit: Callable) -> None:
    page = visit("/Dataset_browser?view=One+tile&tile-shown=Tile+2&opacity=30")
    expect(page.get_by_text("Tile 2: 3 × 3 scenes in their places")).to_be_visible()


def test_class_shares(visit: Callable, masks: dict) -> None:
    page = visit("/Dataset_browser?view=Class+shares")
    pixels = sum(mask.size for mask in masks.values())
    void = sum((mask == 255).sum() for mask in masks.values())
    expect(page.get_by_text(f"{pixels:,} pixels; {100 * void / pixels:.2f} % have no class.")).to_be_visible()
    for index, name in enumerate(NAMES):
        share = 100 * sum((mask == index).sum() for mask in masks.values()) / pixels
        bar = page.locator(".st-key-set-shares")
        expect(bar).to_contain_text(name)
        expect(bar).to_contain_text(f"{share:.1f}")


def test_what_a_split_leaks(visit: Callable, patches: dict, metric: Metric) -> None:
    page = visit("/Dataset_browser?view=Split&split-shown=patch")
    places = list(patches)
    order, tenth = np.random.RandomState(42).permutation(len(places)), -(-len(places) // 10)
    test, train = ({places[i] for i in part} for part in (order[:tenth], order[2 * tenth :]))  # validation between
    touching = sum(
        any((scene, row + down, column + right) in train for down in (-1, 0, 1) for right in (-1, 0, 1))
        for scene, row, column in test
    )
    shares = []
    for part in (test, train):
        counts = sum(np.bincount(patches[place].ravel(), minlength=256)[:6] for place in part)
        shares.append(counts / counts.sum())
    assert metric(page, "Held-out patches") == f"{len(test):,}"
    assert metric(page, "Touch a training patch") == f"{touching:,}"
    assert metric(page, "Share that touches") == f"{100 * touching / len(test):.1f} %"
    assert metric(page, "Class shares differ by") == f"{50 * np.abs(shares[0] - shares[1]).sum():.1f} %"


def test_the_parts_of_the_demo_city_hold_no_copies(visit: Callable, patches: dict) -> None:
    page = visit("/Dataset_browser?view=Split&split-shown=Tile+1")
    held_out = sum(scene.startswith("tile-1/") for scene, *_ in patches)
    said = page.get_by_text("No copy of a held-out picture is trained on.")
    expect(said).to_be_visible()
    compared, plain = (re.search(rf"([\d,]+) {of}", said.inner_text()) for of in ("held-out patches", "patches show"))
    assert int(compared[1]) + int(plain[1] if plain else 0) == held_out
    expect(page.get_by_text("No scene says where it lies")).to_be_visible()


def test_the_health_report(visit: Callable, masks: dict) -> None:
    page = visit("/Dataset_browser?view=Health")
    expect(main(page)).to_contain_text("ℹ️ note" if any((m == 255).any() for m in masks.values()) else "Nothing wrong")
    expect(page.get_by_role("button", name="Download the report")).to_be_visible()


def test_two_runs_in_the_monitor(visit: Callable, metric: Metric) -> None:
    page = visit("/Training_monitor?run=demo-unet&with=dubai-unet-plain&smoothing=60&log=true")
    for name in ("demo-unet", "dubai-unet-plain"):
        with (SHIPPED / name / "history.csv").open() as file:
            rows = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
        best = max(range(len(rows)), key=rows.__getitem__)
        expect(page.get_by_text(f"{name}: {len(rows)} epochs, best is epoch {best} by val_accuracy")).to_be_visible()
    with (SHIPPED / "demo-unet" / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    top = max(history, key=lambda row: float(row["val_accuracy"]))
    for label, column in (
        ("Loss", "val_loss"),
        ("Accuracy", "val_accuracy"),
        ("Jaccard (article, soft)", "val_jaccard"),
    ):
        assert metric(page, f"{label}, validation") == f"{float(top[column]):.3f}"
    expect(page.get_by_text("Gap between training and validation")).to_be_visible()
    expect(page.get_by_text("Only what differs")).to_be_visible()


def test_random_patches(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Prediction_explorer?source=Random+patches&n=4&seed=7")
    shown = cards(page)
    test = scores[scores["part"] == "test"].set_index("patch")
    assert len(shown) == 4
    for name in shown:
        row = test.loc[name]
        counted = "1 class" if row["classes"] == 1 else f"{row['classes']:.0f} classes"
        expect(main(page)).to_contain_text(f"Mean IoU {row['mean_iou']:.3f} of {counted}")


def test_every_picture_of_two_runs(visit: Callable, metric: Metric) -> None:
    shown = "&".join(
        f"show={name}" for name in ("Image", "Ground+truth", "Prediction", "Errors", "Confidence", "Entropy")
    )
    page = visit(f"/Prediction_explorer?scene=tile-1%2Fimage_part_001&patch=r01c02&with=dubai-unet&tta=true&{shown}")
    expect(page.locator(".viewer[data-state=shown] canvas")).to_have_count(9)  # errors and prediction of each
    assert metric(page, "Labelled pixels") == "25,600"


def test_the_greatest_confusion(visit: Callable, scores: pd.DataFrame) -> None:
    matrix = np.array(json.loads((SHIPPED / "demo-unet" / "metrics.json").read_text())["confusion_matrix"])
    np.fill_diagonal(matrix, 0)
    true, taken = np.unravel_index(matrix.argmax(), matrix.shape)
    page = visit("/Worst-case_gallery?view=Confusions")
    expect(main(page)).to_contain_text(f"{NAMES[true]} predicted as {NAMES[taken]}, pixels{matrix.max():,}")
    held_out = scores[scores["part"] == "test"]
    making = held_out[f"{NAMES[true]} as {NAMES[taken]}"].sort_values(ascending=False, kind="stable")
    assert making.sum() == matrix.max()
    assert cards(page) == list(held_out.loc[making.index[:8], "patch"])


def test_causes(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Worst-case_gallery?view=Causes&against=Contrast")
    held_out = scores[(scores["part"] == "test") & scores["mean_iou"].notna()]
    ranks = held_out[["brightness", "mean_iou"]].rank().to_numpy().T
    expect(main(page)).to_contain_text(f"have a rank correlation of {np.corrcoef(ranks)[0, 1]:+.2f}")
    expect(main(page)).to_contain_text(f"over all {len(held_out)} patches")


def test_kinds_of_error_are_counted_and_drawn(visit: Callable) -> None:
    matrix = np.array(json.loads((SHIPPED / "demo-unet" / "metrics.json").read_text())["confusion_matrix"])
    wrong = matrix.sum() - np.trace(matrix)
    page = visit("/Worst-case_gallery?view=Kinds+of+error&kind=Boundary")
    page.get_by_role("button", name="Count now").click()
    expect(
        main(page).get_by_text(re.compile(r"^\d+ % \(95 % interval \d+–\d+ %, .*\) of all wrong pixels"))
    ).to_be_visible()
    bold = main(page).get_by_text(re.compile(r"^[\d,]+ missed pixels of kind boundary, \d+ % of those$"))
    expect(bold).to_have_count(8)
    counts = [int(text.split()[0].replace(",", "")) for text in bold.all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert 0 < sum(counts) < wrong
    expect(page.locator(".st-key-error-kinds .barlayer .point").first).to_be_visible()
    place = cards(page)[0].rsplit("/", 1)
    link = f"scene={place[0].replace('/', '%2F')}&patch={place[1]}&show=Image&show=Kinds+of+error"
    page = visit(f"/Prediction_explorer?{link}")
    expect(page.get_by_role("list", name="Kinds of error")).to_contain_text("Segment: missed or invented whole")
    expect(page.locator(".viewer[data-state=shown] canvas")).to_have_count(2)


def test_what_nearness_to_trained_on_patches_is_worth(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Worst-case_gallery?view=Leak")
    parts = {(row.scene, row.row, row.column): row.part for row in scores.itertuples()}
    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    held_out = scores[scores["part"] == "test"]
    trained_on = np.array(
        [
            sum(parts.get((row.scene, row.row + down, row.column + right)) == "train" for down, right in around)
            for row in held_out.itertuples()
        ]
    )
    assert (trained_on > 0).all()
    expect(main(page)).to_contain_text("Every held-out patch touches a trained-on one")
    near, far = (
        np.average(held_out["accuracy"], weights=held_out["pixels"] * of) for of in (trained_on == 8, trained_on <= 4)
    )
    expect(main(page)).to_contain_text(f"with 8 of them: accuracy {near:.3f}; with 0–4: {far:.3f}")
    expect(page.locator(".st-key-leak .js-plotly-plot")).to_be_visible()
    expect(page.get_by_role("button", name="Download the scores")).to_be_visible()
    expect(main(page)).to_contain_text("No other run of this network holds out")


def test_suspect_labels(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Worst-case_gallery?view=Suspect+labels")
    held_out = scores[(scores["part"] == "test") & (scores["surely_wrong"] > 0)]
    worst = held_out.sort_values("surely_wrong", ascending=False, kind="stable")
    assert cards(page) == list(worst["patch"][:8])
    expect(
        page.get_by_text(f"{100 * worst['surely_wrong'].iloc[0]:.1f} % of its pixels are wrong").first
    ).to_be_visible()


def test_tiles_ranked(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Worst-case_gallery?rank=Tiles")
    held_out = scores[scores["part"] == "test"]
    expect(page.get_by_text(f"2 tiles of {len(held_out)} patches")).to_be_visible()


def test_training_patches_are_ranked_apart(visit: Callable, scores: pd.DataFrame) -> None:
    page = visit("/Worst-case_gallery?part=Trained+on&by=Accuracy&order=Best+first")
    train = scores[scores["part"] == "train"].dropna(subset="accuracy")
    assert cards(page) == list(train.sort_values("accuracy", ascending=False, kind="stable")["patch"][:8])


def browse(page: Page) -> Iterator[Callable[[], object]]:
    yield lambda: choose(page, "Class", "Road")
    yield lambda: choose(page, "Sort by", "Share of Road")
    yield page.get_by_text("Colour-blind colours").click
    yield page.get_by_role("button", name="Next page").click


def monitor(page: Page) -> Iterator[Callable[[], object]]:
    yield lambda: choose(page, "Compare with", "dubai-lite0")
    yield page.get_by_text("Logarithmic losses").click
    yield page.get_by_text("Only what differs").click


def explore(page: Page) -> Iterator[Callable[[], object]]:
    yield lambda: choose(page, "Scene", "tile-2/image_part_004")
    yield lambda: choose(page, "Patch", "r01c02")
    yield lambda: choose(page, "Compare with", "dubai-unet")
    yield main(page).get_by_text("Errors", exact=True).click
    yield page.get_by_text("Outlines", exact=True).click


def rank(page: Page) -> Iterator[Callable[[], object]]:
    yield lambda: choose(page, "Class", "Building")
    yield lambda: choose(page, "By", "Wrong pixels")
    yield page.get_by_text("Best first", exact=True).click
    yield page.get_by_role("button", name="Next page").click


def seen(page: Page) -> dict:
    """What a person sees of a page: its words, its fields, and every picture's pixels."""
    expect(page.locator(".viewer:not([data-state=shown])")).to_have_count(0)
    return {
        "words": main(page).inner_text(),
        "fields": page.locator("input").evaluate_all("inputs => inputs.map(i => [i.value, i.checked])"),
        "pictures": page.locator(".viewer canvas").evaluate_all("canvases => canvases.map(c => c.toDataURL())"),
        "images": page.locator("[data-testid=stImage] img").evaluate_all("images => images.map(i => i.currentSrc)"),
    }


@pytest.mark.parametrize(
    ("link", "steps"),
    [
        ("/Dataset_browser?view=Patches", browse),
        ("/Training_monitor?run=demo-unet", monitor),
        ("/Prediction_explorer", explore),
        ("/Worst-case_gallery", rank),
    ],
)
def test_a_shared_link_shows_the_same_in_a_fresh_browser(
    demo_address: str, open_page: Open, link: str, steps: Callable[[Page], Iterator]
) -> None:
    mine = open_page(demo_address + link)
    before = seen(mine)
    watch_clicks(mine)
    for step in steps(mine):
        address = mine.url
        step()
        wait_for_answer(mine)
        assert mine.url != address  # every choice is in the address
    assert seen(mine) != before
    theirs = open_page(mine.url)
    assert seen(theirs) == seen(mine)


def test_a_threshold_is_counted_moved_by_keys_and_seen_in_the_explorer(
    serve: Callable[..., str], demo: Dataset, open_page: Open, tmp_path: Path
) -> None:
    old = shutil.copytree(SHIPPED / "demo-unet", tmp_path / "old")  # evaluated before pixels were counted
    metrics = json.loads((old / "metrics.json").read_text())
    (old / "metrics.json").write_text(json.dumps({key: metrics[key] for key in metrics if key != "probabilities"}))
    address = serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(tmp_path))
    page = open_page(f"{address}/Worst-case_gallery?view=Thresholds&run=old&threshold=0.3")
    page.get_by_role("button", name="Count now").click()
    expect(main(page).get_by_text("At 0.30 Building has IoU")).to_be_visible()
    page.get_by_role("slider", name="Threshold").press("ArrowRight")
    expect(main(page).get_by_text("At 0.31 Building has IoU")).to_be_visible()
    expect(main(page).get_by_text("pixels change").first).to_be_visible()
    main(page).get_by_role("link", name="Explore").first.click()
    expect(main(page).get_by_text("Thresholds in force: Building from 0.31")).to_be_visible()
    expect(page.get_by_role("slider", name="Threshold")).to_have_value("0.31")


def test_similar_patches_are_computed_selected_and_found_from_a_card(
    serve: Callable[..., str], demo: Dataset, open_page: Open, tmp_path: Path, scores: pd.DataFrame
) -> None:
    variables = {"SEGMENTATION_RUNS": str(tmp_path / "runs"), "SEGMENTATION_CACHE": str(tmp_path / "cache")}
    address = serve(SEGMENTATION_DATA=str(demo.root), **variables)
    page = open_page(f"{address}/Worst-case_gallery?view=Similar&run=demo-unet&color-by=Part")
    page.get_by_role("button", name="Compute now").click()
    plot = main(page).locator(".st-key-patch-map .js-plotly-plot .nsewdrag")
    expect(plot).to_be_visible()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)]
    page.mouse.move(box["x"] + box["width"] * corners[0][0], box["y"] + box["height"] * corners[0][1])
    page.mouse.down()
    for right, down in corners[1:]:
        page.mouse.move(box["x"] + box["width"] * right, box["y"] + box["height"] * down, steps=4)
    page.mouse.up()
    expect(main(page).get_by_text(f"{len(scores)} of {len(scores)} patches")).to_be_visible()
    worst = scores.loc[scores["mean_iou"].idxmin(), "patch"]
    expect(main(page).locator("code").first).to_have_text(worst)
    main(page).get_by_role("button", name="Similar", exact=True).first.click()
    expect(main(page).get_by_text(f"The 24 patches most similar to {worst}")).to_be_visible()
    expect(main(page).get_by_text(re.compile(r"^Distance 0\.\d{3}")).first).to_be_visible()
    theirs = open_page(page.url)
    expect(main(theirs).get_by_text(f"The 24 patches most similar to {worst}")).to_be_visible()
    expect(theirs.get_by_role("radio", name="Part", exact=True)).to_have_attribute("aria-checked", "true")
