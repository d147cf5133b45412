"""Tables that are downloaded hold no formula for a spreadsheet."""

import io
import re

import numpy as np
import pandas as pd

from segmentation.data.locate import PROJECT
from segmentation.tables import to_safe_csv


def test_a_text_that_begins_like_a_formula_gets_an_apostrophe() -> None:
    table = pd.DataFrame({"tile": ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "a=b", ""], "iou": [-0.5] * 7})
    read = pd.read_csv(io.StringIO(to_safe_csv(table)), keep_default_na=False)
    assert list(read["tile"]) == ["'=1+1", "+1", "'-x", "'@SUM(A1)", "'\t=1", "a=b", ""]
    assert list(read["iou"]) == [-0.5] * 7


def test_so_does_a_column_called_like_one() -> None:
    assert to_safe_csv(pd.DataFrame({"=cmd()": [1]})) == "'=cmd()\n1\n"


def test_other_tables_stay_as_they_are() -> None:
    table = pd.DataFrame({"patch": ["tile-1/a/r00c01"], "classes": [3], "iou": [np.nan], "rate": ["-1e-3"]})
    assert to_safe_csv(table) == table.to_csv(index=False)


def test_a_table_without_rows_keeps_its_columns() -> None:
    assert to_safe_csv(pd.DataFrame(columns=["patch", "note"])) == "patch,note\n"


def test_no_page_writes_a_table_for_a_spreadsheet_past_this() -> None:
    """Only a list that `train --patches` reads is written to a file, and nobody downloads that."""
    pages = (PROJECT / "segmentation" / "ui").rglob("*.py")
    calls = [call for path in pages for call in re.findall(r"\.to_csv\(.*\)", path.read_text(encoding="utf-8"))]
    assert calls == [".to_csv(temporary, index=False)"]
