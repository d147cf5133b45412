"""Files whose names are hostile: shown as they are, kept in their folder, and never run."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT

pytestmark = pytest.mark.corpus

BUFFER = io.BytesIO()
Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(BUFFER, "PNG")
IMAGE = BUFFER.getvalue()

NAMES = {
    "quotes": 'it\'s "so" `called`.png',
    "HTML": "<img src=x onerror=alert(1)>.png",
    "a script": "<script>alert(1)<\N{FRACTION SLASH}script>.png",
    "Markdown": "[click](javascript:alert) **bold** _low_ $x^2$ :red[x] # ~~no~~.png",
    "emoji": "\N{CAT FACE}\N{ZERO WIDTH JOINER}\N{DOG FACE}\N{VARIATION SELECTOR-16}.png",
    "other scripts": "Straße 道路 طريق é e\N{COMBINING ACUTE ACCENT}.png",
    "right to left": "gpj.\N{RIGHT-TO-LEFT OVERRIDE}txt.png",
    "a newline": "first\nsecond\r\nthird.png",
    "tabs and blanks": "\t  a  .png",
    "an escape": "\x1b[31mred\x1b]0;title\x07.png",
    "a shell's": "$(touch gone);`id`|rm -rf & .png",
    "backslashes": "..\\..\\windows\\a.png",
    "percents": "%s%n%00%2e%2e.png",
    "braces": "{0}{name!r}.png",
    "a formula": '=1+HYPERLINK("x").png',
    "an option": "--output.png",
    "dots": "....png",
    "a device": "CON.png",
    "a driver's": "GTIFF_DIR:2:other.png",
    "a folder of the web": "vsicurl:http:x.png",
    "255 bytes": "a" * 251 + ".png",
    "255 bytes of two each": "ä" * 125 + "a.png",
    "235 bytes": "a" * 235 + ".png",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_shown_as_it_is_and_stays_in_its_folder(name: str, upload: Callable, predict: Callable) -> None:
    shown = upload((name, IMAGE))
    assert (shown.exceptions, shown.errors) == ([], [])
    assert f"{' '.join(name.split())}, 48 × 40 px" in shown.words
    broken = upload((name, IMAGE[:900]))
    assert broken.exceptions == []
    assert len(broken.errors) == 1
    assert "is damaged or cut short" in broken.errors[0]

    done = predict({name: IMAGE})
    stem = name.removesuffix(".png")
    # A spreadsheet must not take a name for a formula.
    told = f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
    assert done.table["image"].tolist() in ([told], [told.replace("\r\n", "\n")])
    if len(os.fsencode(name)) == 255:
        assert (done.code, done.files) == (3, set())
        assert done.err == [f"{name} has too long a name for -classes.tif.aux.xml to be added: shorten it."]
    else:
        assert (done.code, done.err) == (0, [])
        assert done.files == {f"{stem}-colours.png", f"{stem}-indices.png", f"{stem}.json"}


@pytest.mark.parametrize("name", ["../up.png", "/etc/passwd.png", "a/b.png", "C:\\a.png", ".png"])
def test_a_name_that_no_file_here_can_have_is_only_shown(name: str, upload: Callable) -> None:
    shown = upload((name, IMAGE))
    assert (shown.exceptions, shown.errors) == ([], [])
    assert f"{name}, 48 × 40 px" in shown.words


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_broken_file_of_such_a_name_is_one_line(name: str, predict: Callable) -> None:
    done = predict({name: b"Dear Sir or Madam"})
    assert (done.code, done.files) == (3, set())
    assert len(done.err) == 1
    assert done.err[0].isprintable()


def test_a_name_that_is_not_utf8_is_told_with_its_bytes(predict: Callable) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    done = predict({name: IMAGE}, {name: IMAGE})
    assert (done.code, len(done.err)) == (0, 1)
    assert "caf\N{REPLACEMENT CHARACTER}.png: accuracy" in done.out
    assert done.table["image"].tolist() == ["caf\\xe9.png"]
    assert done.files == {os.fsdecode(b"caf\xe9" + rest) for rest in (b"-colours.png", b"-indices.png", b".json")}


def test_a_broken_name_of_a_broken_map_is_one_line(predict: Callable) -> None:
    done = predict({os.fsdecode(b"caf\xe9.tif"): b""})
    assert done.code == 3
    assert done.err == [
        "caf\N{REPLACEMENT CHARACTER}.tif is not an image that can be read: save it again as PNG or JPEG."
    ]


def test_what_is_no_file_is_passed_over_and_not_waited_for(predict: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "nowhere.png").symlink_to(tmp_path / "nothing")
    (folder / "endless.png").symlink_to("/dev/zero")
    done = predict({"a.png": IMAGE})
    assert (done.code, done.err, done.table["image"].tolist()) == (0, [], ["a.png"])


def test_a_folder_of_hostile_files_is_refused_file_by_file_in_a_process_of_its_own(
    trained: object, tmp_path: Path
) -> None:
    folder, output = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    contents = {**dict.fromkeys(NAMES.values(), IMAGE[:900]), "empty.png": b"", "text.tif": b"Dear Sir or Madam"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-m", "segmentation", "predict", folder, "--run", trained.run.folder, "--output", output]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert done.stdout == f"0 of {len(contents)} images predicted into {output}\n"
    sentences = done.stderr.splitlines()
    assert len(sentences) == len(contents)
    assert all(sentence.isprintable() and sentence.endswith(".") for sentence in sentences)
    assert [path.name for path in output.iterdir()] == ["results.csv"]
