"""Records of JSON files: what is declared of a field is what is read, refused and written, for every field there is."""

import json
import math
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from segmentation.commands.training import print_scores
from segmentation.data.palette import DUBAI, Palette
from segmentation.data.stretch import Stretch
from segmentation.intervals import Intervals
from segmentation.runs import records
from segmentation.runs.fields import Kind, Record, share
from segmentation.runs.run import CONFIG, METRICS, SHIPPED, STATUS, Run, find_runs
from segmentation.thresholds import STEPS

BLOCK = {"shape": [8, 8, 3], "layers": {"Conv2D": 2}}

BINS = " ".join(["12"] * (STEPS + 1))

VALUES = (
    *(1, 0.5, "finished", "patch", [1], ["a"], [1, 2, 3], [[0, 0], [0, 0]], [BLOCK]),
    *({"Conv2D": 2}, {"keras": "3.15"}, {"Land": 0.5, "Road": None}, {"low": [0.5], "high": [9.5]}, DUBAI.to_dict()),
    {"Land": {"pixels": [2], "confidence": [0.5], "right": [1]}},
    {"unit": "scene", "units": 12, "scores": {"accuracy": [0.4, 0.6]}, "iou": {"Land": [0.1, 0.2], "Road": None}},
    *({"Land": 0.5}, {"Land": BINS}, {"test": {"true": {"Land": BINS}, "other": {"Land": BINS}}}),
)
"""What a field can hold: of each the first that it takes."""

WRONG_NUMBERS = (True, "1", [], {}, -1, 10**400, -(10**400), 1e300, math.nan, math.inf, -math.inf)


def record_fields() -> list[tuple[type[Record], str, Any]]:
    """Every field of every record, with its type."""
    kinds = vars(records).values()
    found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record]
    assert len(found) >= 7
    return [(record, name, get_type_hints(record)[name]) for record in found for name in record.kinds]


FIELDS = record_fields()

EVERY_FIELD = pytest.mark.parametrize(
    ("record", "name", "hint"), FIELDS, ids=[f"{record.__name__}.{name}" for record, name, _ in FIELDS]
)

RECORDS = {record.__name__: record for record, *_ in FIELDS}

EVERY_RECORD = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)


def required(record: type[Record], name: str) -> bool:
    """Whether a field has no default."""
    (found,) = (field for field in fields(record) if field.name == name)
    return found.default is MISSING and found.default_factory is MISSING


def sample(record: type[Record]) -> dict:
    """JSON of a record that has all its fields."""
    content = {}
    for name, kind in record.kinds.items():
        hint = get_type_hints(record)[name]
        inner = [part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, Record)]
        taken = (value for value in (*map(sample, inner), *VALUES) if _takes(kind, value))
        content[name] = next(taken, None)
        assert content[name] is not None, f"say in VALUES what {record.__name__}.{name} can hold"
    return content


def _takes(kind: Kind, value: object) -> bool:
    try:
        kind.read(value)
    except ValueError:
        return False
    return True


def wrong(hint: object) -> list[object]:
    """Values out of JSON that are not of a type."""
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in parts if part is not NoneType)
        return [value for value in wrong(hint) if value is not None]
    if get_origin(hint) is Literal or hint is str:
        return [None, 1, True, math.nan, ["a"], {}, *(["flying"] if get_origin(hint) is Literal else [])]
    if hint is int:
        return [None, 0.5, *WRONG_NUMBERS]
    if hint is float:
        return [None, *WRONG_NUMBERS]
    if get_origin(hint) is list:
        return [None, 1, "ab", {}, {"a": 1}, *([value] for value in wrong(parts[0]))]
    if get_origin(hint) is dict:
        inner = [] if parts[1] is Any else wrong(parts[1])
        return [None, 1, "ab", [], [1], *({"a": value} for value in inner)]
    no_objects = [None, 1, "ab", True, [], [1], math.nan]
    if issubclass(hint, Record):
        return [*no_objects, *([{}] if hint.required else [])]
    assert hint in (Palette, Stretch, Intervals), f"say what is not of the type {hint}"
    return [*no_objects, {}, {"classes": [1]}, {"classes": 10**400}, {"low": [10**400], "high": [math.inf]}]


@EVERY_RECORD
def test_a_record_is_written_as_it_was_read(record: type[Record]) -> None:
    content = json.loads(json.dumps(sample(record)))
    found = record.from_dict(content)
    assert found is not None
    assert found.further == {}
    assert list(found.to_dict().items()) == list(content.items())
    assert record.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@EVERY_RECORD
def test_what_another_version_wrote_besides_is_kept(record: type[Record]) -> None:
    content = {**sample(record), "younger": {"than": ["this"]}}
    found = record.from_dict(content)
    assert found.further == {"younger": {"than": ["this"]}}
    assert found.to_dict() == content


@EVERY_RECORD
@pytest.mark.parametrize("content", [None, [], [1], "text", 1, math.nan], ids=repr)
def test_what_is_no_object_is_no_record(record: type[Record], content: object) -> None:
    assert record.from_dict(content) is None


@EVERY_FIELD
def test_a_field_that_is_missing_reads_as_its_default_or_the_record_does_not(
    record: type[Record], name: str, hint: object
) -> None:
    content = sample(record)
    del content[name]
    found = record.from_dict(content)
    if required(record, name):
        assert found is None
    else:
        assert getattr(found, name) == getattr(record(**{n: getattr(found, n) for n in content}), name)


@EVERY_FIELD
def test_a_value_of_another_type_is_never_taken(record: type[Record], name: str, hint: object) -> None:
    content = sample(record)
    unknown = record.from_dict({key: value for key, value in content.items() if key != name})
    for value in wrong(hint):
        if value is None and record.kinds[name].null:
            continue
        found = record.from_dict({**content, name: value})
        if required(record, name):
            assert found is None, value
        else:
            assert getattr(found, name) == getattr(unknown, name), value
            assert found.to_dict()[name] is value  # kept for the version that wrote it


def test_fields_that_do_not_go_together_are_no_record() -> None:
    metrics, network = sample(records.Metrics), sample(records.Network)
    assert records.Metrics.from_dict(metrics | {"iou": {"Land": 0.5}}) is None
    assert records.Metrics.from_dict(metrics | {"confusion_matrix": [[1, 2]]}) is None
    assert records.Network.from_dict(network | {"skips": [[0, len(network["blocks"])]]}) is None
    assert records.Network.from_dict(network | {"blocks": []}) is None
    assert records.Calibration.from_dict({"pixels": [1], "confidence": [1.0], "right": []}) is None


@pytest.mark.parametrize("run", [run.name for run in find_runs(SHIPPED)])
@pytest.mark.parametrize("file", [METRICS, STATUS, CONFIG])
def test_what_shipped_runs_say_is_written_as_it_was(run: str, file: str) -> None:
    said = {METRICS: Run.metrics.func, CONFIG: Run.config.func, STATUS: Run.status.fget}[file](Run(SHIPPED / run))
    written, content = said.to_dict(), json.loads((SHIPPED / run / file).read_text(encoding="utf-8"))
    if file == CONFIG:  # these are older than the stretch
        assert written["dataset"].pop("stretch") is None
    assert (list(written), written, said.further) == (list(content), content, {})


def test_scores_are_those_fields_that_may_not_exist() -> None:
    metrics = records.Metrics.from_dict(sample(records.Metrics) | {"accuracy": None, "mean_iou": 0.25})
    found = {kind.title: value for _, kind, value in metrics.scores()}
    assert (found["accuracy"], found["mean IoU"]) == (None, 0.25)
    assert all(kind.title and kind.meaning.endswith(".") for _, kind, _ in metrics.scores())


@dataclass(frozen=True, kw_only=True)
class WithDice(records.Metrics):
    """What a further score takes."""

    dice: Annotated[float | None, share("Dice", "Twice the intersection over the sum of both areas.")] = None


def test_a_further_score_takes_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    content = sample(records.Metrics) | {"dice": 0.625}
    found = WithDice.from_dict(content)
    assert (found.dice, found.to_dict()) == (0.625, content)
    assert WithDice.from_dict(content | {"dice": 1.5}).dice is None
    print_scores("mine", found)
    assert "  Dice                          0.6250               Twice the intersection" in capsys.readouterr().out


@pytest.mark.parametrize("file", [METRICS, CONFIG, STATUS])
@pytest.mark.parametrize("value", ["9" * 400, "-" + "9" * 400, "NaN", "Infinity", "1e999", "9" * 5000])
def test_numbers_of_any_length_break_no_run(tmp_path: Path, file: str, value: str) -> None:
    """Whatever stands in place of a number in these files."""
    source = SHIPPED / "demo-unet"
    text = (source / file).read_text(encoding="utf-8")
    content = json.loads(text, parse_int=lambda _: "NUMBER", parse_float=lambda _: "NUMBER")
    (tmp_path / CONFIG).write_bytes((source / CONFIG).read_bytes())
    (tmp_path / file).write_text(json.dumps(content).replace('"NUMBER"', value))
    run = Run(tmp_path)
    assert json.dumps(run.status.to_dict())
    assert run.metrics is None
    assert (run.patch_size, run.left_out, run.stretch) == (160, "", None)
    assert (run.config is None) == (file == CONFIG)
