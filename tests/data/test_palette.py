"""Class colours: masks to class indices and back, and ``class_dict.csv``."""

import dataclasses
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segmentation.data.palette import CLASS_FILE, DUBAI, VOID, VOID_NAME, Palette
from segmentation.errors import PaletteError

TWO = Palette(("Sky", "Ground"), ((10, 20, 30), (30, 20, 10)))


def test_the_dubai_palette_is_the_articles() -> None:
    assert dict(zip(DUBAI.names, DUBAI.colors, strict=True)) == {
        "Building": (60, 16, 152),
        "Land": (132, 41, 246),
        "Road": (110, 193, 228),
        "Vegetation": (254, 221, 58),
        "Water": (226, 169, 41),
        "Unlabeled": (155, 155, 155),
    }


def test_building_is_class_0_and_unlabeled_class_5() -> None:
    assert (DUBAI.names[0], DUBAI.unlabeled) == ("Building", 5)


@pytest.mark.parametrize("name", ["unlabelled", "UNLABELED"])
def test_unlabeled_is_found_however_it_is_spelled(name: str) -> None:
    assert Palette(("Sky", name), ((1, 1, 1), (2, 2, 2))).unlabeled == 1


def test_a_palette_without_that_class_has_no_unlabeled() -> None:
    assert TWO.unlabeled is None


def test_every_colour_becomes_its_class_index() -> None:
    mask = np.array([DUBAI.colors], np.uint8)
    assert DUBAI.encode(mask).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_class_indices_are_bytes() -> None:
    assert DUBAI.encode(np.zeros((4, 5, 3), np.uint8)).dtype == np.uint8


def test_a_colour_in_no_palette_is_void() -> None:
    mask = np.array([[(0, 0, 0), (61, 16, 152), (152, 16, 60)]], np.uint8)  # black, one off, and BGR for RGB
    assert DUBAI.encode(mask).tolist() == [[VOID, VOID, VOID]]


def test_encoding_equals_comparing_every_pixel_with_every_colour() -> None:
    rng = np.random.default_rng(0)
    mask = rng.choice(np.array([*TWO.colors, (10, 20, 31), (0, 0, 0)], np.uint8), (17, 23))
    expected = np.full((17, 23), 255)
    for row in range(17):
        for column in range(23):
            for index, color in enumerate(TWO.colors):
                if tuple(mask[row, column]) == color:
                    expected[row, column] = index
    assert np.array_equal(TWO.encode(mask), expected)


def test_decoding_undoes_encoding() -> None:
    mask = np.random.default_rng(0).choice(np.array(DUBAI.colors, np.uint8), (31, 7))
    assert np.array_equal(DUBAI.decode(DUBAI.encode(mask)), mask)


COLOR = st.tuples(*3 * [st.integers(0, 255)])
PALETTES = st.lists(COLOR, min_size=1, max_size=255, unique=True).map(
    lambda colors: Palette(tuple(f"class {index}" for index in range(len(colors))), tuple(colors))
)


@given(PALETTES, st.data())
def test_encoding_undoes_decoding_whatever_the_classes(palette: Palette, data: st.DataObject) -> None:
    """Void comes back as void too, unless black is a class's own colour."""
    index = st.sampled_from([*range(len(palette)), VOID])
    indices = data.draw(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=index))
    void = palette.colors.index((0, 0, 0)) if (0, 0, 0) in palette.colors else VOID
    assert np.array_equal(palette.encode(palette.decode(indices)), np.where(indices == VOID, void, indices))


@given(PALETTES, arrays(np.uint8, (4, 5, 3), elements=st.integers(0, 255)))
def test_a_pixel_has_the_class_of_its_colour_or_none(palette: Palette, mask: np.ndarray) -> None:
    mask[0, : len(palette.colors)] = palette.colors[:5]
    index_of = {color: index for index, color in enumerate(palette.colors)}
    expected = [[index_of.get(tuple(map(int, pixel)), VOID) for pixel in row] for row in mask]
    assert palette.encode(mask).tolist() == expected


def test_void_is_drawn_black() -> None:
    assert DUBAI.decode(np.array([[VOID, 0]], np.uint8)).tolist() == [[[0, 0, 0], [60, 16, 152]]]


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((1, 4, 5, 3), np.uint8),
    ],
    ids=["grey", "four channels", "floats", "a batch"],
)
def test_what_is_no_colour_mask_is_not_encoded(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Expected a"):
        DUBAI.encode(mask)


def by_distance(mask: np.ndarray, palette: Palette) -> np.ndarray:
    """The nearest of the palette's colours and black, by plain NumPy."""
    colors = np.array([*palette.colors, (0, 0, 0)])
    squares = ((mask[:, :, None].astype(int) - colors) ** 2).sum(-1)
    return np.array([*range(len(palette)), VOID])[squares.argmin(-1)]


@pytest.mark.parametrize("palette", [DUBAI, TWO, Palette(("Night", "Day"), ((0, 0, 0), (255, 255, 255)))])
def test_the_nearest_colour_is_that_of_least_distance(palette: Palette) -> None:
    mask = np.random.default_rng(2).integers(0, 256, (301, 70, 3), dtype=np.uint8)
    mask[0, :2] = palette.colors[:2]
    assert np.array_equal(palette.encode_nearest(mask), by_distance(mask, palette))


def test_where_two_colours_are_as_near_the_first_class_is_taken() -> None:
    mask = np.array([[(20, 20, 20)]], np.uint8)
    assert TWO.encode_nearest(mask).tolist() == [[0]]


def test_the_nearest_colours_of_an_exact_mask_are_its_own() -> None:
    mask = np.random.default_rng(0).choice(np.array([*DUBAI.colors, (0, 0, 0)], np.uint8), (31, 7))
    assert np.array_equal(DUBAI.encode_nearest(mask), DUBAI.encode(mask))
    assert DUBAI.strays(mask) == (0, 0)


def test_nearest_colours_do_not_change_what_is_exact_afterwards() -> None:
    mask = np.array([[(61, 16, 152)]], np.uint8)
    assert DUBAI.encode_nearest(mask).tolist() == [[0]]
    assert DUBAI.encode(mask).tolist() == [[VOID]]


def test_strays_are_what_is_neither_a_class_nor_black() -> None:
    mask = np.array([[DUBAI.colors[0], (0, 0, 0), (1, 0, 0), (1, 0, 0), (0, 0, 2)]], np.uint8)
    assert DUBAI.strays(mask) == (3 / 5, 2)


def test_strays_are_counted_past_a_strip_of_rows() -> None:
    mask = np.zeros((1000, 3, 3), np.uint8)
    mask[:, 1, 0] = np.arange(1000) % 251
    assert DUBAI.strays(mask) == (996 / 3000, 250)


def test_many_colours_are_smeared_ones_and_a_few_are_classes_of_another_palette() -> None:
    reds = np.zeros((1, 40, 3), np.uint8)
    reds[..., 0] = np.arange(40)
    assert DUBAI.strays(reds).smeared
    assert not DUBAI.strays(reds[:, :20]).smeared


def test_nearest_colours_take_little_memory_beside_the_mask() -> None:
    mask = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    DUBAI.strays(mask[:1])  # makes the tables
    tracemalloc.start()
    DUBAI.encode_nearest(mask)
    DUBAI.strays(mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # three tables of 2^24 bytes and some strips; a distance a pixel and class would be 168 MB


def test_one_hot_has_a_one_at_the_class_and_none_where_void() -> None:
    one_hot = TWO.one_hot(np.array([[0, 1, VOID]], np.uint8))
    assert one_hot.tolist() == [[[1, 0], [0, 1], [0, 0]]]


def test_one_hot_is_undone_by_argmax() -> None:
    indices = np.random.default_rng(0).integers(0, 6, (9, 11), dtype=np.uint8)
    assert np.array_equal(DUBAI.one_hot(indices).argmax(-1), indices)


def test_hexadecimal_colours_are_red_green_blue() -> None:
    assert Palette.from_hex({"Building": "#3C1098", "Land": "8429f6"}).colors == ((60, 16, 152), (132, 41, 246))


def test_a_colour_is_given_back_in_hexadecimal() -> None:
    assert (DUBAI.hex(0), DUBAI.hex(VOID)) == ("#3c1098", "#000000")


def test_a_palette_survives_the_way_through_json() -> None:
    assert Palette.from_dict(DUBAI.to_dict()) == DUBAI


def test_a_palette_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DUBAI.names = ("Other",)


@pytest.mark.parametrize(
    ("names", "colors", "message"),
    [
        ((), (), "1 to 255 classes"),
        (tuple(map(str, range(256))), tuple((i, 0, 0) for i in range(256)), "1 to 255 classes"),
        (("A", "B"), ((1, 2, 3),), "a colour a class"),
        (("A", "A"), ((1, 2, 3), (3, 2, 1)), "share the name 'A'"),
        (("A", "B"), ((1, 2, 3), (1, 2, 3)), r"share the colour \(1, 2, 3\)"),
        (("A",), ((1, 2, 256),), "from 0 to 255"),
        (("A",), ((-1, 2, 3),), "from 0 to 255"),
        (("A",), ((1, 2),), "three channels"),
        ((VOID_NAME,), ((1, 2, 3),), "another name"),
    ],
)
def test_a_palette_that_makes_no_sense_is_refused(
    names: tuple[str, ...], colors: tuple[tuple[int, int, int], ...], message: str
) -> None:
    with pytest.raises(PaletteError, match=message):
        Palette(names, colors)


def test_255_classes_are_the_most() -> None:
    palette = Palette(tuple(map(str, range(255))), tuple((i, 0, 0) for i in range(255)))
    assert palette.encode(np.array([[(254, 0, 0), (255, 0, 0)]], np.uint8)).tolist() == [[254, VOID]]


def write_classes(folder: Path, content: bytes) -> Path:
    (folder / CLASS_FILE).write_bytes(content)
    return folder / CLASS_FILE


@pytest.mark.parametrize(
    "content",
    [
        b"name,r,g,b\nSky,10,20,30\nGround,30,20,10\n",
        b"\xef\xbb\xbfname,r,g,b\r\nSky,10,20,30\r\nGround,30,20,10",
        b"Name, R, G, B\nSky, 10, 20, 30\nGround , 30, 20, 10\n",
        b"id,name,b,g,r\n0,Sky,30,20,10\n1,Ground,10,20,30\n",
        b'name,r,g,b\n"Sky",10,20,30,a remark\n\nGround,30,20,10\n',
    ],
    ids=["plain", "BOM and CRLF", "blanks and capitals", "other order and columns", "quotes and remarks"],
)
def test_class_dict_is_read_as_it_occurs(tmp_path: Path, content: bytes) -> None:
    assert Palette.from_csv(write_classes(tmp_path, content)) == TWO


def test_class_names_may_hold_any_letters(tmp_path: Path) -> None:
    path = write_classes(tmp_path, "name,r,g,b\nStraße,1,2,3\n道路,3,2,1\n".encode())
    assert Palette.from_csv(path).names == ("Straße", "道路")


@pytest.mark.parametrize(
    "content",
    [
        b"name,r,g\nSky,10,20\n",
        b"Sky,10,20,30\nGround,30,20,10\n",
        b"name,r,g,b\nSky,10,20\n",
        b"name,r,g,b\nSky,10,20,blue\n",
        b"name,r,g,b\nSky,10,20,30.5\n",
        "name,r,g,b\nStraße,1,2,3\n".encode("latin-1"),
        "name,r,g,b\nSky,1,2,3\n".encode("utf-16"),
    ],
    ids=["no column b", "no header", "a short row", "a word", "a fraction", "latin-1", "utf-16"],
)
def test_a_class_dict_that_cannot_be_read_is_named_in_the_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PaletteError, match=r"^class_dict\.csv could not be read"):
        Palette.from_csv(write_classes(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1 to 255 classes"),
        (b"name,r,g,b\n", "1 to 255 classes"),
        (b"name,r,g,b\nSky,10,20,300\n", "from 0 to 255"),
        (b"name,r,g,b\nSky,-1,20,30\n", "from 0 to 255"),
        (b"name,r,g,b\nSky,1,2,3\nSky,4,5,6\n", "share the name 'Sky'"),
        (b"name,r,g,b\nSky,1,2,3\nGround,1,2,3\n", "share the colour"),
    ],
    ids=["empty", "no classes", "too high", "negative", "a name twice", "a colour twice"],
)
def test_a_class_dict_with_impossible_classes_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(PaletteError, match=message):
        Palette.from_csv(write_classes(tmp_path, content))


def test_a_missing_class_dict_is_a_palette_error(tmp_path: Path) -> None:
    with pytest.raises(PaletteError, match="could not be read"):
        Palette.from_csv(tmp_path / CLASS_FILE)


def test_a_data_set_with_a_class_dict_has_its_palette(tmp_path: Path) -> None:
    write_classes(tmp_path, b"name,r,g,b\nSky,10,20,30\nGround,30,20,10\n")
    assert Palette.of(tmp_path) == TWO


def test_a_data_set_without_one_has_the_dubai_palette(tmp_path: Path) -> None:
    assert Palette.of(tmp_path) is DUBAI


def test_colour_blind_colours_are_as_many_and_all_different() -> None:
    safe = DUBAI.colour_blind_safe()
    assert safe.names == DUBAI.names
    assert len(set(safe.colors)) == 6
    assert len(set(safe.colors[5])) == 1  # Unlabeled stays grey


def test_colour_blind_colours_differ_in_lightness_or_blue() -> None:
    """What red-blind and green-blind eyes are left with, roughly: how light, and how blue or yellow."""
    colors = np.array(DUBAI.colour_blind_safe().colors, float)
    light, blue = colors @ (0.3, 0.6, 0.1), colors[:, 2] - colors[:, :2].mean(1)
    for one in range(6):
        for other in range(one):
            assert abs(light[one] - light[other]) + abs(blue[one] - blue[other]) > 40


def test_too_many_classes_keep_their_own_colours() -> None:
    many = Palette(tuple(map(str, range(11))), tuple((i, i, i) for i in range(11)))
    assert many.colour_blind_safe() is many


def test_a_palette_that_has_been_used_is_sent_to_other_processes_small() -> None:
    mask = np.array([[DUBAI.colors[2], (1, 2, 3)]], np.uint8)
    DUBAI.encode(mask)
    sent = pickle.dumps(DUBAI)
    assert len(sent) < 1000
    assert pickle.loads(sent) == DUBAI  # noqa: S301 (written above)
    assert pickle.loads(sent).encode(mask).tolist() == [[2, VOID]]  # noqa: S301
