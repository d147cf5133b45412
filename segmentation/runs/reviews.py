"""What people think of suspect patches, kept beside the runs, one file a data set (no TensorFlow)."""

import csv
import os
import time
from pathlib import Path

import pandas as pd

from segmentation.errors import RunError, StorageError
from segmentation.files import locked

VERDICTS = {
    "wrong label": "The mask is wrong.",
    "hard": "The mask is right, the patch is hard to tell.",
    "bright": "The patch is too bright to tell.",
}
"""What a person can say of a patch, and what it means."""

COLUMNS = ["patch", "verdict", "note", "run", "reviewed"]


class Reviews:
    """The reviews of one data set: a file to which every review is added; the last one of a patch counts.

    Args:
        runs: The folder of the runs; it holds ``reviews/FINGERPRINT.csv``.
        fingerprint: The data set's.
    """

    def __init__(self, runs: Path, fingerprint: str) -> None:
        self.path = runs / "reviews" / f"{fingerprint[:16]}.csv"

    def read(self) -> pd.DataFrame:
        """Return one row per reviewed patch: ``patch, verdict, note, run, reviewed``; none if there is no file yet.

        Raises:
            RunError: If the file cannot be read as that.
        """
        try:
            if self.path.exists() and not self.path.is_file():  # a pipe would be waited for
                raise ValueError
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        except FileNotFoundError:
            return pd.DataFrame(columns=COLUMNS, dtype=str)
        except (OSError, ValueError) as error:
            raise RunError(f"reviews/{self.path.name} cannot be read: correct it or move it away.") from error
        if list(table.columns) != COLUMNS:
            raise RunError(f"reviews/{self.path.name} has other columns than {', '.join(COLUMNS)}: move it away.")
        # Two who began at once could each write the header before it was locked.
        table = table[table["patch"] != "patch"].drop_duplicates("patch", keep="last")
        return table[(table["verdict"] != "") | (table["note"] != "")].reset_index(drop=True)

    def add(self, patch: str, verdict: str, note: str, run: str) -> None:
        """Add a review of a patch; without verdict and note it takes an earlier one back.

        Args:
            patch: Its name.
            verdict: One of `VERDICTS`, or nothing.
            note: Any words.
            run: The run whose prediction was looked at.

        Raises:
            RunError: If it cannot be written.
        """
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            with (
                locked(self.path.with_name(f".{self.path.name}.lock"), wait=True),  # one of two writes the header
                self.path.open("a", newline="", encoding="utf-8") as file,
            ):
                new = os.fstat(file.fileno()).st_size == 0
                csv.writer(file).writerows(([COLUMNS] if new else []) + [[patch, verdict, note, run, now]])
        except (OSError, StorageError) as error:
            cause = error.__cause__ if isinstance(error, StorageError) else error
            reason = cause.strerror if isinstance(cause, OSError) else error
            raise RunError(f"The review could not be kept in {self.path.parent.name}: {reason}.") from error
