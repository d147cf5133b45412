"""What a person does with the dashboard, in a real Chromium."""

import base64
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED, write_status

pytestmark = pytest.mark.browser

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")

PAGES = {
    "home": "/",
    "dataset-browser": "/Dataset_browser",
    "training-monitor": "/Training_monitor",
    "prediction-explorer": "/Prediction_explorer?scene=tile-1%2Fimage_part_005",
    "worst-case-gallery": "/Worst-case_gallery",
}

Open = Callable[..., Page]
Settle = Callable[[Page], None]
Metric = Callable[[Page, str], str]


def colours_to_indices(picture: np.ndarray) -> np.ndarray:
    """Class indices of a colour mask, 255 for any other colour; written without the package."""
    indices = np.full(picture.shape[:2], 255, np.uint8)
    for index, color in enumerate(COLORS):
        indices[(picture == color).all(-1)] = index
    return indices


def predict_by_hand(model: object, image: np.ndarray, size: int = 160) -> np.ndarray:
    """Class indices of an image, patch by patch, the remainder filled with its mirror image."""
    height, width = image.shape[:2]
    filled = np.pad(image, ((0, -height % size), (0, -width % size), (0, 0)), mode="symmetric")
    predicted = np.zeros(filled.shape[:2], np.uint8)
    for top in range(0, height, size):
        for left in range(0, width, size):
            patch = filled[None, top : top + size, left : left + size].astype("float32")
            predicted[top : top + size, left : left + size] = np.asarray(model(patch))[0].argmax(-1)
    return predicted[:height, :width]


def scores_by_hand(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean IoU over the classes in mask or prediction."""
    ious = []
    for index in range(6):
        union = ((truth == index) | (predicted == index)).sum()
        if union:
            ious.append(((truth == index) & (predicted == index)).sum() / union)
    return (truth == predicted).mean(), float(np.mean(ious))


def canvas_pixels(canvas: Locator) -> np.ndarray:
    """What a canvas holds, (height, width, 4) uint8."""
    address = canvas.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def fitted(canvas: Locator, shape: tuple[int, int]) -> tuple[float, float, float]:
    """Screen pixels a picture pixel, and where the picture begins from the left and the top, where all is in sight."""
    width, height = canvas.evaluate("canvas => [canvas.clientWidth, canvas.clientHeight]")
    scale = min(width / shape[1], height / shape[0])
    return scale, (width - shape[1] * scale) / 2, (height - shape[0] * scale) / 2


def sampled(canvas: Locator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the picture that lie under each pixel of a canvas; row -1 beside the picture."""
    scale, left, top = fitted(canvas, shape)
    height, width = canvas_pixels(canvas).shape[:2]
    down, right = np.mgrid[:height, :width] + 0.5
    rows, columns = np.floor((down - top) / scale).astype(int), np.floor((right - left) / scale).astype(int)
    beside = (rows < 0) | (rows >= shape[0]) | (columns < 0) | (columns >= shape[1])
    return np.where(beside, -1, rows), np.where(beside, -1, columns)


def near_edge(classes: np.ndarray) -> np.ndarray:
    """Pixels with another class within two pixels: which of them a shrunk picture shows is the browser's choice."""
    near = np.zeros(classes.shape, bool)
    for down in range(-2, 3):
        for right in range(-2, 3):
            near |= np.roll(classes, (down, right), (0, 1)) != classes
    return near


def hover(canvas: Locator, row: int, column: int, shape: tuple[int, int]) -> None:
    """Point at a pixel of the picture."""
    scale, left, top = fitted(canvas, shape)
    canvas.hover(position={"x": left + (column + 0.5) * scale, "y": top + (row + 0.5) * scale})


@pytest.fixture(scope="session")
def load_by_hand() -> Callable[[str], object]:
    def load(run: str) -> object:
        import keras

        return keras.saving.load_model(SHIPPED / run / "best.keras", compile=False)

    return load


@pytest.mark.parametrize("width", [1440, 900])
@pytest.mark.parametrize("name", PAGES)
def test_a_fresh_start_shows_every_page_with_the_demo(
    demo_address: str, open_page: Open, settle: Settle, screenshots: Path, name: str, width: int
) -> None:
    begun, other = ("light", "dark") if width == 1440 else ("dark", "light")
    page = open_page(demo_address + PAGES[name], width, begun)
    for scheme in (begun, other):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("[data-testid=stApp]")).to_have_css("color-scheme", scheme)
        settle(page)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        expect(page.locator("[data-testid=stAlert]")).to_have_count(0)
        expect(page.get_by_role("combobox", name="Data set")).to_have_value("Demo city")
        if name != "dataset-browser":
            expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("demo-unet")
        overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        page.screenshot(path=screenshots / f"{name}-{width}-{scheme}.png")


def test_a_real_scene_and_its_mask_are_compared_side_by_side(
    real_address: str,
    real_dataset: Dataset,
    load_by_hand: Callable[[str], object],
    open_page: Open,
    settle: Settle,
    metric: Metric,
) -> None:
    scene = real_dataset.root / "Tile 1"
    page = open_page(f"{real_address}/Prediction_explorer?source=Upload&run=dubai-unet&overlap=0")
    uploads = page.locator("[data-testid=stFileUploaderDropzoneInput]")
    uploads.nth(0).set_input_files(scene / "images" / "image_part_001.jpg")
    expect(page.get_by_text("image_part_001.jpg, 797 × 644 px")).to_be_visible()
    settle(page)
    uploads.nth(1).set_input_files(scene / "masks" / "image_part_001.png")
    expect(page.locator(".viewer canvas")).to_have_count(3)
    settle(page)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)

    pictures = page.locator(".viewer[data-state=shown] canvas")
    expect(pictures).to_have_count(3)
    boxes = [pictures.nth(index).bounding_box() for index in range(3)]
    assert len({(round(box["y"]), round(box["width"]), round(box["height"])) for box in boxes}) == 1
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[1]["x"] + boxes[1]["width"] <= boxes[2]["x"]

    image = np.asarray(Image.open(scene / "images" / "image_part_001.jpg").convert("RGB"))
    truth = colours_to_indices(np.asarray(Image.open(scene / "masks" / "image_part_001.png").convert("RGB")))
    with page.expect_download() as download:
        page.get_by_role("button", name="Index mask").click()
    predicted = np.asarray(Image.open(download.value.path()))
    by_hand = predict_by_hand(load_by_hand("dubai-unet"), image)
    assert (predicted == by_hand).mean() > 0.9999  # a batch rounds unlike a single patch
    with page.expect_download() as download:
        page.get_by_role("button", name="Coloured mask").click()
    assert np.array_equal(colours_to_indices(np.asarray(Image.open(download.value.path()))), predicted)

    rows, columns = sampled(pictures.nth(0), truth.shape)
    photograph = canvas_pixels(pictures.nth(0)).astype(int)[(rows >= 0)][:, :3]
    assert np.abs(photograph - image[rows, columns][(rows >= 0)]).mean() < 20  # shrunk smoothly, but not elsewhere
    for canvas, classes in ((pictures.nth(1), truth), (pictures.nth(2), predicted)):
        rows, columns = sampled(canvas, classes.shape)
        inside = ~near_edge(classes)[rows, columns] & (rows >= 0)
        drawn = colours_to_indices(canvas_pixels(canvas)[..., :3])
        assert (drawn == classes[rows, columns])[inside].all()

    for row, column in ((10, 15), (300, 400), (600, 700)):
        hover(pictures.nth(2), row, column, truth.shape)
        reading = f"row {row}, column {column} · Ground truth: {NAMES[truth[row, column]]}"
        expect(page.locator(".reading")).to_contain_text(reading)
        expect(page.locator(".reading")).to_contain_text(f"Prediction: {NAMES[predicted[row, column]]} ·")

    accuracy, mean_iou = scores_by_hand(truth, predicted)
    assert metric(page, "Accuracy") == f"{accuracy:.3f}"
    assert metric(page, "Mean IoU") == f"{mean_iou:.3f}"
    assert metric(page, "Labelled pixels") == f"{truth.size:,}"


def test_zoom_pan_and_cursor_are_shared_by_all_pictures(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Prediction_explorer?scene=tile-1%2Fimage_part_005&opacity=100")
    viewer = page.locator(".viewer[data-state=shown]")
    canvases = viewer.locator("canvas")
    expect(canvases).to_have_count(3)
    whole = [canvas_pixels(canvases.nth(index)) for index in range(3)]
    canvases.nth(1).click()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    expect(viewer).to_have_attribute("data-zoom", "1.50")
    moved = [canvas_pixels(canvases.nth(index)) for index in range(3)]
    assert all((before != after).any() for before, after in zip(whole, moved, strict=True))
    before = viewer.get_attribute("data-centre")
    canvases.nth(2).drag_to(canvases.nth(2), source_position={"x": 100, "y": 100}, target_position={"x": 60, "y": 80})
    expect(viewer).not_to_have_attribute("data-centre", before)
    canvases.nth(0).hover(position={"x": 50, "y": 50})
    expect(viewer.locator(".reading")).to_contain_text("Ground truth: ")
    # Another setting of the same scene keeps the place.
    centre = viewer.get_attribute("data-centre")
    page.get_by_text("Errors", exact=True).click()
    expect(canvases).to_have_count(4)
    expect(viewer).to_have_attribute("data-zoom", "1.50")
    expect(viewer).to_have_attribute("data-centre", centre)
    viewer.get_by_role("button", name="See it all").click()
    expect(viewer).to_have_attribute("data-zoom", "1.00")


def test_one_picture_is_wiped_over_the_other(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Prediction_explorer?scene=tile-1%2Fimage_part_005&wipe=true&left=Image")
    canvas = page.locator(".viewer[data-state=shown] canvas")
    expect(canvas).to_have_count(1)
    slider = page.locator(".viewer").get_by_role("slider")
    slider.fill("0")
    all_right = canvas_pixels(canvas)
    slider.fill("100")
    all_left = canvas_pixels(canvas)
    slider.fill("50")
    half = canvas_pixels(canvas)
    middle = half.shape[1] // 2
    assert np.array_equal(half[:, : middle - 4], all_left[:, : middle - 4])
    assert np.array_equal(half[:, middle + 4 :], all_right[:, middle + 4 :])
    assert (all_left != all_right).any()


@pytest.mark.parametrize("run", ["demo-unet", "dubai-unet"])
def test_the_gallery_ranks_as_the_shipped_model_predicts(
    run: str,
    request: pytest.FixtureRequest,
    load_by_hand: Callable[[str], object],
    open_page: Open,
    settle: Settle,
) -> None:
    dataset = request.getfixturevalue("demo" if run == "demo-unet" else "real_dataset")
    address = request.getfixturevalue("demo_address" if run == "demo-unet" else "real_address")
    names, images, masks = [], [], []
    for scene in dataset.scenes:
        image = np.asarray(Image.open(scene.image).convert("RGB"))
        truth = colours_to_indices(np.asarray(Image.open(scene.mask).convert("RGB")))
        truth[truth == 255] = 5  # the patch protocol counts void as Unlabeled
        for top in range(0, truth.shape[0] - 159, 160):
            for left in range(0, truth.shape[1] - 159, 160):
                names.append(f"{scene.name}/r{top // 160:02d}c{left // 160:02d}")
                images.append(image[top : top + 160, left : left + 160])
                masks.append(truth[top : top + 160, left : left + 160])
    chosen = sorted(np.random.RandomState(42).permutation(len(names))[: -(-len(names) // 10)])
    model = load_by_hand(run)
    ranked = []
    for start in range(0, len(chosen), 32):
        batch = chosen[start : start + 32]
        predicted = np.asarray(model(np.stack([images[i] for i in batch]).astype("float32"))).argmax(-1)
        for i, p in zip(batch, predicted, strict=True):
            wrong = int((masks[i] != p).sum())
            if wrong >= 256:  # one pixel in a hundred
                ranked.append((scores_by_hand(masks[i], p)[1], -wrong, names[i]))
    ranked.sort(key=lambda scored: scored[:2])

    page = open_page(f"{address}/Worst-case_gallery?run={run}")
    shown = []
    for _ in range(2):
        cards = page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code")
        shown += cards.all_inner_texts()
        page.get_by_role("button", name="Next page").click()
        expect(
            page.locator("[data-testid=stMain] strong", has_text=re.compile(rf"^{len(shown) + 1}\.$"))
        ).to_be_visible()
        settle(page)
    assert shown == [name for _, _, name in ranked[: len(shown)]]
    assert len(shown) == 16


def test_a_patch_of_the_gallery_opens_in_the_explorer(
    demo_address: str, open_page: Open, settle: Settle, metric: Metric
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery")
    name = page.locator("[data-testid=stMain] code").first.inner_text()
    card_score = page.locator("[data-testid=stMain]").get_by_text(re.compile(r"Mean IoU 0\.\d{3}")).first.inner_text()
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.get_by_text(f"{name}, 160 × 160 px")).to_be_visible()
    settle(page)
    assert metric(page, "Mean IoU") in card_score


@pytest.mark.parametrize(
    "left", ["source=Upload", "source=Random+patches", "scene=tile-2%2Fimage_part_001&patch=r01c01"]
)
def test_a_link_shows_what_it_names_whatever_the_explorer_showed_before(
    left: str, demo_address: str, open_page: Open, settle: Settle
) -> None:
    page = open_page(f"{demo_address}/Prediction_explorer?{left}")
    settle(page)
    page.get_by_role("link", name="Dataset browser").click()
    expect(page.get_by_role("heading", name="Dataset browser")).to_be_visible()
    settle(page)
    page.get_by_role("radio", name="Patches").click()
    page.get_by_role("link", name="image_part_001 r00c01").first.click()
    expect(page.get_by_text("tile-1/image_part_001/r00c01, 160 × 160 px")).to_be_visible()
    page.get_by_role("radio", name="Random patches").click()
    link = page.get_by_role("link", name="Explore", exact=True).first
    expect(link).to_be_visible()  # before, the page may still show the patch
    settle(page)
    name = page.locator("[data-testid=stMain] code").first.inner_text()
    link.click()
    expect(page.get_by_text(f"{name}, 160 × 160 px")).to_be_visible()


def broken(folder: Path) -> dict[str, Path]:
    """Files that people upload by mistake, and images of odd modes."""
    noise = io.BytesIO()
    Image.effect_noise((400, 300), 90).save(noise, "JPEG")
    files = {
        "text.png": b"Dear Sir or Madam",
        "cut.jpg": noise.getvalue()[: len(noise.getvalue()) // 2],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    Image.new("RGB", (1, 1), 90).save(folder / "pixel.png")
    Image.effect_noise((200, 180), 90).save(folder / "grey.png")
    Image.effect_noise((200, 180), 90).convert("RGBA").save(folder / "alpha.png")
    Image.effect_noise((200, 180), 90).convert("CMYK").save(folder / "print.jpg")
    Image.new("RGB", (64, 32), COLORS[0]).save(folder / "small-mask.png")
    return {path.name: path for path in folder.iterdir()}


def test_odd_and_broken_files_are_handled_or_refused_in_one_sentence(
    demo_address: str, open_page: Open, settle: Settle, tmp_path: Path
) -> None:
    files = broken(tmp_path)
    page = open_page(f"{demo_address}/Prediction_explorer?source=Upload")
    image, mask = (page.locator("[data-testid=stFileUploaderDropzoneInput]").nth(index) for index in range(2))
    alert = page.locator("[data-testid=stMain] [data-testid=stAlert]")
    for name, sentence in (
        ("text.png", "text.png is not an image that can be read"),
        ("cut.jpg", "cut.jpg is damaged or cut short"),
    ):
        image.set_input_files(files[name])
        expect(alert).to_contain_text(sentence)
        settle(page)
        expect(alert).to_have_count(1)
    for name, size in (
        ("pixel.png", "1 × 1"),
        ("alpha.png", "200 × 180"),
        ("print.jpg", "200 × 180"),
        ("grey.png", "200 × 180"),
    ):
        image.set_input_files(files[name])
        expect(page.get_by_text(f"{name}, {size} px")).to_be_visible()
        settle(page)
        expect(alert).to_have_count(0)
        expect(page.locator(".viewer canvas")).to_have_count(2)
    mask.set_input_files(files["small-mask.png"])
    expect(alert).to_contain_text("The mask small-mask.png has 64 × 32 pixels, the image grey.png 200 × 180")
    settle(page)
    expect(page.locator(".viewer canvas")).to_have_count(2)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def test_the_name_of_an_upload_is_shown_as_it_is(demo_address: str, open_page: Open, tmp_path: Path) -> None:
    name = "1. **bold** $x^2$ :red[y] `c` <i>z.png"
    Image.effect_noise((200, 180), 90).convert("RGB").save(tmp_path / name)
    page = open_page(f"{demo_address}/Prediction_explorer?source=Upload")
    page.locator("[data-testid=stFileUploaderDropzoneInput]").nth(0).set_input_files(tmp_path / name)
    expect(page.get_by_text(f"{name}, 200 × 180 px", exact=True)).to_be_visible()
    page = open_page(f"{demo_address}/Training_monitor")
    page.get_by_text("Another log: a path or an upload").click()
    (tmp_path / f"{name}.csv").write_text("epoch,loss\n0,1.0\n")
    page.locator("[data-testid=stFileUploaderDropzoneInput]").nth(0).set_input_files(tmp_path / f"{name}.csv")
    expect(page.get_by_text(f"{name}.csv: 1 epoch, best is epoch 0 by loss", exact=True)).to_be_visible()


def test_a_download_that_cannot_be_had_says_so_and_breaks_nothing(
    serve: Callable[..., str], open_page: Open, demo: Dataset, tmp_path: Path
) -> None:
    # A copy: where the project has the set in data/ already, nothing is offered.
    for folder in ("segmentation", "pages", ".streamlit"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    shutil.copy(PROJECT / "app.py", tmp_path)
    nobody = "http://127.0.0.1:9"  # a port where nobody listens
    proxies = {"HTTPS_PROXY": nobody, "https_proxy": nobody, "NO_PROXY": "", "no_proxy": ""}
    address = serve(tmp_path, SEGMENTATION_DATA=str(demo.root), **proxies)
    page = open_page(address)
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_text("could not be fetched (no connection)")).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.get_by_role("button", name="Download")).to_be_visible()


def test_the_monitor_follows_a_run_that_is_being_written(
    serve: Callable[..., str], open_page: Open, demo: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "live"
    run.mkdir()
    log = run / "history.csv"
    log.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.0,0.55,0.9\n")
    write_status(run, "running", phase="training", progress=0.25)
    page = open_page(
        f"{serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(tmp_path))}/Training_monitor?run=live"
    )
    expect(page.get_by_text("live is running")).to_be_visible()
    expect(page.get_by_text("live: 1 epoch, best is epoch 0 by val_accuracy")).to_be_visible()
    with log.open("a") as file:
        file.write("1,0.6,0.8,0.65,0.7\n2,0.7")  # the third line is only half there
    expect(page.get_by_text("live: 2 epochs, best is epoch 1 by val_accuracy")).to_be_visible()
    expect(page.get_by_text("the last line is still being written")).to_be_visible()
    with log.open("a") as file:
        file.write(",0.6,0.6,0.8\n")
    write_status(run, "finished")
    expect(page.get_by_text("live is finished")).to_have_count(1)  # not while the page is redrawn
    expect(page.get_by_text("live: 3 epochs, best is epoch 1 by val_accuracy")).to_have_count(1)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
