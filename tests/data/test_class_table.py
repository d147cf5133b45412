"""What is set up by hand is saved, and read back to the same classes: values, colours and outlines."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from segmentation.data.class_table import ClassRow, class_rows, classes_of, meaning_of_rows, row_classes, row_encoding
from segmentation.data.declaration import Declaration, declaration_file, own_declaration, read_declaration
from segmentation.data.description import save_declaration
from segmentation.data.encodings import Key
from segmentation.data.palette import VOID
from segmentation.data.scenes import Dataset, find_dataset, mask_choices, read_scene
from segmentation.errors import AmbiguousDatasetError, DeclarationError, StorageError

HOSTILE = ('quotes " and \\', "two\nlines", "<b>bold</b> $x$", "[[classes]]", "\x7f\t", "Straße 🏙", "# no comment")
"""Names that mean something in TOML, HTML or Markdown."""

VALUES = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((8, 8), np.uint8))
"""(16, 32): eight values in squares."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(root: Path, mask: np.ndarray, masks: str = "masks") -> Path:
    """Write two scenes with the same mask."""
    for kind, pixels in (("images", np.random.default_rng(1).integers(0, 255, (16, 32, 3), np.uint8)), (masks, mask)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            Image.fromarray(pixels).save(root / kind / f"{name}.png")
    return root


def start(root: Path, said: Declaration | None = None) -> tuple[Dataset, Declaration, tuple[ClassRow, ...]]:
    """Return what the page starts from."""
    said = read_declaration(root) if said is None else said
    found = find_dataset(root, None, replace(said, classes=(), nearest=False))
    return found, said, class_rows(found, said)


def save(root: Path, rows: Sequence[ClassRow], said: Declaration) -> Dataset:
    """Save rows as the page does, and return what is read then."""
    said = replace(said, classes=classes_of(rows))
    save_declaration(find_dataset(root, None, said), said)
    return find_dataset(root)


def mask_of(dataset: Dataset) -> np.ndarray:
    return read_scene(dataset.scenes[0], dataset.palette)[1]


def by_key(rows: Sequence[ClassRow]) -> dict[Key | str, ClassRow]:
    return {row.key: row for row in rows}


def test_values_are_named_merged_and_ignored(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    _, said, rows = start(root)
    assert [(row.key, row.share, row.ignore) for row in rows] == [(value, 0.125, False) for value in range(8)]
    rows = tuple(replace(row, name=f"Is {row.key}") for row in rows)
    rows = (
        replace(rows[0], color=(1, 2, 3)),
        replace(rows[1], merge="Is 0"),
        replace(rows[2], name="Is 0"),
        replace(rows[3], ignore=True),
        *rows[4:],
    )
    dataset = save(root, rows, said)
    assert dataset.palette.names == ("Is 0", "Is 4", "Is 5", "Is 6", "Is 7")
    assert dataset.palette.colors[0] == (1, 2, 3)
    assert np.array_equal(mask_of(dataset), np.array([0, 0, 0, VOID, 1, 2, 3, 4], np.uint8)[VALUES])
    _, _, again = start(root)
    shown = by_key(again)
    assert {key: (row.name, row.merge, row.ignore) for key, row in shown.items()} == {
        row.key: (row.name, row.merge, row.ignore) for row in rows
    }
    assert shown[4].color == rows[4].color


def test_what_is_saved_twice_stays_the_same(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    _, said, rows = start(root)
    save(root, [replace(rows[0], name="Other"), *rows[1:]], said)
    first = (root / "dataset.toml").read_text()
    _, said, rows = start(root)
    save(root, rows, said)
    assert (root / "dataset.toml").read_text() == first
    assert (root / "dataset.toml.old").read_text() == first


def test_colours_are_named_and_drawn_otherwise(tmp_path: Path) -> None:
    table = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), *[(9, 9, 99)] * 4], np.uint8)
    root = write(tmp_path / "city", table[VALUES])
    _, said, rows = start(root)
    rows = by_key(rows)
    assert rows[(0, 0, 0)].ignore  # black is void until somebody says it is a class
    assert not rows[(255, 0, 0)].ignore
    names = {(0, 0, 0): "Nothing", (255, 0, 0): "Roof", (0, 255, 0): "Tree", (0, 0, 255): "Lake", (9, 9, 99): "Sea"}
    changed = [replace(row, name=names[key], ignore=key == (0, 255, 0)) for key, row in rows.items()]
    changed = [replace(row, color=(7, 7, 7)) if row.name == "Lake" else row for row in changed]
    dataset = save(root, changed, said)
    assert set(dataset.palette.names) == {"Nothing", "Roof", "Lake", "Sea"}
    assert dataset.palette.colors[dataset.palette.names.index("Lake")] == (7, 7, 7)
    index = [dataset.palette.names.index(name) if name != "Tree" else VOID for name in names.values()]
    assert np.array_equal(mask_of(dataset), np.array([*index, *[index[4]] * 3], np.uint8)[VALUES])


def test_outlines_are_named_and_what_none_covers_too(tmp_path: Path) -> None:
    root = tmp_path / "survey"
    (root / "tiles").mkdir(parents=True)
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 1, 1)}
    with rasterio.open(root / "tiles/a.tif", "w", dtype="uint8", driver="GTiff", height=16, width=32, count=3, **place):
        pass
    corners = [(0, 0), (8, 0), (8, 16), (0, 16), (0, 0)]
    ring = [[500_000 + x, 5_000_000 - y] for x, y in corners]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (root / "survey.geojson").write_text(json.dumps({"features": [feature], "crs": crs}))
    found, said, rows = start(root)
    assert [(row.name, row.share) for row in rows] == [("Background", 0.75), ("Labelled", 0.25)]
    places = replace(found.scenes[0], encoding=row_encoding(found.scenes[0].encoding, rows)).read_mask(found.palette)
    expected = np.zeros((16, 32), np.uint8)
    expected[:, :8] = 1
    assert np.array_equal(places, expected)
    dataset = save(root, [replace(rows[0], name="Ground"), replace(rows[1], name="Field")], said)
    assert dataset.palette.names == ("Ground", "Field")
    assert np.array_equal(mask_of(dataset), expected)
    dataset = save(root, [replace(rows[1], name="Field"), replace(rows[0], ignore=True)], said)
    assert dataset.palette.names == ("Field",)
    assert np.array_equal(mask_of(dataset), np.where(expected, 0, VOID))


def test_objects_of_coco_are_named_also_the_only_category_with_the_number_zero(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    (root / "images").mkdir(parents=True)
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(root / "images/a.png")
    square = {"image_id": 1, "category_id": 0, "segmentation": [[0, 0, 8, 0, 8, 16, 0, 16]], "iscrowd": 0}
    images = [{"id": 1, "file_name": "a.png", "height": 16, "width": 32}]
    content = {"images": images, "annotations": [{"id": 1} | square], "categories": [{"id": 0, "name": "house"}]}
    (root / "instances.json").write_text(json.dumps(content))
    before = mask_of(find_dataset(root))
    assert before[0, 0] == 1
    assert before[0, 31] == 0
    _, said, rows = start(root)
    dataset = save(root, [replace(rows[0], name="Ground"), replace(rows[1], name="House")], said)
    assert dataset.palette.names == ("Ground", "House")
    assert np.array_equal(mask_of(dataset), before)


def test_hostile_names_survive(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    _, said, rows = start(root)
    named = [replace(row, name=name) for row, name in zip(rows, HOSTILE, strict=False)]
    dataset = save(root, [*named, replace(rows[7], name='ignored "', ignore=True)], said)
    assert dataset.palette.names == HOSTILE
    assert {row.name for row in start(root)[2]} == {*HOSTILE, 'ignored "'}


def test_pictures_are_drawn_by_the_table_as_they_are_read_afterwards(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    found, said, rows = start(root)
    rows = (replace(rows[0], ignore=True), replace(rows[1], merge=rows[5].name), *rows[2:])
    meaning = meaning_of_rows(found, replace(said, classes=classes_of(rows)))
    by_row = replace(found.scenes[0], encoding=row_encoding(meaning.encoding, rows)).read_mask(found.palette)
    drawn = row_classes(meaning.encoding, rows)[by_row]
    assert np.array_equal(drawn, mask_of(save(root, rows, said)))


def test_what_is_nearest_to_an_ignored_value_is_ignored_too(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES * 10)
    (root / "dataset.toml").write_text(
        "nearest = true\n[[classes]]\nname = 'Low'\nvalue = 0\n[[classes]]\nname = 'High'\nvalue = 70\n"
        "[[classes]]\nname = 'Between'\nvalue = 30\nignore = true\n"
    )
    assert np.array_equal(mask_of(find_dataset(root)), np.array([0, 0, VOID, VOID, VOID, VOID, 1, 1], np.uint8)[VALUES])


def test_splits_patterns_and_limits_are_kept(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    (root / "dataset.toml").write_text(
        'images = "images/{stem}.png"\nmasks = "masks/{stem}.png"\nsplits = {"my \\"test\\"" = ["a"], train = "b"}\n'
    )
    before, said, rows = start(root)
    assert before.splits == {'my "test"': 1, "train": 1}
    said = replace(said, bands=(3, 2, 1), stretch=((0.0, 9.5), (1.0, 2.0), (0.0, 255.0)))
    after = save(root, rows, said)
    assert after.splits == before.splits
    assert (after.bands, after.limits, after.patterns) == (said.bands, said.stretch, before.patterns)


def test_one_of_two_kinds_of_masks_is_chosen_and_saved(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES, "label_images")
    write(root, np.array([(30 * value, 90, 0) for value in range(8)], np.uint8)[VALUES], "masks_color")
    with pytest.raises(AmbiguousDatasetError):
        find_dataset(root)
    choices = mask_choices(root, [tmp_path])
    assert [words.partition(":")[0] for words in choices] == ["label_images/{stem}.png", "masks_color/{stem}.png"]
    assert "values 0–7" in next(iter(choices))
    for patterns in choices.values():
        _, said, rows = start(root, Declaration(*patterns))
        dataset = save(root, rows, said)
        assert {scene.mask.parent.name for scene in dataset.scenes} == {patterns[1].partition("/")[0]}
    assert mask_choices(write(tmp_path / "plain", VALUES), [tmp_path]) == {}


def test_where_nobody_may_write_it_is_kept_in_our_own_folder(read_only: Path, tmp_path: Path) -> None:
    city = write(tmp_path / "city", VALUES)
    found, said, rows = start(city)
    said = replace(said, classes=classes_of(rows))
    file = save_declaration(replace(found, root=read_only), said)  # as if it lay there
    assert file == own_declaration(read_only) == declaration_file(read_only)
    assert len(tomllib.loads(file.read_text())["classes"]) == 8
    assert [of.name for of in read_declaration(read_only).classes] == [row.name for row in rows]


def test_what_is_kept_in_our_own_folder_counts_until_the_data_says_it_itself(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    before = find_dataset(root)
    own = own_declaration(root)
    own.parent.mkdir(parents=True)
    own.write_text(
        "[[classes]]\nname = 'Low'\nvalue = [0, 1, 2, 3]\n[[classes]]\nname = 'High'\nvalue = [4, 5, 6, 7]\n"
    )
    assert find_dataset(root).palette.names == ("Low", "High")
    (root / "dataset.toml").write_text("[[classes]]\nname = 'All'\nvalue = [0, 1, 2, 3, 4, 5, 6, 7]\n")
    assert find_dataset(root).palette.names == ("All",)
    _, said, rows = start(root)
    save(root, rows, said)
    assert not own.exists()
    (root / "dataset.toml").unlink()
    assert find_dataset(root) == before


def test_a_declaration_that_cannot_be_replaced_is_not_hidden_by_ours(tmp_path: Path, cache: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    found, said, rows = start(root)
    (root / "dataset.toml").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        save_declaration(found, replace(said, classes=classes_of(rows)))
    assert not (cache / "declarations").exists()


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    root = write(tmp_path / "city", VALUES)
    (tmp_path / "elsewhere.toml").write_text("")
    (root / "dataset.toml").symlink_to(tmp_path / "elsewhere.toml")
    (root / "dataset.toml.old").symlink_to(tmp_path / "elsewhere.toml")
    _, said, rows = start(root)
    save(root, rows, said)
    assert (tmp_path / "elsewhere.toml").read_text() == ""
    assert not (root / "dataset.toml").is_symlink()
    assert not (root / "dataset.toml.old").is_symlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": " "}, "has no name"),
        ({"merge": "Nobody"}, "no class is called 'Nobody'"),
        ({"color": (9, 9, 9)}, "share the colour"),
        ({"name": "No class"}, "give that class another name"),
        ({"ignore": True}, "leave one at least"),
    ],
)
def test_what_contradicts_itself_gets_one_sentence(tmp_path: Path, change: dict, sentence: str) -> None:
    found, said, rows = start(write(tmp_path / "city", VALUES))
    changed = [replace(row, **change) for row in rows]
    with pytest.raises(DeclarationError, match=sentence):
        meaning_of_rows(found, replace(said, classes=classes_of(changed)))


def test_a_table_of_heights_is_bounded(tmp_path: Path) -> None:
    root = write(tmp_path / "city", np.arange(512, dtype=np.int32).reshape(16, 32).astype(np.uint16))
    _, said, rows = start(root)
    assert len(rows) <= VOID
    assert len(save(root, rows, said).palette) <= VOID
