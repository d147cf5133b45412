"""How masks say a class: values, colours, no and yes; and what is void in each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.health import examine
from segmentation.data.layouts.names import SAME, Rule, learn, role, split_of
from segmentation.data.palette import VOID
from segmentation.data.patches import load_patches
from segmentation.data.protocols import PARTS, assign_parts, held_out
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError

SQUARES = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
"""(16, 24): six classes in squares."""


def write(root: Path, masks: list[Image.Image], suffix: str = ".png", **options: object) -> Dataset:
    """Write a data set of some masks and find it."""
    for folder in ("img", "ann"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks):
        Image.effect_noise(mask.size, 90).convert("RGB").save(root / f"img/{number}.jpg")
        mask.save(root / f"ann/{number}{suffix}", **options)
    return find_dataset(root)


def indices(dataset: Dataset) -> list[np.ndarray]:
    return [read_scene(scene, dataset.palette)[1] for scene in dataset.scenes]


def paletted(values: np.ndarray, colors: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(np.array(colors, np.uint8).tobytes())
    return image


@pytest.mark.parametrize(
    ("mask", "expected", "suffix"),
    [
        (Image.fromarray(SQUARES), SQUARES, ".png"),
        (Image.fromarray(SQUARES.astype(np.uint16) * 300), SQUARES, ".png"),
        (Image.fromarray(SQUARES.astype(np.uint16) * 300), SQUARES, ".tif"),
        (Image.fromarray(SQUARES.astype(np.int32) + 7), SQUARES, ".tif"),
        (Image.fromarray(SQUARES.astype(np.float32)), SQUARES, ".tif"),
        (Image.fromarray(np.repeat(SQUARES[..., None], 3, 2)), SQUARES, ".png"),
        (Image.fromarray((SQUARES % 2).astype(bool)), SQUARES % 2, ".png"),
        (Image.fromarray(SQUARES % 2 * 255), SQUARES % 2, ".png"),
        (Image.fromarray(np.where(SQUARES == 5, 255, SQUARES)), np.where(SQUARES == 5, VOID, SQUARES), ".png"),
        (Image.fromarray(np.where(SQUARES == 5, 255, SQUARES % 2)), np.where(SQUARES == 5, VOID, SQUARES % 2), ".png"),
    ],
    ids=["8", "16", "16 TIFF", "32 TIFF", "float TIFF", "three", "1 bit", "0 and 255", "255 void", "0, 1 and 255"],
)
def test_values_become_classes(tmp_path: Path, mask: Image.Image, expected: np.ndarray, suffix: str) -> None:
    assert np.array_equal(indices(write(tmp_path, [mask], suffix))[0], expected)


def test_transparent_values_are_void(tmp_path: Path) -> None:
    opaque = np.where(SQUARES == 2, 0, 255).astype(np.uint8)
    dataset = write(tmp_path, [Image.fromarray(np.dstack([SQUARES, opaque]), "LA")])
    expected = np.array([0, 1, VOID, 2, 3, 4], np.uint8)[SQUARES]  # what is hidden there is no class
    assert np.array_equal(indices(dataset)[0], expected)


def test_palette_files_with_one_table_are_in_its_order(tmp_path: Path) -> None:
    table = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (9, 9, 90), (90, 9, 9), (9, 90, 9)]
    dataset = write(tmp_path, [paletted(SQUARES, table), paletted(SQUARES[::-1].copy(), table)])
    assert dataset.palette.colors == tuple(table)
    assert np.array_equal(indices(dataset)[1], SQUARES[::-1])


def test_palette_files_with_several_tables_are_read_by_their_colours(tmp_path: Path) -> None:
    table = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (9, 9, 90), (90, 9, 9), (9, 90, 9)]
    dataset = write(tmp_path, [paletted(SQUARES, table), paletted(5 - SQUARES, table[::-1])])
    first, second = indices(dataset)
    assert np.array_equal(first, second)


def test_colours_that_nothing_names_are_classes_and_black_is_void(tmp_path: Path) -> None:
    table = np.array([(0, 0, 0), (0, 200, 0), (0, 0, 200), (9, 9, 90), (90, 9, 9), (9, 90, 9)], np.uint8)
    dataset = write(tmp_path, [Image.fromarray(table[SQUARES])])
    assert sorted(dataset.palette.colors) == sorted(map(tuple, table[1:].tolist()))
    assert (indices(dataset)[0] == VOID).sum() == 64
    assert any("Black counts as no class" in remark for remark in dataset.remarks)


def test_black_and_one_colour_are_background_and_foreground(tmp_path: Path) -> None:
    colors = np.array([(0, 0, 0), (255, 0, 0)], np.uint8)[SQUARES % 2]
    dataset = write(tmp_path, [Image.fromarray(colors)])
    assert dataset.palette.names == ("Background", "Foreground")
    assert np.array_equal(indices(dataset)[0], SQUARES % 2)


def test_colours_beside_values_in_one_mask_are_void(tmp_path: Path) -> None:
    odd = np.repeat(SQUARES[..., None], 3, 2)
    odd[0, 0] = (1, 2, 3)
    root = tmp_path / "set"
    write(root, [Image.fromarray(SQUARES)] * 5)
    Image.fromarray(odd).save(root / "ann/0.png")
    (root / "dataset.toml").write_text(
        "".join(f'[[classes]]\nname = "{value}"\nvalue = {value}\n' for value in range(6))
    )
    mask = indices(find_dataset(root))[0]
    assert mask[0, 0] == VOID
    assert np.array_equal(mask[1:], SQUARES[1:])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "a\nb\nc\nd\ne\nf\n"),
        ("classes.txt", "0 a\n1 b\n2 c\n3 d\n4 e\n5 f\n"),
        ("_classes.csv", "Pixel Value, Class\n0, a\n1, b\n2, c\n3, d\n4, e\n5, f\n"),
        ("dataset.json", '{"labels": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}}'),
        ("dataset.json", '{"labels": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f"}}'),
        ("mine.py", "class D:\n    METAINFO = dict(classes=('a', 'b', 'c', 'd', 'e', 'f'))\n"),
        ("metainfo.json", '{"classes": ["a", "b", "c", "d", "e", "f"]}'),
        (
            "style.qml",
            "".join(f'<paletteEntry value="{v}" color="#0{v}0000" label="{n}"/>' for v, n in enumerate("abcdef")),
        ),
        ("a.tif.aux.xml", "".join(f"<Category>{name}</Category>" for name in "abcdef")),
        ("class_dict.csv", "name,r,g,b\n" + "".join(f"{n},{40 + v},200,{v}\n" for v, n in enumerate("abcdef"))),
    ],
)
def test_a_file_names_the_values(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    dataset = write(tmp_path, [Image.fromarray(SQUARES)])
    assert dataset.palette.names == tuple("abcdef")
    assert np.array_equal(indices(dataset)[0], SQUARES)


def test_a_labelmap_names_the_colours(tmp_path: Path) -> None:
    table = np.array([(0, 0, 0), (0, 200, 0), (0, 0, 200), (9, 9, 90), (90, 9, 9), (9, 90, 9)], np.uint8)
    rows = "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in zip("abcdef", table, strict=True))
    (tmp_path / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{rows}")
    dataset = write(tmp_path, [Image.fromarray(table[SQUARES])])
    assert dataset.palette.names == tuple("abcdef")
    assert np.array_equal(indices(dataset)[0], SQUARES)


@pytest.mark.parametrize("content", ["METAINFO = __import__('os').system('touch ran')", "METAINFO = dict(", "(" * 5000])
def test_a_python_file_is_not_run(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.py").write_text(content)
    dataset = write(tmp_path, [Image.fromarray(SQUARES)])
    assert dataset.guessed
    assert not (tmp_path / "ran").exists()


def test_a_value_that_the_sample_did_not_hold_is_void_and_named(tmp_path: Path) -> None:
    dataset = write(tmp_path, [Image.fromarray(SQUARES)] * 3)
    odd = SQUARES.copy()
    odd[0, :5] = 77
    Image.fromarray(odd).save(dataset.scenes[1].mask)
    health = examine(dataset, 8)
    (finding,) = health.findings[health.findings["kind"] == "void"].itertuples()
    assert finding.pixels == 5
    assert "hold 77, no class's value" in finding.detail


@pytest.mark.parametrize(("scale", "fits"), [((8, 12), True), ((32, 48), True), ((16, 23), False), ((15, 24), False)])
def test_masks_of_the_images_shape_are_resized(tmp_path: Path, scale: tuple[int, int], fits: bool) -> None:
    dataset = write(tmp_path, [Image.fromarray(SQUARES)])
    Image.fromarray(SQUARES).resize(scale[::-1], Image.Resampling.NEAREST).save(dataset.scenes[0].mask)
    health = examine(dataset, 8)
    assert (health.findings["kind"] == "resized").any() == fits
    assert (health.findings["kind"] == "unreadable").any() != fits
    if fits:
        assert np.array_equal(indices(dataset)[0], SQUARES)


# Names


@pytest.mark.parametrize(
    ("images", "masks", "rule"),
    [
        (["1", "2", "10"], ["1", "2", "10"], SAME),
        (["a1", "a10", "a100"], ["a1_L", "a10_L", "a100_L"], Rule("", "_L")),
        (["1_sat", "10_sat"], ["1_mask", "10_mask"], Rule("_sat", "_mask")),
        (["img-1", "img-2"], ["gt-1", "gt-2"], Rule("img", "gt", at_start=True)),
        (["t_RGB_img1", "t_RGB_img2"], ["t_labels_img1", "t_labels_img2"], Rule("RGB", "labels")),
        (["case_1_0000", "case_2_0000"], ["case_1", "case_2"], Rule("_0000", "")),
    ],
)
def test_the_rule_is_learned_from_the_names(images: list[str], masks: list[str], rule: Rule) -> None:
    assert learn([(images, masks)])[0] == (rule, len(images))


def test_numbers_alone_make_no_rule() -> None:
    assert learn([(["a1", "a2", "a3"], ["a4", "a5", "a6"])]) == []


@pytest.mark.parametrize(
    "name", ["images", "JPEGImages", "imagesTr", "train-org-img", "2_Ortho_RGB", "leftImg8bit", "top"]
)
def test_folders_of_images(name: str) -> None:
    assert role(name) == "image"


@pytest.mark.parametrize(
    "name", ["masks", "Labels", "labelsTr", "ann_dir", "SegmentationClass", "gtFine", "train-label-img", "5_Labels_all"]
)
def test_folders_of_masks(name: str) -> None:
    assert role(name) == "mask"


@pytest.mark.parametrize(
    ("folder", "split"),
    [("Train/Rural", "Train"), ("uavid_val/seq1", "val"), ("a/tr/b", ""), ("imagesTr", "Tr"), ("x", "")],
)
def test_folders_that_name_a_split(folder: str, split: str) -> None:
    assert split_of(folder) == split


# The split that a data set brings


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Dataset]:
    """A function that writes four scenes and lists of them."""

    def listed_(**lists: str) -> Dataset:
        write(tmp_path, [Image.fromarray(SQUARES)] * 4)
        for name, numbers in lists.items():
            (tmp_path / f"{name}.txt").write_text("\n".join(numbers) + "\n")
        return find_dataset(tmp_path)

    return listed_


def test_given_scores_the_test_split_and_validates_on_the_validation_split(listed: Callable[..., Dataset]) -> None:
    dataset = listed(train="01", val="2", test="3")
    patches = load_patches(dataset, 8, protocol="given")
    parts = assign_parts(patches.table, "given")
    of_part = {part: set(patches.table["scene"][parts == part].str[-1]) for part in PARTS}
    assert of_part == {"train": {"0", "1"}, "validation": {"2"}, "test": {"3"}}


def test_given_scores_the_validation_split_where_there_is_no_other(listed: Callable[..., Dataset]) -> None:
    patches = load_patches(listed(train="012", val="3"), 8, protocol="given")
    assert set(patches.table["scene"][held_out(patches.table, "given")].str[-1]) == {"3"}


def test_given_needs_a_split(listed: Callable[..., Dataset]) -> None:
    patches = load_patches(listed(), 8, protocol="given")
    with pytest.raises(ConfigurationError, match="This data set brings none"):
        held_out(patches.table, "given")
