"""Labels audited on masks whose answer is known, kept scene by scene, put right, and scored anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segmentation.commands import auditing
from segmentation.data.coco import draw_objects, read_coco
from segmentation.data.kept import KeptResults
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.audit_files import regions_to_coco, regions_to_geojson
from segmentation.evaluation.audit_run import audit_keys, audit_labels, contradiction, fresh_models, judges, known_audit
from segmentation.evaluation.label_audit import (
    LEAST,
    LEAST_PROBABILITY,
    Contradiction,
    Suspects,
    find_suspects,
    regions_of,
    suspect_table,
    with_verdicts,
)
from segmentation.evaluation.relabelling import matrices_if_wrong, write_masks
from segmentation.evaluation.rescoring import compare_truths, rescore
from segmentation.inference.predictor import Predictor
from segmentation.runs.patch_table import write_patches
from segmentation.runs.region_verdicts import WRONG, Region, keep_verdict
from segmentation.runs.run import Run
from tests.conftest import COLORS

LAND, ROOF, ROAD = 1, 0, 2


def city(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (80, 120), of: int = ROOF) -> np.ndarray:
    mask = np.full(shape, LAND, np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = of
    return mask


def sure(predicted: np.ndarray, confidence: float = 0.9, margin: float = 2.0) -> Contradiction:
    return Contradiction(
        predicted, np.full(predicted.shape, confidence, np.float16), np.full(predicted.shape, margin, np.float16)
    )


def test_a_missing_roof_is_one_region_and_an_outline_that_is_off_is_none() -> None:
    truth = city((10, 10, 30, 30))
    predicted = city((10, 13, 30, 33), (40, 40, 60, 70))
    found = find_suspects(truth, sure(predicted))
    assert found.boxes.tolist() == [[40, 40, 60, 70]]
    assert (found.labelled.tolist(), found.predicted.tolist()) == ([LAND], [ROOF])
    assert found.mask(0).all()
    assert found.pixels.tolist() == [600]
    assert found.evidence[0] == pytest.approx(1200)  # nothing else in the scene is contradicted that way


def test_a_roof_that_is_none_is_a_region_up_to_its_outline() -> None:
    """Its rim was left out of the core, and is part of what is put right."""
    found = find_suspects(city((10, 10, 40, 40)), sure(city()))
    assert found.boxes.tolist() == [[10, 10, 40, 40]]
    assert found.mask(0).all()
    assert found.evidence[0] == pytest.approx(2 * 24 * 24)


def test_what_is_unsure_small_or_void_is_no_region() -> None:
    predicted = city((40, 40, 60, 70))
    assert len(find_suspects(city(), sure(predicted, confidence=0.79)).pixels) == 0
    side = int(LEAST**0.5)
    assert len(find_suspects(city(), sure(city((5, 5, 5 + side, 5 + side)))).pixels) == 1
    assert len(find_suspects(city(), sure(city((5, 5, 5 + side, 4 + side)))).pixels) == 0
    truth = city()
    truth[40:60, 40:70] = 255
    assert len(find_suspects(truth, sure(predicted)).pixels) == 0
    predicted[40:60, 40:70] = 255
    assert len(find_suspects(city(), sure(predicted)).pixels) == 0


def test_what_a_model_confuses_throughout_a_scene_counts_less() -> None:
    """Two roofs of many that are taken for road say less than one piece of land that is."""
    roofs = [(10, left, 30, left + 20) for left in range(5, 165, 40)]
    truth = city(*roofs, shape=(100, 200))
    predicted = truth.copy()
    predicted[10:30, 5:25] = predicted[10:30, 45:65] = predicted[60:74, 100:114] = ROAD
    table = suspect_table({"a": find_suspects(truth, sure(predicted))}, find_palette())
    assert table["labelled"].tolist() == ["Land", "Building", "Building"]
    rest = 14 * 14 / (3 * 14 * 14)  # of the other roofs' inner pixels
    assert table["evidence"][1] == pytest.approx(2 * 14 * 14 * 0.01 / (0.01 + rest), rel=1e-3)


def find_palette() -> object:
    from segmentation.data.palette import DUBAI

    return DUBAI


def test_regions_of_two_pairs_and_of_many_shapes_survive_being_kept() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, (6, 8), np.uint8).repeat(20, 0).repeat(20, 1)
    predicted = rng.integers(0, 3, (6, 8), np.uint8).repeat(20, 0).repeat(20, 1)
    areas = None
    parts = np.repeat(np.uint8([[1], [3]]), 60, 0) * np.ones((1, 160), np.uint8)
    found = find_suspects(truth, sure(predicted), parts, areas)
    assert len(found.pixels) > 5
    again = Suspects.from_bytes(found.to_bytes())
    for before, after in zip(found, again, strict=True):
        np.testing.assert_array_equal(before, after)
    for place in range(len(again.pixels)):
        top, left, bottom, right = again.boxes[place]
        mask = again.mask(place)
        assert mask.sum() == again.pixels[place]
        assert (truth[top:bottom, left:right][mask] == again.labelled[place]).all()
        assert (predicted[top:bottom, left:right][mask] == again.predicted[place]).all()
        assert again.parts[place] == parts[top:bottom, left:right][mask].max()
    assert Suspects.from_bytes(b"nothing") is None


def test_without_probabilities_the_larger_region_comes_first() -> None:
    predicted = city((5, 5, 25, 25), (40, 40, 70, 80))
    found = find_suspects(city(), Contradiction(predicted))
    assert found.pixels.tolist() == [1200, 400]
    assert np.isnan(found.certainty).all()


def test_a_network_contradicts_by_its_probabilities_at_the_temperature(trained: object) -> None:
    """Held against the patches' probabilities, one after another."""
    dataset, predictor = trained.dataset, Predictor(trained.run.model)
    scene = dataset.scenes[0]
    from segmentation.data.scenes import read_scene

    image, truth = read_scene(scene, dataset.palette)
    seen = contradiction(predictor, image, truth, 2.0)
    probabilities = next(predictor.batches([image[:32, :32]]))[0].astype(np.float64) ** 0.5
    probabilities /= probabilities.sum(-1, keepdims=True)
    np.testing.assert_array_equal(seen.predicted[:32, :32], probabilities.argmax(-1))
    np.testing.assert_allclose(seen.confidence[:32, :32], probabilities.max(-1), atol=2e-3)
    row, column = np.argwhere(truth[:32, :32] != 255)[40]
    of_label = max(probabilities[row, column, truth[row, column]], LEAST_PROBABILITY)
    assert seen.margin[row, column] == pytest.approx(np.log(probabilities[row, column].max() / of_label), abs=5e-3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven scenes of 64 px: land with a roof; in three of them the mask lacks it."""
    root = tmp_path_factory.mktemp("labelled")
    for folder in ("images", "masks"):
        (root / "Tile 1" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    colors = np.array(COLORS, np.uint8)
    for number in range(7):
        mask = city((8, 8, 40, 40), shape=(64, 64)) if number > 2 else city(shape=(64, 64))
        Image.fromarray(colors[mask]).save(root / "Tile 1" / "masks" / f"{number}.png")
        shade = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(shade).save(root / "Tile 1" / "images" / f"{number}.png")
    return find_dataset(root)


@pytest.fixture(scope="module")
def recorded(labelled: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that sees the roof in every scene, a little to the right where the mask has it."""
    with Run.create("theirs", labelled, runs=tmp_path_factory.mktemp("runs"), patch_size=32) as recording:
        for number, scene in enumerate(labelled.scenes):
            left = 10 if number > 2 else 8
            recording.record(scene, city((8, left, 40, left + 32), shape=(64, 64)))
        return recording.finish()


@pytest.fixture
def kept(tmp_path: Path) -> KeptResults:
    return KeptResults(tmp_path / "audit.sqlite", 1 << 20)


def wrong_places(table: pd.DataFrame) -> dict[str, list[int]]:
    return table.groupby("scene")["place"].apply(list).to_dict()


def test_a_run_is_audited_once_and_goes_on_where_it_was_cut(
    recorded: Run, labelled: Dataset, kept: KeptResults
) -> None:
    def cancel(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit_labels(recorded, labelled, kept, fresh_models(), cancel)
    keys = audit_keys(recorded, labelled)
    assert len(kept.read(list(keys.values()))) == 2
    assert known_audit(keys, kept) is None
    found = audit_labels(recorded, labelled, kept, fresh_models())
    table = suspect_table(found.scenes, labelled.palette)
    assert table[["scene", "labelled", "predicted", "pixels"]].to_numpy().tolist() == [
        [scene.name, "Land", "Building", 1024] for scene in labelled.scenes[:3]
    ]
    again = known_audit(keys, kept)
    pd.testing.assert_frame_equal(suspect_table(again.scenes, labelled.palette), table)


def test_verdicts_and_masks_that_come_back_give_the_score_computed_independently(
    recorded: Run, labelled: Dataset, kept: KeptResults, tmp_path: Path
) -> None:
    audit = audit_labels(recorded, labelled, kept, fresh_models())
    wrong = wrong_places(suspect_table(audit.scenes, labelled.palette).head(2))
    matrices = matrices_if_wrong(recorded, audit.scenes, wrong)
    truths = compare_truths(recorded, matrices)
    paths = write_masks(labelled, audit.scenes, wrong, tmp_path / "corrected")
    assert [path.relative_to(tmp_path / "corrected").as_posix() for path in paths] == [
        f"Tile 1/masks/{number}.png" for number in range(2)
    ]
    right = pixels = 0  # by a comparison of pictures
    for number, scene in enumerate(labelled.scenes):
        path = tmp_path / "corrected" / "Tile 1" / "masks" / f"{number}.png"
        colors = np.asarray(Image.open(path if number < 2 else scene.mask).convert("RGB"))
        left = 10 if number > 2 else 8
        seen = np.array(COLORS, np.uint8)[city((8, left, 40, left + 32), shape=(64, 64))]
        right += (colors == seen).all(-1).sum()
        pixels += colors[..., 0].size
    rows = truths.scores.set_index("score")
    assert rows.loc["accuracy", "after"] == pytest.approx(right / pixels)
    assert rows.loc["accuracy", "gain"] == pytest.approx(2 * 1024 / pixels)
    assert rows.loc["accuracy", "after_low"] < right / pixels < rows.loc["accuracy", "after_high"]
    assert truths.changed == 8

    back = rescore(recorded, labelled, tmp_path / "corrected", fresh_models())
    pd.testing.assert_frame_equal(back.truths.scores, truths.scores)
    assert back.masks == 2
    assert back.pixels.to_numpy().tolist() == [[scene.name, "Land", "Building", 1024] for scene in labelled.scenes[:2]]


def test_a_network_is_scored_anew_as_it_was(trained: object, tmp_path: Path) -> None:
    """A mask with one class in place of another, against `evaluate_run` on a data set that has it."""
    from segmentation.evaluation.evaluate import evaluate_run

    run, dataset = trained.run, trained.dataset
    copy = Path(shutil.copytree(dataset.root, tmp_path / "set"))
    scene = run.patches.loc[run.patches["part"] == "test", "scene"].iloc[0]
    mask = dataset.scene(scene).mask
    colors = np.array(Image.open(mask).convert("RGB"))
    colors[(colors == COLORS[1]).all(-1)] = COLORS[0]
    target = tmp_path / "corrected" / mask.relative_to(dataset.root)
    target.parent.mkdir(parents=True)
    Image.fromarray(colors).save(target)
    shutil.copyfile(target, copy / mask.relative_to(dataset.root))
    found = rescore(run, dataset, tmp_path / "corrected", fresh_models())
    metrics, _ = evaluate_run(run, find_dataset(copy), tell=lambda sentence: None)
    rows = found.truths.scores.set_index("score")
    assert found.pixels[["before", "after"]].drop_duplicates().to_numpy().tolist() == [["Land", "Building"]]
    assert rows.loc["mean_iou", "after"] == pytest.approx(metrics.mean_iou, abs=1e-6)
    assert rows.loc["mean_iou", "before"] == pytest.approx(run.metrics.mean_iou, abs=1e-6)
    assert rows.loc["mean_iou", "after"] != rows.loc["mean_iou", "before"]


def test_masks_in_another_encoding_or_size_are_refused(recorded: Run, labelled: Dataset, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "0.png")
    with pytest.raises(ImageFileError, match="in another way than the masks of the data set"):
        rescore(recorded, labelled, tmp_path, fresh_models())
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(tmp_path / "0.png")
    with pytest.raises(ImageFileError, match="has 64 × 32 pixels"):
        rescore(recorded, labelled, tmp_path, fresh_models())
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(ImageFileError):
        rescore(recorded, labelled, tmp_path, fresh_models())
    (tmp_path / "0.png").unlink()
    with pytest.raises(RunError, match="No file in"):
        rescore(recorded, labelled, tmp_path, fresh_models())


@pytest.mark.parametrize("kind", ["values", "palette", "tiff"])
def test_corrected_masks_say_their_classes_as_before(kind: str, tmp_path: Path) -> None:
    """All pixels but the region's are untouched, whatever they hold."""
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    suffix = "tif" if kind == "tiff" else "png"
    values = np.full((64, 64), 7, np.uint8)
    values[:2], values[-2:] = 77, 6
    for number in range(2):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(root / "images" / f"{number}.png")
        mask = Image.fromarray(values)
        if kind == "palette":
            mask.putpalette(np.random.default_rng(0).permutation(768).astype(np.uint8).tobytes())
        mask.save(root / "masks" / f"{number}.{suffix}")
    dataset = find_dataset(root)
    before = dataset.scenes[0].read_mask(dataset.palette)
    assert set(np.unique(before)) == {0, 1, 2}  # values or colours in their order
    seen = before.copy()
    seen[20:40, 20:40] = before[-1, 0]
    suspects = find_suspects(before, sure(seen))
    (written,) = write_masks(
        dataset, {dataset.scenes[0].name: suspects}, {dataset.scenes[0].name: [0]}, tmp_path / "new"
    )
    assert written == tmp_path / "new" / "masks" / f"0.{suffix}"
    with Image.open(written) as image, Image.open(dataset.scenes[0].mask) as old:
        after, was = (np.array(of.convert("RGB") if kind == "palette" else of) for of in (image, old))
    changed = np.zeros((64, 64), bool)
    changed[20:40, 20:40] = True
    assert (after[changed] == was[-1, 0]).all()
    np.testing.assert_array_equal(after[~changed], was[~changed])


def test_files_hold_the_regions_for_other_programs(labelled: Dataset, tmp_path: Path) -> None:
    """Read back as a COCO data set, pixel by pixel: a plain region, and one with a hole."""
    truth, seen = city(shape=(64, 64)), city((4, 4, 24, 24), (30, 20, 60, 60), shape=(64, 64))
    seen[40:48, 36:44] = LAND
    found = {labelled.scenes[0].name: find_suspects(truth, sure(seen))}
    table = with_verdicts(suspect_table(found, labelled.palette), {})
    first = table.iloc[0]
    table = with_verdicts(table, {regions_of(table)[0]: WRONG})
    assert table["verdict"].tolist() == [WRONG, ""]
    path = tmp_path / "regions.json"
    path.write_text(regions_to_coco(table, labelled, found))
    content = json.loads(path.read_text())
    assert [one["iscrowd"] for one in content["annotations"]] == [1, 0]
    coco = read_coco(path)
    values = {number: labelled.palette.names.index(name) for number, name in coco.categories.items()}
    drawn = draw_objects(coco.objects_of(labelled.scenes[0].image), values, (64, 64))
    np.testing.assert_array_equal(drawn == ROOF, seen == ROOF)
    features = json.loads(regions_to_geojson(table, labelled, found))["features"]
    assert [len(feature["geometry"]["coordinates"][0]) for feature in features] == [2, 1]  # outline and hole
    assert features[0]["properties"]["verdict"] == WRONG
    assert features[0]["properties"]["pixels"] == first["pixels"] == 30 * 40 - 64


def test_a_run_that_cannot_judge_says_so(labelled: Dataset, recorded: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="was not evaluated"):
        judges(Run(tmp_path))
    for name in ("config.json", "metrics.json", "patches.csv"):
        (tmp_path / name).write_bytes((recorded.folder / name).read_bytes())
    with pytest.raises(RunError, match="neither a model nor predictions"):
        judges(Run(tmp_path))


def test_each_scene_is_judged_by_the_fold_that_left_it_out(trained: object, kept: KeptResults, tmp_path: Path) -> None:
    """Two folds, of which one has a temperature; the whole has no model."""
    whole = tmp_path / "whole"
    table = trained.run.patches
    scenes = list(table["scene"].unique())
    for number, left_out in enumerate((scenes[:2], scenes[2:])):
        fold = Path(shutil.copytree(trained.run.folder, whole / "folds" / f"whole-{number}"))
        parts = np.where(table["scene"].isin(left_out), "test", "train")
        write_patches(fold / "patches.csv", table.assign(part=parts))
        metrics = json.loads((fold / "metrics.json").read_text())
        (fold / "metrics.json").write_text(json.dumps(metrics | {"temperature": 3.0 if number else None}))
    for name in ("config.json", "metrics.json"):
        shutil.copyfile(trained.run.folder / name, whole / name)
    write_patches(whole / "patches.csv", table.assign(part="test"))
    run = Run(whole)
    assert {name: (judge.model.parent.name, judge.temperature) for name, judge in judges(run).items()} == {
        scene: (f"whole-{place // 2}", 3.0 if place > 1 else None) for place, scene in enumerate(scenes)
    }
    used, load = [], fresh_models()

    def open_model(path: Path) -> Predictor:
        used.append(path.parent.name)
        return load(path)

    audit = audit_labels(run, trained.dataset, kept, open_model)
    assert used == ["whole-0", "whole-0", "whole-1", "whole-1"]
    assert list(audit.scenes) == scenes


def test_the_commands_list_write_and_score(
    recorded: Run, labelled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    runs, output = recorded.folder.parent, tmp_path / "audited"
    region = Region(labelled.scenes[0].name, "Land", "Building", 8, 8, 40, 40)
    keep_verdict(runs, labelled.fingerprint(), region, WRONG, "theirs")
    assert auditing.audit("theirs", output, labelled.root, runs=runs) == 0
    printed = capsys.readouterr()
    assert "3 regions contradict their labels (3 test)" in printed.out
    assert "ranked by their size alone" in printed.err
    assert pd.read_csv(output / "regions.csv")["verdict"].fillna("").tolist() == [WRONG, "", ""]
    assert len(json.loads((output / "regions.json").read_text())["annotations"]) == 3
    assert len(json.loads((output / "regions.geojson").read_text())["features"]) == 3
    assert auditing.rescore("theirs", output / "masks", tmp_path / "scores.json", labelled.root, runs) == 0
    printed = capsys.readouterr().out
    assert "1,024 pixels differ, in 1 of 1 masks" in printed
    assert "Land → Building: 1,024" in printed
    scores = {row["score"]: row for row in json.loads((tmp_path / "scores.json").read_text())["scores"]}
    assert scores["accuracy"]["gain"] == pytest.approx(1024 / (7 * 64 * 64))
    with pytest.raises(RunError, match="was not evaluated on"):
        auditing.audit("demo-unet", None, labelled.root, runs=runs)
