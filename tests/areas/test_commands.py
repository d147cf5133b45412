"""The commands ``sample`` and ``areas``, and the worked example of their page."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

from segmentation.__main__ import COMMANDS
from segmentation.data.images import read_mask
from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI
from segmentation.errors import ConfigurationError, ImageFileError
from tests.areas.conftest import NAMES, PALETTE, WriteMap

PAGE = (PROJECT / "docs" / "areas.md").read_text(encoding="utf-8")


def command(*words: object) -> int:
    return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=[str(word) for word in words])


@pytest.fixture
def path(classes: np.ndarray, write_map: WriteMap) -> Path:
    path = write_map(classes, "city-classes.tif", nodata=255)
    path.with_name("city.json").write_text(json.dumps({"settings": {"palette": PALETTE.to_dict()}}))
    return path


def label(points: Path, classes: np.ndarray) -> pd.DataFrame:
    """Label points of a CSV as the map is."""
    table = pd.read_csv(points)
    from rasterio.warp import transform

    x, y = transform("EPSG:4326", "EPSG:32640", table["longitude"], table["latitude"])
    rows, columns = ((2_700_000 - np.array(y)) // 2).astype(int), ((np.array(x) - 300_000) // 2).astype(int)
    return table.assign(label=[NAMES[index] for index in classes[rows, columns]])


def test_points_become_areas(
    path: Path, classes: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = tmp_path / "points.csv"
    assert command("sample", path, "--output", points, "--size", 80, "--allocation", "equal", "--minimum", 5) == 0
    told = capsys.readouterr().out
    assert re.findall(r"(\d+) points$", told, re.MULTILINE) == ["27", "27", "26"]
    table = label(points, classes)
    wrong = table["label"].ne("Water").idxmax()
    table.loc[wrong, "label"] = "Water"
    table.loc[table["label"].eq("Dense forest").idxmax(), "label"] = ""
    table.to_csv(points, index=False)
    for name in ("areas.csv", "areas.json"):
        assert command("areas", path, points, "--output", tmp_path / name, "--unit", "ha") == 3
    captured = capsys.readouterr()
    assert "1 point of points.csv has no label and is left out" in captured.err
    assert "estimated ± 95 %, ha" in captured.out
    assert "drawn at random within each class of this map" in captured.out
    assert "confusion matrix cannot take their place" in captured.out
    written, kept = pd.read_csv(tmp_path / "areas.csv"), json.loads((tmp_path / "areas.json").read_text())
    assert written["class"].tolist() == list(NAMES)
    assert np.array(kept["points"]).sum() == 79
    assert [row["square_metres"] for row in kept["classes"]] == pytest.approx(written["square_metres"].tolist())
    row = next(line for line in captured.out.splitlines() if line.startswith("Water")).split()
    assert float(row[1]) == pytest.approx((classes == 2).sum() * 4 / 1e4, abs=0.01)
    assert float(row[2]) == pytest.approx(written["square_metres"][2] / 1e4, abs=0.01)


def test_a_standard_error_asks_for_points_by_what_is_expected(
    path: Path, classes: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--output", tmp_path / "points.geojson", "--standard-error", 0.03)
    command("sample", path, *out, "--expected-accuracy", "dense_forest=0.95", "0.8")
    shares = np.bincount(classes.ravel(), minlength=256)[:3] / (classes != 255).sum()
    expected = np.ceil((shares @ np.sqrt([0.16, 0.0475, 0.16]) / 0.03) ** 2)
    assert f"\n{expected:.0f} points are in" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "points.geojson").read_text())["features"]) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--output", "points.shp"), r"end in \.geojson or \.csv"),
        (("--expected-accuracy", "Tree=0.8"), "Received: Tree=0.8"),
        (("--expected-accuracy", "80"), "Expected a share from 0 to 1"),
        (("--size", 4), "has 3 classes"),
    ],
)
def test_what_no_sample_can_be_drawn_by_is_refused(path: Path, words: tuple, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        command("sample", path, *words)
    assert not Path("points.geojson").exists()


def test_files_that_are_not_there_are_one_sentence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"none\.csv cannot be opened"):
        command("areas", path, tmp_path / "none.csv")
    with pytest.raises(ImageFileError, match=r"none-classes\.tif cannot be opened"):
        path.with_name("none.json").write_text(path.with_name("city.json").read_text())
        command("sample", path.with_name("none-classes.tif"))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


@pytest.mark.slow
def test_the_worked_example_of_the_page_gives_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PROJECT / "examples"))
    blocks = re.findall(r"```(bash|text)\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for kind, text in blocks if kind == "bash" for line in text.splitlines()]
    for line in commands:
        program, module, *words = shlex.split(line)
        assert program == "python"
        if module == "-m":
            assert command(*words[1:]) == 0
        else:
            from label_points import label_points

            label_points(*map(Path, words))
    said = next(text for kind, text in blocks if kind == "text")
    told = capsys.readouterr().out
    table = told[told.index("class  ") :]
    # Another processor may give a pixel in some thousands another class.
    assert numbers(table) == pytest.approx(numbers(said), abs=0.2)
    mask = read_mask(tmp_path / "demo-data" / "Tile 1" / "masks" / "image_part_001.png", DUBAI)
    truth = 100 * np.bincount(mask.ravel(), minlength=256)[:5] / (mask != 255).sum()
    assert numbers(re.search(r"covers.*?\.\n", PAGE, re.DOTALL)[0]) == pytest.approx(truth, abs=0.006)
