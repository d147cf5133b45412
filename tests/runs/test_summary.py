"""Runs side by side: what their folders say, and which are best among those that can be compared."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from segmentation.runs.run import SHIPPED, Run, find_runs
from segmentation.runs.summary import HIGHER, RunSummary, best_values, summarize_run, summary_table

KNOWN = RunSummary(
    run="a",
    dataset="city",
    fingerprint="f",
    protocol="scene",
    group="g",
    **dict.fromkeys(HIGHER, 0.5),
    intervals={},
    parameters=9,
    model_bytes=99,
    epochs=3,
    created="2026-11-23T01:54:51Z",
    classes=("a", "b"),
    ranked=True,
)
"""A run that is known in every point."""


def test_a_shipped_run_is_summarized_as_its_files_say() -> None:
    row = summary_table([summarize_run(Run(SHIPPED / "dubai-tile"))]).iloc[0]
    metrics = json.loads((SHIPPED / "dubai-tile" / "metrics.json").read_text())
    assert {name: row[name] for name in HIGHER} == {name: metrics[name] for name in HIGHER}
    ends = metrics["intervals"]["scores"]
    assert {name: list(between) for name, between in row["intervals"].items()} == ends
    assert (row["protocol"], row["epochs"], row["parameters"]) == ("tile: Tile 2", 9, 4_023_574)
    assert row["model_bytes"] == (SHIPPED / "dubai-tile" / "best.keras").stat().st_size
    assert str(row["created"]) == "2026-11-25 02:48:45"


def test_of_the_shipped_runs_only_those_of_one_split_are_compared_and_the_same_files_have_one_name() -> None:
    table = summary_table(map(summarize_run, find_runs(SHIPPED))).set_index("run")
    alike = table.groupby("group").groups
    assert sorted(map(len, alike.values())) == [1, 1, 1, 4]
    assert set(table["dataset"]) == {"demo-data", "Semantic segmentation dataset"}
    best = best_values(table)
    assert best["mean_iou"][best["mean_iou"]].index.tolist() == ["dubai-best"]
    assert best["parameters"][best["parameters"]].index.tolist() == ["dubai-unet", "dubai-unet-plain"]


def test_a_run_of_which_nothing_is_known_is_a_row_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    shutil.copy(SHIPPED / "demo-unet" / "history.csv", tmp_path / "raw")
    for folder in (tmp_path / "raw", tmp_path / "nothing"):
        table = summary_table([summarize_run(Run(folder))])
        unknown = ["dataset", "protocol", "group", *HIGHER, "parameters", "model_bytes", "created"]
        assert table.loc[0, unknown].isna().all()
        assert not best_values(table).any(axis=None)
    assert best_values(summary_table([])).empty


def test_the_best_of_a_column_is_the_highest_score_and_the_smallest_model_of_its_group() -> None:
    changes = [
        {"accuracy": 0.7, "parameters": 5},
        {"accuracy": 0.9, "parameters": 7},
        {"accuracy": None, "parameters": None},
        {"accuracy": 0.95, "group": "other"},
        {"accuracy": 0.2, "group": "other", "model_bytes": 1},
        {"accuracy": 1.0, "group": None},
    ]
    rows = [replace(KNOWN, run=str(number), **change) for number, change in enumerate(changes)]
    best = best_values(summary_table(rows).sample(frac=1, random_state=0)).sort_index()
    assert best.index[best["accuracy"]].tolist() == [1, 3]
    assert best.index[best["parameters"]].tolist() == [0]
    assert best.index[best["model_bytes"]].tolist() == [4]
    assert not best["mean_iou"].any()  # all the same


@pytest.mark.parametrize("created", ["yesterday", "", "9" * 400, "300000-01-01T00:00:00Z", "2026-13-45T00:00:00Z"])
def test_a_date_that_is_none_is_not_known(created: str) -> None:
    assert summary_table([replace(KNOWN, created=created)])["created"].isna().all()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("metrics.json", '"protocol": "scene"', '"protocol": "given"'),
        ("metrics.json", '"patches": 387', '"patches": 386'),
        ("metrics.json", '"protocol"', '"dataset": {"fingerprint": "0"}, "protocol"'),
        ("config.json", '"patch_size": 160', '"patch_size": 128'),
        ("config.json", '"fingerprint": "', '"fingerprint": "0'),
        ("*.json", '"Unlabeled"', '"Other"'),
    ],
)
def test_scores_of_other_patches_data_or_classes_are_not_compared(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    other = shutil.copytree(SHIPPED / "dubai-scene", tmp_path / "other")
    assert summarize_run(Run(other)).group == (group := summarize_run(Run(SHIPPED / "dubai-scene")).group)
    for path in other.glob(file):
        path.write_text(path.read_text().replace(old, new))
    assert summarize_run(Run(other)).group not in (group, None)
