"""The commands that audit labels, and that score a run against corrected ones."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro

from segmentation.commands.common import RUNS, find_run, progress_bar, remark
from segmentation.commands.datasets import dataset_at
from segmentation.data.locate import cache_folder
from segmentation.data.scenes import Dataset
from segmentation.errors import DONE, PARTLY, RunError, printable
from segmentation.files import replacing, write_json
from segmentation.runs.region_verdicts import WRONG, read_verdicts
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv

PRINTED = 20
"""Regions that are printed."""


def audit(
    run: Annotated[str, tyro.conf.Positional],
    output: Path | None = None,
    data: Path | None = None,
    first: int = 1000,
    runs: Path = RUNS,
) -> int:
    """Audit the labels of a data set: list regions where a run contradicts them with confidence, likely errors first.

    Of a run of k-fold each scene is judged by the network that was not trained on it. Regions that a network was
    trained on come last: it has learnt their labels. What was found is kept for the next time, here and on the pages.

    Args:
        run: Name of a run that was evaluated, or the path of its folder.
        output: Folder for regions.csv, regions.geojson (QGIS), regions.json (COCO, for CVAT and Label Studio) and, in
            masks, the masks with the labels put right that were judged wrong on the pages.
        data: Folder of the data set that the run was scored on; by default SEGMENTATION_DATA, data/ or the demo set.
        first: How many regions are written.
        runs: Folder that holds the runs.
    """
    chosen = find_run(run, runs)
    from segmentation.evaluation.audit_run import audit_labels, fresh_models, kept_audits, what_to_know
    from segmentation.evaluation.label_audit import suspect_table, with_verdicts

    with dataset_at(data) as given:
        dataset, fingerprint = _its_dataset(chosen, given), given.fingerprint()
        with progress_bar("scenes") as progress:
            found = audit_labels(chosen, dataset, kept_audits(cache_folder()), fresh_models(), progress)
        table = with_verdicts(suspect_table(found.scenes, dataset.palette), read_verdicts(runs, fingerprint))
        for sentence in (*what_to_know(chosen), *(f"Left out: {sentence}" for sentence in found.left_out)):
            remark(sentence)
        _print_regions(table)
        if output:
            from segmentation.evaluation.audit_files import regions_to_coco, regions_to_geojson
            from segmentation.evaluation.relabelling import write_masks

            listed = table.head(first)
            for name, content in (
                ("regions.csv", to_safe_csv(listed.drop(columns="place"))),
                ("regions.geojson", regions_to_geojson(listed, dataset, found.scenes)),
                ("regions.json", regions_to_coco(listed, dataset, found.scenes)),
            ):
                with replacing(output / name) as temporary:
                    temporary.write_text(content, encoding="utf-8")
            wrong = table[table["verdict"] == WRONG].groupby("scene", sort=False)["place"].apply(list).to_dict()
            masks = write_masks(dataset, found.scenes, wrong, output / "masks")
            print(f"{len(listed):,} regions and {len(masks):,} corrected masks are in {printable(str(output))}")
    return PARTLY if found.left_out else DONE


def rescore(
    run: Annotated[str, tyro.conf.Positional],
    labels: Path,
    output: Path | None = None,
    data: Path | None = None,
    runs: Path = RUNS,
) -> int:
    """Score a run against corrected masks: what changed, and its scores against the old and the new labels.

    Nothing is replaced: masks and scores stay as they are. To train on the new masks, put them into a copy of the data
    set.

    Args:
        run: Name of a run that was evaluated, or the path of its folder.
        labels: Folder of corrected masks, named and encoded as those of the data set; scenes without one keep theirs.
        output: Also write it all, as .json.
        data: Folder of the data set that the run was scored on, with the masks as they were; by default
            SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
    """
    chosen = find_run(run, runs)
    from segmentation.evaluation.audit_run import fresh_models
    from segmentation.evaluation.rescoring import rescore as score_anew

    with dataset_at(data) as given:
        dataset = _its_dataset(chosen, given)
        with progress_bar("scenes") as progress:
            found = score_anew(chosen, dataset, labels, fresh_models(), progress)
    for sentence in found.findings:
        remark(sentence)
    by_pair = found.pixels.groupby(["before", "after"])["pixels"].sum().sort_values(ascending=False)
    scenes = found.pixels["scene"].nunique()
    print(f"{int(by_pair.sum()):,} pixels differ, in {scenes:,} of {found.masks:,} masks")
    for (before, after), pixels in by_pair.items():
        print(f"  {printable(before)} → {printable(after)}: {pixels:,}")
    print(f"{found.truths.changed:,} of {found.truths.patches:,} held-out patches have other labels")
    print(f"{'held-out part':<32}{'old labels':>26}{'new labels':>26}{'difference':>28}")
    for row in found.truths.scores.to_dict("records"):
        cells = [_with_interval(row, of, sign) for of, sign in (("before", ""), ("after", ""), ("gain", "+"))]
        print(f"{printable(row['score'].replace('_', ' ')):<32}{cells[0]:>26}{cells[1]:>26}{cells[2]:>28}")
    if output:
        records = [found.pixels.to_dict("records"), found.truths.scores.replace({np.nan: None}).to_dict("records")]
        content = {"run": chosen.name, "changed": records[0], "scores": records[1]}
        write_json(output, content | {"patches": found.truths.patches, "patches_changed": found.truths.changed})
    return DONE


def _its_dataset(run: Run, given: Dataset) -> Dataset:
    """Return the data set in the run's classes.

    Raises:
        RunError: If the run knows none of them, or none of its scenes is there.
    """
    dataset = run.in_its_classes(given)
    known = set() if run.patches is None else set(run.patches["scene"])
    if dataset is None or not known & {scene.name for scene in dataset.scenes}:
        raise RunError(f"{run.name} was not evaluated on {given.root.name}: name its data set with --data.")
    return dataset


def _print_regions(table: pd.DataFrame) -> None:
    """Print how many regions there are, and the first."""
    parts = table["part"].value_counts()
    told = ", ".join(f"{count:,} {part or 'beyond patches'}" for part, count in parts.items())
    print(f"{len(table):,} regions contradict their labels{f' ({told})' if told else ''}")
    if table.empty:
        return
    print(f"{'scene':<36}{'labelled':>14}{'predicted':>14}{'part':>12}{'pixels':>9}{'certainty':>10}  verdict")
    for row in table.head(PRINTED).to_dict("records"):
        certainty = "–" if np.isnan(row["certainty"]) else f"{row['certainty']:.3f}"
        print(
            f"{printable(row['scene']):<36}{printable(row['labelled']):>14}{printable(row['predicted']):>14}"
            f"{row['part']:>12}{row['pixels']:>9,}{certainty:>10}  {row['verdict']}"
        )


def _with_interval(row: dict[str, float], of: str, sign: str) -> str:
    value, low, high = (row[name] for name in (of, f"{of}_low", f"{of}_high"))
    if np.isnan(value):
        return "–"
    ends = "" if np.isnan(low) else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{value:{sign}.3f}{ends}"
