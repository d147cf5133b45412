"""Tables as people open them in a spreadsheet."""

import pandas as pd
from pandas.api.types import is_numeric_dtype


def to_safe_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in which a spreadsheet finds no formula.

    Class names, tiles and notes come from files and from people, and the table is opened by somebody else: a text that
    begins as a formula does gets an apostrophe before it, as OWASP advises. Numbers stay as they are, and so do the
    names of patches, which begin with a letter or a digit, so that `train --patches` reads the file.
    """
    quoted = table.apply(lambda column: column if is_numeric_dtype(column) else column.map(_quoted))
    return quoted.rename(columns=_quoted).to_csv(index=False)


def _quoted(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
