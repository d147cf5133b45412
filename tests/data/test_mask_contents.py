"""What masks hold is found once, and kept until the file changes."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.mask_contents import SMALL, MaskLook, look_at, looks

COLORS = np.array([[60, 16, 152], [132, 41, 246], [110, 193, 228]], np.uint8)


def write_masks(folder: Path, count: int = 5) -> list[Path]:
    """Masks of random classes, so that their files are large."""
    rng = np.random.default_rng(5)
    paths = [folder / f"mask_{place}.png" for place in range(count)]
    for path in paths:
        Image.fromarray(COLORS[rng.integers(0, 3, (200, 300))]).save(path)
    assert all(path.stat().st_size > SMALL for path in paths)
    return paths


def test_what_a_start_finds_the_next_does_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    paths = write_masks(tmp_path)
    expected = looks_of(paths)
    script = "import sys; from pathlib import Path; from segmentation.data.mask_contents import looks; "
    script += "looks([Path(path) for path in sys.argv[1:]])"
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], cwd=PROJECT, check=True)
    for path in paths:  # nothing of them can be read any more, and by size and time they are the same
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert looks(paths[::-1]) == expected
    os.utime(paths[0])
    assert len(looks(paths)) == len(paths) - 1


def looks_of(paths: list[Path]) -> list[MaskLook]:
    """What masks hold, in the order in which a sample of five visits them."""
    return [look_at(paths[place]) for place in (0, 4, 2, 1, 3)]


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "I;16"])
def test_a_look_is_kept_as_it_is(mode: str) -> None:
    classes = np.random.default_rng(6).integers(0, 3, (20, 30)).astype(np.uint8)
    image = Image.fromarray(COLORS[classes])
    if mode == "P":
        image = Image.fromarray(classes)
        image.putpalette(COLORS.tobytes())
    elif mode != "RGB":
        image = Image.fromarray(classes.astype(np.uint16) * 300 if mode == "I;16" else classes)
    content = io.BytesIO()
    image.save(content, "PNG")
    look = look_at(content.getvalue())
    assert MaskLook.from_bytes(look.to_bytes()) == look
    counts = np.bincount(classes.ravel()).tolist()
    assert list((look.values or look.colors).values()) in (counts, sorted(counts, reverse=True))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[1, 2, 3]", b"[null, [[1]], null, [], [1, 2], 0, 0, 0]", b"\xff"]
)
def test_what_is_no_look_is_none(content: bytes) -> None:
    assert MaskLook.from_bytes(content) is None
