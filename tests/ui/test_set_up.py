"""The home page's view of how a data set is read: what it starts from, what it saves, what it refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.locate import PROJECT
from segmentation.data.palette import VOID
from segmentation.data.scenes import find_dataset, read_scene

VALUES = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((40, 40), np.uint8))
"""(80, 120): six values in squares."""

Open = Callable[[Path], AppTest]


def write(root: Path, mask: np.ndarray = VALUES) -> Path:
    """Write two scenes with the same mask."""
    photo = np.random.default_rng(1).integers(0, 255, (*mask.shape[:2], 3), np.uint8)
    for kind, pixels in (("images", photo), ("masks", mask)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            Image.fromarray(pixels).save(root / kind / f"{name}.png")
    return root


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Open:
    """A function that opens the view of a folder."""
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGMENTATION_RUNS", str(tmp_path / "runs"))

    def open_(folder: Path) -> AppTest:
        monkeypatch.setenv("SEGMENTATION_DATA", str(folder))
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120)
        at.query_params["view"] = "set-up"
        return at.run()

    return open_


def edit(at: AppTest, rows: dict[int, dict[str, object]]) -> None:
    """Edit the table's rows as the browser does."""
    at.session_state[at.data_editor[0].key] = {"edited_rows": rows, "added_rows": [], "deleted_rows": []}
    at.run()


def save(at: AppTest) -> None:
    next(button for button in at.button if button.label == "Save and use").click().run()
    assert not at.exception
    assert not at.error


def test_the_table_holds_what_masks_hold_and_the_save_what_was_typed(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    at = set_up(root)
    assert "Found: 2 scenes" in at.code[0].value
    table = at.data_editor[0].value
    assert table["In masks"].tolist() == [str(value) for value in range(6)]
    assert table["Share, %"].round(1).tolist() == [16.7] * 6
    edit(
        at,
        {
            0: {"Class": "Road", "Colour": "#010203"},
            1: {"Class": "House"},
            2: {"Class": "Tree"},
            3: {"Part of": "House"},
            4: {"Ignore": True},
            5: {"Class": "Tree"},
        },
    )
    assert "Road, House, Tree" in at.code[0].value
    assert "fill='%23010203'" in at.data_editor[0].value["Drawn"][0]
    save(at)
    assert "Data set" in [heading.value for heading in at.subheader]
    assert any("read as dataset.toml says" in caption.value for caption in at.caption)
    dataset = find_dataset(root)
    assert dataset.palette.names == ("Road", "House", "Tree")
    assert dataset.palette.colors[0] == (1, 2, 3)
    expected = np.array([0, 1, 2, 1, VOID, 2], np.uint8)[VALUES]
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], expected)


def test_what_contradicts_itself_is_said_and_cannot_be_saved(set_up: Open, tmp_path: Path) -> None:
    at = set_up(write(tmp_path / "city"))
    edit(at, {0: {"Colour": "#010203"}, 1: {"Colour": "#010203"}})
    assert "share the colour" in at.error[0].value
    assert next(button for button in at.button if button.label == "Save and use").disabled


def test_what_a_declaration_says_is_the_start_and_it_is_kept(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    text = "[[classes]]\nname = 'Low'\nvalue = [0, 1]\nshow = '#010203'\n[[classes]]\nname = 'Pond'\nvalue = 2\n"
    (root / "dataset.toml").write_text(text + "merge = 'Low'\n[[classes]]\nname = 'X'\nvalue = 3\nignore = true\n")
    before = (root / "dataset.toml").read_text()
    at = set_up(root)
    table = at.data_editor[0].value
    assert table["Class"].tolist() == ["Low", "Low", "Pond", "X", "Class 4", "Class 5"]
    assert table["Part of"].tolist()[2] == "Low"
    assert table["Ignore"].tolist() == [False, False, False, True, True, True]
    assert any("kept as dataset.toml.old" in caption.value for caption in at.caption)
    edit(at, {4: {"Ignore": False, "Class": "High"}})
    save(at)
    assert find_dataset(root).palette.names == ("Low", "High")
    assert (root / "dataset.toml.old").read_text() == before


def test_a_declaration_that_cannot_be_read_is_said_and_replaced(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    (root / "dataset.toml").write_text("images = ")
    at = set_up(root)
    assert "dataset.toml cannot be read" in at.error[0].value
    next(button for button in at.button if button.label == "Save and use").click().run()
    assert len(find_dataset(root).palette) == 6
    assert (root / "dataset.toml.old").read_text() == "images = "


def test_hostile_names_are_shown_as_text(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "<img src=x> `$\\alpha$` **city**")
    name = '<b onclick="x">a</b> **b** "'
    (root / "dataset.toml").write_text(f"[[classes]]\nname = '{name}'\nvalue = [0, 1, 2, 3, 4, 5]\n")
    at = set_up(root)
    assert not at.exception
    assert at.data_editor[0].value["Class"].tolist() == [name] * 6
    assert "\\<img" in at.subheader[0].value
    assert "\\*\\*city" in at.subheader[0].value
    save(at)
    assert find_dataset(root).palette.names == (name,)


def test_bands_and_limits_are_chosen(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    deep = np.random.default_rng(1).integers(0, 5000, (5, *VALUES.shape), np.uint16)
    for name in ("a", "b"):
        (root / f"images/{name}.png").unlink()
        with rasterio.open(
            root / f"images/{name}.tif", "w", driver="GTiff", dtype="uint16", height=80, width=120, count=5
        ) as file:
            file.write(deep)
    at = set_up(root)
    next(toggle for toggle in at.toggle if toggle.label == "Choose from 5 bands").set_value(True).run()
    next(box for box in at.selectbox if box.label == "Red is band").set_value(5).run()
    next(toggle for toggle in at.toggle if toggle.label == "Set the limits of the stretch").set_value(True).run()
    for label, value in (("Black of red", 1000.0), ("White of red", 2000.0)):
        next(number for number in at.number_input if number.label == label).set_value(value).run()
    save(at)
    dataset = find_dataset(root)
    assert dataset.bands == (5, 2, 3)
    assert dataset.limits[0] == (1000.0, 2000.0)
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.abs(image[..., 0] - np.clip((deep[4] - 1000.0) * 0.255, 0, 255)).max() <= 1


def label_of(at: AppTest, label: str) -> object:
    """The select box, multiselect or toggle with a label."""
    return next(widget for widget in (*at.selectbox, *at.multiselect, *at.toggle) if widget.label == label)


def eight_bands(root: Path) -> np.ndarray:
    """Give both scenes images of eight bands of 8 bits, and return what they hold."""
    bands = np.random.default_rng(2).integers(0, 255, (8, *VALUES.shape), np.uint8)
    for name in ("a", "b"):
        (root / f"images/{name}.png").unlink()
        place = root / f"images/{name}.tif"
        with rasterio.open(place, "w", driver="GTiff", dtype="uint8", height=80, width=120, count=8) as file:
            file.write(bands)
    return bands


@pytest.mark.parametrize(
    "said",
    [
        "bands = [4, 3, 2, 8]\n",
        "bands = [4, 3, 2, 8]\nshow_bands = [8, 4, 3]\n",
        "bands = [1, 2, 3, 4, 5, 6]\nshow_bands = [5]\n",
        "bands = [7, 2]\n",
        "bands = [6]\n",
        "bands = [4, 3, 2, 8]\nstretch = [[0, 100], [1, 101], [2, 102], [3, 103]]\n",
    ],
)
def test_what_is_said_of_bands_is_kept_where_nobody_changes_it(set_up: Open, tmp_path: Path, said: str) -> None:
    root = write(tmp_path / "city")
    eight_bands(root)
    (root / "dataset.toml").write_text(said)
    before = find_dataset(root)
    at = set_up(root)
    assert not at.exception
    save(at)
    after = find_dataset(root)
    assert (after.bands, after.shown, after.stretch) == (before.bands, before.shown, before.stretch)


def test_further_bands_are_trained_on_and_others_shown(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    bands = eight_bands(root)
    at = set_up(root)
    label_of(at, "Choose from 8 bands").set_value(True).run()
    label_of(at, "Red is band").set_value(8).run()
    label_of(at, "Further bands").set_value([5, 6]).run()
    assert not at.exception
    save(at)
    dataset = find_dataset(root)
    assert (dataset.bands, dataset.shown) == ((8, 2, 3, 5, 6), (8, 2, 3))
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.array_equal(image, np.moveaxis(bands[[7, 1, 2, 4, 5]], 0, -1))


def test_patterns_say_what_names_do_not(set_up: Open, tmp_path: Path) -> None:
    root = write(tmp_path / "city")
    (root / "images").rename(root / "one")
    (root / "masks").rename(root / "two")
    at = set_up(root)
    assert "nothing that is named as masks are" in at.info[0].value
    for label, pattern in (("Images", "one/{stem}.png"), ("Masks", "two/{stem}.png")):
        next(field for field in at.text_input if field.label == label).set_value(pattern).run()
    save(at)
    assert {scene.mask.parent.name for scene in find_dataset(root).scenes} == {"two"}


def test_a_folder_that_may_not_be_read_is_refused(
    set_up: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "outside")
    monkeypatch.setenv("SEGMENTATION_ALLOWED", "")
    at = set_up(write(tmp_path / "city"))
    del at.query_params["view"]
    at.run()
    at.text_input[0].input(str(tmp_path / "outside"))
    next(button for button in at.button if button.label == "Set it up first").click().run()
    assert "does not lie in a folder that pages may read" in at.error[0].value
    assert "view" not in at.query_params
