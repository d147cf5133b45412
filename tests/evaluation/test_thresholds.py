"""Probabilities counted while a run is evaluated, and the scores that thresholds give instead."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segmentation
from segmentation import scores
from segmentation.data.palette import VOID
from segmentation.data.patches import load_patches
from segmentation.data.scenes import read_scene
from segmentation.errors import RunError
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.evaluation.foreign import add_model
from segmentation.inference.batch import Job, predict_files
from segmentation.inference.options import Inference
from segmentation.inference.prediction import choose_classes
from segmentation.inference.predictor import Predictor
from segmentation.thresholds import STEPS, ThresholdCurve

THRESHOLDS = ((1, 0.21), (3, 0.3))


@pytest.fixture(scope="module")
def by_part(trained: tuple) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Truth and probabilities of the patches of the validation and the test part."""
    patches, predictor = load_patches(trained.dataset, 32, protocol="scene"), Predictor(trained.run.model)
    found = {}
    for part in ("validation", "test"):
        of_part = patches.only((trained.run.patches["part"] == part).to_numpy())
        of_scenes = of_part.table.groupby("scene", sort=False).size()
        found[part] = of_part.masks, np.concatenate(list(predictor.batches(of_part.images, of_scenes=of_scenes)))
    return found


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_training_keeps_pixels_by_probability(trained: tuple, by_part: dict, part: str) -> None:
    truth, probabilities = by_part[part]
    assert set(trained.run.metrics.probabilities) == {"validation", "test"}
    kept = trained.run.metrics.probabilities[part]
    assert sum(kept.of_class(name)[1].sum() for name in trained.run.palette.names) == (truth != VOID).sum() > 0
    for index, name in enumerate(trained.run.palette.names):
        of_class = probabilities[..., index]
        for own in (False, True):
            pixels = of_class[(truth != VOID) & ((truth == index) == own)]
            reaching = (pixels >= np.float32(np.arange(STEPS + 1) / STEPS)[:, None]).sum(1)
            np.testing.assert_array_equal(np.cumsum(kept.of_class(name)[int(own), ::-1])[::-1], reaching)


def test_thresholds_give_other_scores_beside_the_usual_ones(trained: tuple, by_part: dict) -> None:
    truth, probabilities = by_part["test"]
    metrics, _ = evaluate_run(trained.run, trained.dataset, inference=Inference(thresholds=THRESHOLDS))
    assert metrics.confusion_matrix == trained.run.metrics.confusion_matrix
    names = trained.run.palette.names
    assert metrics.at_thresholds.thresholds == {names[1]: 0.21, names[3]: 0.3}
    classes, _ = choose_classes(probabilities, THRESHOLDS)
    expected = scores.confusion_matrices(truth, classes, len(names)).sum(0)
    assert metrics.at_thresholds.confusion_matrix == expected.tolist() != metrics.confusion_matrix


def test_the_curve_says_what_the_evaluation_at_a_threshold_gives(trained: tuple) -> None:
    name = trained.run.palette.names[2]
    metrics, _ = evaluate_run(trained.run, trained.dataset, inference=Inference(thresholds=((2, 0.18),)))
    curve = ThresholdCurve.of(trained.run.metrics.probabilities["test"].of_class(name))
    matrix = np.array(metrics.at_thresholds.confusion_matrix)
    assert curve.iou[curve.place(0.18)] == pytest.approx(scores.iou(matrix)[2])


def test_recorded_probabilities_are_counted_as_those_of_the_model(trained: tuple, tmp_path: Path) -> None:
    predictor, dataset = Predictor(trained.run.model), trained.dataset
    with segmentation.Run.create("recorded", dataset, runs=tmp_path, protocol="scene", patch_size=32) as run:
        for scene in dataset.scenes:
            image, mask = read_scene(scene, dataset.palette)
            probabilities = np.concatenate(list(predictor.strips(lambda top, end, of=image: of[top:end], *mask.shape)))
            run.record(scene, probabilities)
        recorded = run.finish().metrics.probabilities["test"]
    kept = trained.run.metrics.probabilities["test"]
    for name in dataset.palette.names:
        ours, theirs = recorded.of_class(name), kept.of_class(name)
        np.testing.assert_array_equal(ours.sum(1), theirs.sum(1))
        # Other patches share a batch, which moves the last digit: a few pixels lie in the next bin.
        assert np.abs(np.cumsum(ours - theirs, axis=1)).max() <= 3


def test_a_model_that_only_names_classes_has_no_thresholds(models: Path, sets: dict, tmp_path: Path) -> None:
    run = add_model(tmp_path / "named", models / "classes.onnx", sets["dark, middle, light"], tell=lambda _: None)
    assert run.metrics.probabilities is None
    with pytest.raises(RunError, match="names classes and gives no probabilities"):
        evaluate_run(run, sets["dark, middle, light"], inference=Inference(thresholds=((0, 0.4),)))


def test_files_are_predicted_with_thresholds_and_anew_where_these_change(trained: tuple, tmp_path: Path) -> None:
    image = trained.dataset.scenes[2].image
    predictor = Predictor(trained.run.model)
    pixels = read_scene(trained.dataset.scenes[2], trained.dataset.palette)[0]

    def masks(thresholds: tuple) -> tuple[np.ndarray, int]:
        job = Job(trained.run.model, trained.run.palette, tmp_path, inference=Inference(thresholds=thresholds))
        (row,) = predict_files(job, [image])
        assert row["problem"] is None
        path = tmp_path / f"{image.stem}-indices.png"
        return np.asarray(Image.open(path)), path.stat().st_mtime_ns

    before, at = masks(THRESHOLDS)
    whole = np.concatenate(list(predictor.strips(lambda top, end: pixels[top:end], *pixels.shape[:2])))
    np.testing.assert_array_equal(before, choose_classes(whole, THRESHOLDS)[0])
    assert masks(THRESHOLDS)[1] == at  # not predicted again
    plain, later = masks(())
    assert later != at
    np.testing.assert_array_equal(plain, predictor.scene_classes(pixels))
    assert (plain != before).any()
