"""A run scored on data that it was not trained on: other colours, another order of classes, other names."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import ConfigurationError, RunError
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import SHIPPED, Run
from tests.in_process import run_in_process
from tests.recoloring import NAMES, classes_of, recolor


def confusion(run: Run, dataset: Dataset, void: tuple[int, ...] = ()) -> list[list[int]]:
    """The confusion matrix of all patches of scenes in the article's colours, by NumPy and the run's network alone."""
    predictor, size = Predictor(run.model), run.patch_size
    matrix = np.zeros((6, 6), int)
    for scene in dataset.scenes:
        image, truth = np.asarray(Image.open(scene.image)), classes_of(scene.mask)
        for top in range(0, truth.shape[0] - size + 1, size):
            for left in range(0, truth.shape[1] - size + 1, size):
                here = np.s_[top : top + size, left : left + size]
                (probabilities,) = predictor.batches(image[here][None])
                seen, true = probabilities[0].argmax(-1), truth[here]
                counted = (true < 6) & ~np.isin(true, void)
                np.add.at(matrix, (true[counted], seen[counted]), 1)
    return matrix.tolist()


@pytest.mark.parametrize("values", [False, True], ids=["colours", "values"])
def test_other_colours_and_another_order_change_no_score(trained: tuple, tmp_path: Path, values: bool) -> None:
    elsewhere = recolor(trained.dataset, tmp_path / "elsewhere", values=values)
    assert elsewhere.palette != trained.run.palette
    metrics, table = evaluate_run(trained.run, elsewhere, "all")
    own, _ = evaluate_run(trained.run, trained.dataset, "all")
    assert metrics == own
    assert metrics.confusion_matrix == confusion(trained.run, trained.dataset)
    assert (set(table["part"]), len(table), metrics.patches) == ({"test"}, 28, 28)


@pytest.mark.parametrize("values", [False, True], ids=["colours", "values"])
def test_a_class_of_another_name_is_void_unless_it_is_mapped(trained: tuple, tmp_path: Path, values: bool) -> None:
    elsewhere, told = recolor(trained.dataset, tmp_path / "elsewhere", "Trees and lawns", values), []
    metrics, _ = evaluate_run(trained.run, elsewhere, "all", tell=told.append)
    assert metrics.confusion_matrix == confusion(trained.run, trained.dataset, void=(3,))
    pixels = sum((classes_of(scene.mask) == 3).sum() for scene in trained.dataset.scenes)
    assert f"Void, being no class of tiny: Trees and lawns ({pixels:,} pixels)" in told

    mapped, _ = evaluate_run(trained.run, elsewhere, "all", mapping={"Trees and lawns": "Vegetation"})
    assert mapped.confusion_matrix == confusion(trained.run, trained.dataset)
    assert mapped.mapping == {"Trees and lawns": "Vegetation"}
    without, _ = evaluate_run(
        trained.run, elsewhere, "all", mapping={"Trees and lawns": "Vegetation", "WATER": None}, tell=told.append
    )
    assert without.confusion_matrix == confusion(trained.run, trained.dataset, void=(4,))
    assert "WATER" in told[-1]


def test_scores_elsewhere_are_a_run_of_their_own(trained: tuple, tmp_path: Path) -> None:
    elsewhere, mapping = recolor(trained.dataset, tmp_path / "elsewhere", "Trees"), {"Trees": "Vegetation"}
    before = {path.name: path.read_bytes() for path in trained.run.folder.iterdir()}
    metrics, table = evaluate_run(trained.run, elsewhere, "all", mapping=mapping, save_as=tmp_path / "runs" / "away")
    assert {path.name: path.read_bytes() for path in trained.run.folder.iterdir()} == before
    away = Run(tmp_path / "runs" / "away")
    assert (away.metrics, away.problems, away.status.state) == (metrics, [], "finished")
    assert (away.metrics.model_of, away.metrics.dataset.name, away.mapping) == ("tiny", "elsewhere", mapping)
    assert (away.fingerprint, away.config) == (elsewhere.fingerprint(), trained.run.config)
    assert away.patches["patch"].tolist() == table["patch"].tolist()
    assert {path.name: path.read_bytes() for path in away.folder.iterdir() if path.stem == "best"} == {
        name: content for name, content in before.items() if name.startswith("best.")
    }
    assert away.confusion_matrices.sum(0).tolist() == metrics.confusion_matrix
    again, _ = evaluate_run(away, elsewhere, "all")  # it knows the mapping
    assert again.confusion_matrix == metrics.confusion_matrix
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["away"]
    with pytest.raises(RunError, match="There is a run away already"):
        evaluate_run(trained.run, elsewhere, "all", save_as=tmp_path / "runs" / "away")


def test_scores_of_other_data_never_take_the_place_of_a_runs_own(trained: tuple, tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "copy"))
    with pytest.raises(RunError, match=r"copy was trained on other data than elsewhere holds.*--save-as NAME"):
        evaluate_run(run, recolor(trained.dataset, tmp_path / "elsewhere"), save=True)
    with pytest.raises(RunError, match="keeps the scores of its held-out part"):
        evaluate_run(run, trained.dataset, "all", save=True)
    assert Run(run.folder).metrics == trained.run.metrics


def test_a_run_scored_on_what_it_was_trained_on_says_so(trained: tuple, tmp_path: Path) -> None:
    told = []
    evaluate_run(trained.run, trained.dataset, "all", tell=told.append)
    assert "tiny was trained on most of these scenes: its scores on new ones will be lower" in told
    told.clear()
    evaluate_run(trained.run, recolor(trained.dataset, tmp_path / "elsewhere"), "all", tell=told.append)
    assert told == []


def test_masks_that_hold_no_class_of_the_run_are_refused_with_both_sides(trained: tuple, tmp_path: Path) -> None:
    elsewhere = recolor(trained.dataset, tmp_path / "elsewhere")
    names = ("Tree", "Street", "Sea", "Water", "Roof", "Sand")
    renamed = replace(elsewhere, palette=replace(elsewhere.palette, names=names))
    for scene in elsewhere.scenes:  # the one class that both know occurs nowhere
        pixels = np.array(Image.open(scene.mask))
        pixels[(pixels == elsewhere.palette.colors[3]).all(-1)] = 0
        Image.fromarray(pixels).save(scene.mask)
    with pytest.raises(RunError) as refused:
        evaluate_run(trained.run, renamed, "all")
    assert f"The data set has {', '.join(names)}; the run has {', '.join(NAMES)}. Say which" in str(refused.value)


def test_scenes_left_out_void_and_resized_are_said_and_kept(trained: tuple, tmp_path: Path) -> None:
    elsewhere, told = recolor(trained.dataset, tmp_path / "elsewhere"), []
    broken, void, doubled, _ = elsewhere.scenes
    broken.image.write_bytes(b"no image")
    Image.new("RGB", Image.open(void.image).size).save(void.mask)
    width, height = Image.open(doubled.image).size
    Image.open(doubled.mask).resize((2 * width, 2 * height), Image.Resampling.NEAREST).save(doubled.mask)
    evaluate_run(trained.run, find_dataset(elsewhere.root), "all", tell=told.append, save_as=tmp_path / "away")
    assert any(sentence.startswith(f"Left out 1 of 4 scenes: {broken.name}: ") for sentence in told)
    assert f"No class in 1 of 4 masks; what they hold is left out of loss and scores: {void.name}" in told
    assert f"Resized 1 of 4 masks to their images' size: {doubled.name}" in told
    remark = "scored without 1 of 4 scenes, with 1 mask without a class, with 1 resized mask"
    assert Run(tmp_path / "away").left_out == remark


@pytest.fixture(scope="module")
def best() -> Run:
    """The best shipped run."""
    return Run(SHIPPED / "dubai-best")


@pytest.mark.parametrize("values", [False, True], ids=["colours", "values"])
def test_the_shipped_run_scores_the_real_scenes_alike_in_other_colours(
    best: Run, real_dataset: Dataset, tmp_path: Path, values: bool
) -> None:
    """By the command line, one scene of each of six tiles, with a class of another name."""
    elsewhere = recolor(real_dataset, tmp_path / "elsewhere", "Green spaces", values, every=12)
    names = {scene.name for scene in elsewhere.scenes}
    few = replace(real_dataset, scenes=tuple(scene for scene in real_dataset.scenes if scene.name in names))
    command = ["evaluate", "--run", "dubai-best", "--data", elsewhere.root]
    command += [
        "--runs",
        tmp_path / "runs",
        "--protocol",
        "all",
        "--save-as",
        "away",
        "--map",
        "green spaces=vegetation",
    ]
    done = run_in_process(*command)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Green spaces of the data set counts as Vegetation" in done.stdout
    scored, (own, _) = Run(tmp_path / "runs" / "away").metrics, evaluate_run(best, few, "all")
    assert scored.confusion_matrix == own.confusion_matrix == confusion(best, few)
    assert (scored.model_of, scored.mapping) == ("dubai-best", {"Green spaces": "Vegetation"})


def test_a_mapping_that_names_nothing_known_is_refused_in_one_line(
    best: Run, real_dataset: Dataset, tmp_path: Path
) -> None:
    elsewhere = recolor(real_dataset, tmp_path / "elsewhere", every=12)
    command = ["evaluate", "--run", "dubai-best", "--data", elsewhere.root]
    done = run_in_process(*command, "--map", "Forest=Vegetation")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Received: Forest=Vegetation. The data set has vegetation, road, WATER, " in done.stderr


def test_no_run_is_trained_under_the_protocol_all() -> None:
    command = [sys.executable, "-m", "segmentation", "train", "--name", "x", "--protocol", "all"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "The all protocol leaves nothing to train on" in done.stderr


def test_a_split_that_the_data_set_lacks_is_refused(trained: tuple, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="This data set brings none"):
        evaluate_run(trained.run, recolor(trained.dataset, tmp_path / "elsewhere"), "given")
