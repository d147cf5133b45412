"""What a packed data set notes of its masks' files as they were before."""

import json
import re
from pathlib import Path

PACK = "pack.json"
"""The file in the root of a data set that was packed: what its masks' files were before that."""

MOST_NOTES = 1 << 28
"""More bytes than this are not read of it."""


def packed_masks(root: Path) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 of each packed mask and of the file it was packed from, by its path; empty if none was."""
    try:
        with (root / PACK).open("rb") as file:
            masks = json.loads(file.read(MOST_NOTES))["masks"]
        digests = {path: (packed, original) for path, (packed, original) in masks.items()}
        sound = all(re.fullmatch("[0-9a-f]{64}", digest) for pair in digests.values() for digest in pair)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return digests if sound else {}
