"""Reviews are kept, the last of a patch counts, and nothing that was written is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.data.locate import PROJECT
from segmentation.errors import RunError
from segmentation.runs.reviews import Reviews

FINGERPRINT = "0123456789abcdef" * 4


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    return Reviews(tmp_path / "runs", FINGERPRINT)


def test_without_a_file_there_is_no_review(reviews: Reviews) -> None:
    assert reviews.read().empty
    assert not reviews.path.exists()


def test_what_was_said_is_read_again(reviews: Reviews) -> None:
    reviews.add("t/s/r00c01", "hard", 'half "sea", half land\nor so', "first")
    row = Reviews(reviews.path.parents[1], FINGERPRINT).read().iloc[0]
    assert row[["patch", "verdict", "note", "run"]].tolist() == [
        "t/s/r00c01",
        "hard",
        'half "sea", half land\nor so',
        "first",
    ]


def test_the_last_review_of_a_patch_counts_and_the_earlier_stay_in_the_file(reviews: Reviews) -> None:
    for verdict in ("hard", "wrong label"):
        reviews.add("a", verdict, "", "first")
    reviews.add("b", "bright", "", "first")
    assert reviews.read()[["patch", "verdict"]].to_numpy().tolist() == [["a", "wrong label"], ["b", "bright"]]
    assert reviews.path.read_text().count("\n") == 4


def test_a_review_can_be_taken_back(reviews: Reviews) -> None:
    reviews.add("a", "hard", "note", "first")
    reviews.add("a", "", "", "first")
    assert reviews.read().empty


def test_other_data_has_other_reviews(reviews: Reviews) -> None:
    reviews.add("a", "hard", "", "first")
    assert Reviews(reviews.path.parents[1], "f" * 64).read().empty


@pytest.mark.parametrize("content", [b"", b"patch,verdict\na,hard\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_list_of_reviews_is_named_and_left_alone(reviews: Reviews, content: bytes) -> None:
    reviews.path.parent.mkdir(parents=True)
    reviews.path.write_bytes(content)
    with pytest.raises(RunError, match=r"reviews/0123456789abcdef\.csv"):
        reviews.read()
    assert reviews.path.read_bytes() == content


def test_a_review_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RunError, match="could not be kept"):
        Reviews(tmp_path / "runs", FINGERPRINT).add("a", "hard", "", "first")


TWO_AT_ONCE = """
import sys
from pathlib import Path
from segmentation.runs.reviews import Reviews

print("ready", flush=True)
for line in sys.stdin:
    Reviews(Path(line.strip()), "0123456789abcdef").add(sys.argv[1], "hard", "", "first")
    print("done", flush=True)
"""


@pytest.mark.slow
def test_two_processes_that_begin_a_list_at_once_write_one_header(tmp_path: Path) -> None:
    people = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_AT_ONCE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=PROJECT,
        )
        for name in ("a/b/r00c00", "a/b/r00c01")
    ]
    for person in people:
        assert person.stdout.readline() == "ready\n"
    for number in range(200):
        for person in people:
            person.stdin.write(f"{tmp_path / str(number)}\n")
        for person in people:
            assert person.stdout.readline() == "done\n"
        (path,) = (tmp_path / str(number) / "reviews").iterdir()
        lines = path.read_text().splitlines()
        assert (lines[0].split(",")[0], sorted(line.split(",")[0] for line in lines[1:])) == (
            "patch",
            ["a/b/r00c00", "a/b/r00c01"],
        )
    for person in people:
        person.stdin.close()
        person.stdout.close()
        assert person.wait() == 0


def test_a_header_that_was_written_twice_is_no_review(reviews: Reviews) -> None:
    reviews.add("a/b/r00c00", "hard", "", "first")
    header = reviews.path.read_text().splitlines(keepends=True)[0]
    with reviews.path.open("a") as file:
        file.write(header)
    assert reviews.read()["patch"].tolist() == ["a/b/r00c00"]
