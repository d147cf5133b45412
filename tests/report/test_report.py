"""A run's report says what its files say, shows its pictures, and lets no name out of its place."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro
from PIL import Image

from segmentation.configuration import Configuration
from segmentation.data.palette import DUBAI
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import RunError
from segmentation.evaluation.foreign import add_model
from segmentation.evaluation.gains import say_gain
from segmentation.inference.predictor import Predictor
from segmentation.intervals import find_gains
from segmentation.report.build import Sources, make_report, report_name, write_report
from segmentation.report.repeating import scoring_command, training_command, training_options
from segmentation.runs.run import SHIPPED, Run
from tests.brightness import THREE, write_convolution, write_set
from tests.test_intervals import held_out

HOSTILE = '<script>alert(1)</script>"onload=x {{ 7 * 7 }} & co'

MADE = "2026-11-27 12:00 UTC"


class Page(HTMLParser):
    """What a browser makes of a report: its text by section, its elements and its pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self._section = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "section":
            self._section = dict(attributes)["id"]

    def handle_data(self, data: str) -> None:
        text = self.sections.get(self._section, "") + f" {data}"
        self.sections[self._section] = re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))

    @property
    def text(self) -> str:
        return " ".join(self.sections.values())

    def pictures(self, title: str) -> list[np.ndarray]:
        """The pixels of the pictures whose description begins so."""
        found = [of for tag, of in self.elements if tag == "img" and of["alt"].startswith(title)]
        contents = (base64.b64decode(of["src"].partition("base64,")[2]) for of in found)
        return [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents]


def page_of(run: Run, other: Run | None = None, **sources: object) -> Page:
    return Page(make_report(run, other, Sources(**sources), MADE))


@pytest.fixture(scope="module")
def by_red(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Dataset]:
    """A model of brightness, judged by masks that go by the red channel: often wrong."""
    folder = tmp_path_factory.mktemp("red")
    dataset = write_set(folder / "Red & blue", THREE, channel=0)
    model = write_convolution(folder / "grey.onnx")
    return add_model(folder / "grey", model, dataset, patch_size=100, tell=lambda _: None), dataset


def test_scores_intervals_and_confusions_are_those_of_the_run() -> None:
    run = Run(SHIPPED / "dubai-best")
    page = page_of(run)
    answer, scores, confusions = (page.sections[name] for name in ("answer", "scores", "confusions"))
    assert "labels 90.3 % of the scored pixels right (95 % interval 0.886 – 0.920)" in answer
    assert "mean IoU is 0.730 (95 % interval 0.668 – 0.759)" in answer
    assert "best at Water (IoU 0.956) and worst at Unlabeled (0.413)" in answer
    table = run.patches[run.patches["part"] == "test"]
    assert f"349 held-out patches from {table['scene'].nunique()} scenes, 8,934,400 pixels" in answer
    for name, kind, value in run.metrics.scores():
        assert f"{kind.heading} {value:.3f}" in scores, name
    for name, value in run.metrics.iou.items():
        low, high = run.metrics.intervals.iou[name]
        assert f"{name} {value:.3f} {low:.3f} – {high:.3f}" in scores
    first, second = (
        f"{one}: {rest}"
        for one, rest in (
            ("Land predicted as Road", "119,824 pixels, 2.8 % of Land"),
            ("Road predicted as Land", "110,865 pixels, 13.1 %"),
        )
    )
    assert 0 < confusions.index(first) < confusions.index(second)
    assert f"calibration error {run.metrics.calibration_error:.3f}" in page.sections["calibration"]
    assert f"Fingerprint (SHA-256) {run.fingerprint}" in page.sections["data"]
    assert "lite0-unet, 4,023,574 parameters" in page.sections["model"]


def test_places_are_scored_by_the_sums_of_their_patches() -> None:
    table, matrices = held_out("dubai-best")
    places = page_of(Run(SHIPPED / "dubai-best")).sections["places"]
    for tile in table["tile"].unique():
        matrix = matrices[(table["tile"] == tile).to_numpy()].sum(0)
        hit, seen = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        assert (
            f"{tile} {(hit / np.where(seen, seen, np.nan))[seen > 0].mean():.3f} {hit.sum() / matrix.sum():.3f}"
            in places
        )
    assert f"{table['scene'].nunique() - 24} more scenes do better" in places


def test_what_flatters_is_said_where_it_does() -> None:
    def caution(name: str) -> str:
        return page_of(Run(SHIPPED / name)).sections["answer"]

    assert "All 349 held-out patches touch one that was trained on" in caution("dubai-best")
    assert "touch one that was trained on" not in caution("dubai-tile")
    assert "The epoch that was kept is the one that did best on the held-out part" in caution("dubai-best")
    assert "The intervals come from 8 scenes" in caution("dubai-scene")


def test_two_runs_are_compared_in_pairs() -> None:
    one, other = Run(SHIPPED / "dubai-lite0"), Run(SHIPPED / "dubai-best")
    page = page_of(one, other)
    by_name, by_class = find_gains(held_out(one.name), held_out(other.name), DUBAI)
    comparison, rows = page.sections["comparison"], dict.fromkeys(("real", "not shown"), 0)
    for name, score in (("accuracy", "accuracy"), ("mean_iou", "mean IoU")):
        assert str(say_gain(by_name[name], score, other.name)) in comparison
    for name, gain in by_class.items():
        verdict = "real" if gain.real else "not shown"
        rows[verdict] += 1
        low, high = gain.interval
        assert f"{name} {gain.gain:+.3f} {low:+.3f} to {high:+.3f} {verdict}" in comparison
    assert all(rows.values())
    scored = [run.patches.query("part == 'test'").set_index("patch")["mean_iou"] for run in (one, other)]
    gains = (scored[1] - scored[0]).dropna()
    assert f"better on {(gains > 0).sum()} and worse on {(gains < 0).sum()}" in comparison
    assert f"Accuracy {one.metrics.accuracy:.3f}" in page.sections["scores"]
    assert f"{other.metrics.accuracy:.3f}" in page.sections["scores"]
    assert report_name(one, other) == "dubai-lite0-and-dubai-best-report.html"


def test_a_run_is_not_compared_with_itself_or_with_other_classes(by_red: tuple[Run, Dataset]) -> None:
    run = Run(SHIPPED / "dubai-best")
    with pytest.raises(RunError, match="cannot be compared with itself"):
        make_report(run, run)
    with pytest.raises(RunError, match="knows other classes than dubai-best"):
        make_report(run, by_red[0])


def test_the_pictures_are_image_mask_prediction_and_what_is_wrong(by_red: tuple[Run, Dataset]) -> None:
    run, dataset = by_red
    page = page_of(run, dataset=dataset, fingerprint=dataset.fingerprint())
    worst = run.patches.dropna(subset="mean_iou").sort_values("mean_iou", kind="stable").head(8)
    shown = page.sections["worst"]
    assert [shown.index(name) for name in worst["patch"]] == sorted(shown.index(name) for name in worst["patch"])
    first = worst.iloc[0]
    image, mask = read_scene(dataset.scene(first["scene"]), dataset.palette)
    here = np.s_[first["row"] * 100 :, first["column"] * 100 :]
    image, mask = (array[here][:100, :100] for array in (image, mask))
    predicted = Predictor(run.model).scene_classes(image)
    colors = np.array(dataset.palette.colors, np.uint8)
    assert abs(page.pictures("Image of")[0].astype(float) - image).mean() < 12  # WebP loses some of the noise
    assert (page.pictures("Ground truth of")[0] == colors[mask]).all()
    assert (page.pictures("Prediction of")[0] == colors[predicted]).all()
    differs = page.pictures("Wrong of")[0]
    assert (differs[mask != predicted] == colors[predicted][mask != predicted]).all()
    assert (differs[mask == predicted] == 236).all()
    assert f"{(mask != predicted).sum():,} wrong pixels" in shown
    assert "are not the one that was scored" not in page.text
    assert "have changed since" in page_of(run, dataset=dataset, fingerprint="another").sections["answer"]


def test_the_same_files_give_the_same_report_and_a_colour_blind_one(by_red: tuple[Run, Dataset]) -> None:
    run, dataset = by_red
    one, again = (make_report(run, None, Sources(dataset=dataset), MADE) for _ in range(2))
    assert one == again
    safe = page_of(run, dataset=dataset, colour_blind_safe=True)
    colors = np.array(dataset.palette.colour_blind_safe().colors)
    found = np.unique(safe.pictures("Ground truth of")[0].reshape(-1, 3), axis=0)
    assert {*map(tuple, found.tolist())} <= {*map(tuple, colors.tolist())}


def test_a_scene_that_is_gone_costs_its_pictures_only(by_red: tuple[Run, Dataset], tmp_path: Path) -> None:
    run, dataset = by_red
    root = shutil.copytree(dataset.root, tmp_path / dataset.root.name)
    (root / "images" / "1.png").write_bytes(b"no image")
    page = page_of(run, dataset=find_dataset(root))
    assert "1.png is not an image that can be read" in page.sections["worst"]
    assert 0 < len(page.pictures("Prediction of")) < 14


def test_a_model_that_cannot_be_used_costs_the_predictions_only(by_red: tuple[Run, Dataset], tmp_path: Path) -> None:
    run, dataset = by_red
    broken = Run(shutil.copytree(run.folder, tmp_path / "broken"))
    (broken.folder / "model.onnx").write_bytes(b"no model")
    page = page_of(broken, dataset=dataset)
    assert page.pictures("Ground truth of") and not page.pictures("Prediction of")
    assert "model.onnx" in page.sections["worst"]


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Run, Dataset]:
    """A run of predictions whose classes, data set, folder, notes and versions are called as nobody should."""
    root = write_set(tmp_path / "a'\"><img src=x onerror=alert(1)>", THREE).root
    (root / "classes.txt").write_text(f"{HOSTILE}\n</style><b>bold</b>\n%{{x}}\n")
    dataset = find_dataset(root)
    with Run.create("predicted", dataset, runs=tmp_path, patch_size=100) as recording:
        for scene in dataset.scenes:
            _, mask = read_scene(scene, dataset.palette)
            recording.record(scene, np.roll(mask, 20, axis=1))
        recording.note(f"odd: {HOSTILE}")
        run = recording.finish()
    return Run(run.folder.rename(run.folder.with_name("<i>'\"&run"))), dataset


def test_no_name_gets_out_of_its_place(hostile: tuple[Run, Dataset]) -> None:
    run, dataset = hostile
    patches = run.patches["patch"]
    reviews = pd.DataFrame({"patch": patches, "verdict": HOSTILE, "note": HOSTILE})
    row = ("error", HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0)
    findings = pd.DataFrame([row], columns=["severity", "kind", "scene", "file", "detail", "pixels"])
    page = page_of(run, dataset=dataset, reviews=reviews, findings=findings)
    harmless = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "figure", "figcaption"}
    harmless |= {"h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "div", "span", "strong", "code", "br", "img"}
    harmless |= {"table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "path", "text", "circle", "polyline"}
    assert {tag for tag, _ in page.elements} <= harmless
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "style")], tag
        assert tag != "img" or attributes["src"].startswith("data:image/")
    assert run.name in page.sections["answer"]
    for section in ("scores", "data", "confusions"):
        assert HOSTILE in page.sections[section], section
    assert "49" not in page.sections["confusions"].split(HOSTILE)[0]


def test_nothing_comes_from_elsewhere_and_the_policy_allows_only_its_own_style() -> None:
    html = make_report(Run(SHIPPED / "dubai-unet-plain"), made=MADE)
    assert "http://" not in html and "https://" not in html and "url(" not in html
    policy = next(of["content"] for tag, of in Page(html).elements if tag == "meta" and "http-equiv" in of)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (("history.csv",), "dubai-best has no scores yet"),
        (("config.json", "history.csv", "status.json"), "It has no model to score either: best.keras is missing"),
        (("config.json", "metrics.json", "status.json"), "the run has no scores patch by patch"),
        ((), "There is no training log"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path, kept: tuple[str, ...], sentence: str) -> None:
    folder = tmp_path / "dubai-best"
    folder.mkdir()
    for name in kept:
        shutil.copy(SHIPPED / "dubai-best" / name, folder)
    page = page_of(Run(folder))
    assert sentence in page.text
    assert ("By class" in page.text) == ("metrics.json" in kept)
    assert ("polyline" in {tag for tag, _ in page.elements}) == (kept != ())


def test_a_training_under_way_is_said_to_be(tmp_path: Path) -> None:
    from segmentation.runs.run import write_status

    folder = tmp_path / "young"
    folder.mkdir()
    for name in ("config.json", "history.csv"):
        shutil.copy(SHIPPED / "dubai-best" / name, folder)
    write_status(folder, "running", epoch=3, epochs=20)
    answer = page_of(Run(folder)).sections["answer"]
    assert "Its training is under way" in answer and "It is running, epoch 3 of 20" in answer


def test_the_command_trains_with_the_same_hyper_parameters() -> None:
    for name in ("dubai-best", "dubai-tile", "dubai-unet-plain"):
        run = Run(SHIPPED / name)
        configuration = run.config.hyper_parameters
        assert tyro.cli(Configuration, args=training_options(configuration)) == configuration
        assert training_command(run).startswith(f"python -m segmentation train --name {name} --data DATA")
    weighted = Configuration(class_weights=(1, 2.5), flips_and_rotations=True, early_stopping=2)
    assert tyro.cli(Configuration, args=training_options(weighted)) == weighted


def test_a_run_from_elsewhere_is_repeated_by_what_added_it(by_red: tuple[Run, Dataset]) -> None:
    run, _ = by_red
    added = training_command(run)
    assert added == "python -m segmentation add grey --model MODEL --data DATA --protocol all --patch-size 100"
    assert scoring_command(run) == "python -m segmentation evaluate --run grey --data DATA --protocol all"


def test_a_report_that_cannot_be_written_leaves_the_old_one(small_disk: Path) -> None:
    path = small_disk / "report.html"
    path.write_text("old")
    with pytest.raises(Exception, match="cannot be written"):
        write_report(path, "x" * (4 << 20))
    assert path.read_text() == "old" and [*small_disk.iterdir()] == [path]
