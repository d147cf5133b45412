"""Run folders with hostile or broken files: each is named or passed over, and the run beside it is unharmed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

pytestmark = pytest.mark.corpus

Break = Callable[[Path], None]

HALF = "\ud800"
"""Half of a character: JSON can write it, UTF-8 cannot."""


class Case(NamedTuple):
    """A file of a run folder, what becomes of it, and whether the run can do without what it says.

    Args:
        file: Its name.
        broken: What replaces it.
        harmless: Whether the file still says what it should.
    """

    file: str
    broken: Break
    harmless: bool = False


def holding(content: bytes | str) -> Break:
    data = content.encode() if isinstance(content, str) else content
    return lambda path: (path.unlink(), path.write_bytes(data))[0]


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nested(depth: int, key: str | None = None) -> Break:
    """JSON of lists within lists: in the file's place, or beside what it holds."""

    def nest(path: Path) -> None:
        lists = "[" * depth + "]" * depth
        text = lists if key is None else path.read_text().rstrip()[:-1] + f', "{key}": {lists}}}'
        path.write_text(text)

    return nest


def changed(*keys: str, to: object) -> Break:
    """JSON with another value where the keys lead."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        path.write_text(json.dumps(content))

    return change


def first_class(name: str) -> Break:
    def rename(path: Path) -> None:
        content = json.loads(path.read_text())
        content["palette"]["classes"][0]["name"] = name
        path.write_text(json.dumps(content))

    return rename


def column(name: str, value: object) -> Break:
    """A table with a value in a column's first row."""

    def put(path: Path) -> None:
        table = pd.read_csv(path).astype({name: object})
        table.loc[0, name] = value
        table.to_csv(path, index=False)

    return put


def repeated_patches(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]))


def repeated_column(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line},{line.split(',')[0]}\n" for line in lines))


def many_columns(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}{',x' * 100_000}\n" for line in lines))


CASES = {
    # Nested JSON
    **{
        f"{file} of 100,000 lists within each other": Case(file, nested(100_000))
        for file in ("config.json", "metrics.json", "status.json")
    },
    **{
        f"{file} with {depth} lists within each other": Case(file, nested(depth, "further"))
        for file in ("config.json", "metrics.json", "status.json")
        for depth in (100, 900, 5_000)
    },
    # What is no file
    **{
        f"{file} is a pipe": Case(file, a_pipe)
        for file in ("config.json", "history.csv", "metrics.json", "patches.csv", "status.json", "best.keras")
    },
    **{
        f"{file} is a folder": Case(file, a_folder)
        for file in ("config.json", "history.csv", "metrics.json", "patches.csv", "status.json", "best.keras")
    },
    # Texts
    "half a character in a class's name": Case("config.json", first_class(f"Building{HALF}")),
    "half a character in a fingerprint": Case("config.json", changed("dataset", "fingerprint", to=HALF)),
    "half a character in a name of a score": Case("metrics.json", changed("iou", HALF, to=0.5)),
    "half a character in a reason": Case("status.json", changed("reason", to=HALF)),
    "Markdown in a reason": Case("status.json", changed("reason", to="# $x$ [a](b)\n<script>"), harmless=True),
    "a class called like another": Case("config.json", first_class("Land")),
    "a class called as void is": Case("config.json", first_class("No class")),
    "a class whose name is a list": Case(
        "config.json", changed("palette", "classes", to=[{"name": [1], "color": "#1"}])
    ),
    # Sizes
    "config.json of 9 MB": Case("config.json", lambda path: path.write_text(path.read_text() + " " * (9 << 20))),
    "patches of 100,000 columns": Case("patches.csv", many_columns),
    "a header of 20 MB": Case("patches.csv", holding("x," * (10 << 20))),
    "1,000 zero bytes in history.csv": Case("history.csv", holding(bytes(1000)), harmless=True),
    "a patch size of a billion": Case("config.json", changed("configuration", "patch_size", to=10**9)),
    "a number of 5,000 digits": Case("config.json", holding('{"configuration": ' + "9" * 5000 + "}")),
    # Tables
    "a patch twice": Case("patches.csv", repeated_patches),
    "a column twice": Case("patches.csv", repeated_column),
    "text for pixels": Case("patches.csv", column("pixels", "many")),
    "text for a number of classes": Case("patches.csv", column("classes", "all")),
    "text for the share of sure errors": Case("patches.csv", column("surely_wrong", "some")),
    "text for a row": Case("patches.csv", column("row", "first")),
    "no number of classes": Case("patches.csv", column("classes", None)),
    "more classes than there are": Case("patches.csv", column("classes", 7)),
    "a part that is neither": Case("patches.csv", column("part", "both")),
    "an infinite confidence": Case("patches.csv", column("confidence", "inf")),
    "a quote that never ends": Case("patches.csv", lambda path: path.write_text('"' + path.read_text())),
    "scores that are no numbers": Case("metrics.json", changed("accuracy", to=float("nan"))),
    "a matrix of lists of different lengths": Case("metrics.json", changed("confusion_matrix", to=[[1], [2, 3]])),
}

SHOWN_ON = {
    "config.json": ("home", "gallery"),
    "metrics.json": ("home", "gallery"),
    "status.json": ("home", "monitor"),
    "history.csv": ("home", "monitor"),
    "patches.csv": ("home", "gallery"),
    "best.keras": ("home", "explorer"),
}
"""Pages that need each file."""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_run_is_named_and_the_one_beside_it_unharmed(
    case: Case, hostile: Path, look: Callable, command: Callable
) -> None:
    case.broken(hostile / case.file)
    for page in SHOWN_ON[case.file]:
        shown, choice = look(page)
        assert shown.exceptions == []
        assert not any("Something went wrong" in sentence for sentence in shown.errors), shown.errors
        assert {"tiny", "hostile"} <= {name.split(" (")[0] for name in choice}  # in brackets stands its state
        if page == "home" and not case.harmless:
            assert f"{case.file} cannot be read" in shown.words
    code, said = command("evaluate")
    if case.file in ("config.json", "best.keras"):
        assert code == 1
        (sentence,) = said
        assert sentence.startswith("hostile cannot be evaluated: ")
        assert f"{case.file} cannot be read" in sentence
    else:  # its scores need nothing else
        assert (code, said) == (0, [])
