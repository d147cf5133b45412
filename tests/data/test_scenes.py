"""Labelled scenes on disk: which are found, what they are called, and in which order."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.palette import DUBAI, VOID
from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset, check_same_size, find_dataset, mosaic, natural_key, read_scene, slug
from segmentation.errors import DatasetNotFoundError, ImageFileError, NotAllowedError, PaletteError

Writer = Callable[[Path], Path]


def put(root: Path, *names: str) -> Path:
    """Make a small picture for every path below `root`; a path ending in ``/`` makes an empty folder."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), DUBAI.colors[1], np.uint8)).save(path)
    return root


def names_of(dataset: Dataset) -> list[str]:
    return [scene.name for scene in dataset.scenes]


def below(root: Path, paths: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_an_image_is_paired_with_the_mask_of_its_stem(tmp_path: Path) -> None:
    put(tmp_path, "Tile 1/images/a.jpg", "Tile 1/images/b.tif", "Tile 1/masks/b.png", "Tile 1/masks/a.png")
    pairs = [(scene.image.name, scene.mask.name) for scene in find_dataset(tmp_path).scenes]
    assert pairs == [("a.jpg", "a.png"), ("b.tif", "b.png")]


def test_a_scene_is_named_by_its_tile_and_stem(tmp_path: Path) -> None:
    put(tmp_path, "Tile 7/images/image_part_003.jpg", "Tile 7/masks/image_part_003.png")
    scene = find_dataset(tmp_path).scenes[0]
    assert (scene.name, scene.tile) == ("tile-7/image_part_003", "Tile 7")


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    put(tmp_path, "T/images/a.JPG", "T/masks/a.PNG")
    assert names_of(find_dataset(tmp_path)) == ["t/a"]


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    put(tmp_path, "T/images/a.jpg", "T/images/b.jpg", "T/masks/a.png", "T/masks/c.png")
    dataset = find_dataset(tmp_path)
    assert names_of(dataset) == ["t/a"]
    assert below(tmp_path, dataset.unpaired) == ["T/images/b.jpg", "T/masks/c.png"]


def test_of_two_images_of_one_stem_one_is_paired_and_the_other_named(tmp_path: Path) -> None:
    put(tmp_path, "T/images/a.jpg", "T/images/a.png", "T/masks/a.png")
    dataset = find_dataset(tmp_path)
    assert below(tmp_path, (dataset.scenes[0].image,)) == ["T/images/a.jpg"]
    assert below(tmp_path, dataset.unpaired) == ["T/images/a.png"]


def test_of_two_masks_of_one_stem_one_is_paired_and_the_other_named(tmp_path: Path) -> None:
    put(tmp_path, "T/images/a.jpg", "T/masks/a.bmp", "T/masks/a.png")
    dataset = find_dataset(tmp_path)
    assert below(tmp_path, (dataset.scenes[0].mask,)) == ["T/masks/a.bmp"]
    assert below(tmp_path, dataset.unpaired) == ["T/masks/a.png"]


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "T/images/a.jpg", "T/images/.b.jpg", "T/images/c.png/", "T/masks/a.png", "T/masks/.b.png")
    (tmp_path / "T/images/notes.txt").write_text("x")
    (tmp_path / "classes.json").write_text("{}")
    dataset = find_dataset(tmp_path)
    assert (names_of(dataset), dataset.unpaired) == (["t/a"], ())


def test_a_folder_around_all_tiles_changes_no_name(write_dataset: Callable[[Path], Path], tmp_path: Path) -> None:
    inner = write_dataset(tmp_path / "data" / "As it was packed")
    (inner / "class_dict.csv").write_text("name,r,g,b\nHouse,60,16,152\n")
    outside, inside = find_dataset(tmp_path / "data"), find_dataset(inner)
    assert names_of(outside) == names_of(inside)
    assert outside.tiles == ("Tile 1", "Tile 2")
    assert outside.palette == inside.palette
    assert outside.palette.names == ("House",)
    assert outside.fingerprint() == inside.fingerprint()


def test_tiles_are_found_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path, "a/b/c/images/1.png", "a/b/c/masks/1.png", "a/images/2.png", "a/masks/2.png")
    dataset = find_dataset(tmp_path)
    assert names_of(dataset) == ["a/2", "a-b-c/1"]
    assert dataset.tiles == ("a", str(Path("a/b/c")))


def test_images_at_the_root_are_a_tile_called_like_the_folder(tmp_path: Path) -> None:
    root = put(tmp_path / "My Scenes", "images/1.png", "masks/1.png")
    dataset = find_dataset(root)
    assert (names_of(dataset), dataset.tiles) == (["my-scenes/1"], ("My Scenes",))


def test_a_relative_root_is_called_like_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(put(tmp_path / "My Scenes", "images/1.png", "masks/1.png"))
    assert find_dataset(Path()).tiles == ("My Scenes",)


def test_folders_inside_images_and_masks_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "T/images/1.png", "T/masks/1.png", "T/images/old/images/2.png", "T/images/old/masks/2.png")
    assert names_of(find_dataset(tmp_path)) == ["t/1"]


def test_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "T/images/1.png", "T/masks/1.png", ".trash/images/2.png", ".trash/masks/2.png")
    assert names_of(find_dataset(tmp_path)) == ["t/1"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "T/images/1.png", "T/masks/1.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert names_of(find_dataset(tmp_path)) == ["t/1"]


def test_tiles_and_scenes_are_in_natural_order(tmp_path: Path) -> None:
    for tile in ("Tile 10", "Tile 2"):
        put(tmp_path, *(f"{tile}/{kind}/part{part}.png" for kind in ("images", "masks") for part in (11, 9, 100)))
    assert names_of(find_dataset(tmp_path)) == [
        *("tile-2/part9", "tile-2/part11", "tile-2/part100"),
        *("tile-10/part9", "tile-10/part11", "tile-10/part100"),
    ]


@pytest.mark.parametrize("stems", [("²", "2"), ("٣", "3"), ("a", "1"), ("", "1")])
def test_any_two_names_can_be_put_in_order(stems: tuple[str, str]) -> None:
    one, other = stems
    assert sorted([one, other], key=natural_key) == sorted([other, one], key=natural_key)


def test_scenes_whose_names_become_equal_stay_apart(tmp_path: Path) -> None:
    stems = ("a b", "a-b", "a+b")
    put(tmp_path, *(f"T/{kind}/{stem}.png" for kind in ("images", "masks") for stem in stems))
    dataset = find_dataset(tmp_path)
    assert sorted(names_of(dataset)) == ["t/a-b", "t/a-b~2", "t/a-b~3"]
    assert {scene.image.stem for scene in dataset.scenes} == set(stems)


def test_tiles_whose_names_become_equal_stay_apart(tmp_path: Path) -> None:
    put(tmp_path, *(f"{tile}/{kind}/1.png" for kind in ("images", "masks") for tile in ("Tile 1", "tile-1")))
    dataset = find_dataset(tmp_path)
    assert sorted(names_of(dataset)) == ["tile-1/1", "tile-1~2/1"]
    assert set(dataset.tiles) == {"Tile 1", "tile-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tile 7", "tile-7"),
        ("image_part_003", "image_part_003"),
        ("a/b\\c", "a-b-c"),
        ("..", "scenes"),
        ("北京", "scenes"),
        ("--x--", "x"),
        ("<img src=x>", "img-src-x"),
    ],
)
def test_a_slug_is_safe_in_a_file_name_and_a_url(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=f"There is no folder {tmp_path / 'gone'}:"):
        find_dataset(tmp_path / "gone")


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("images/1.png",),
        ("images/1.png", "masks/2.png"),
        ("a/images/1.png", "b/masks/1.png"),
        ("images/", "masks/"),
    ],
    ids=["empty", "no masks", "no pair", "not side by side", "empty folders"],
)
def test_a_folder_without_a_labelled_scene_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DatasetNotFoundError, match="No labelled scene in"):
        find_dataset(put(tmp_path, *names))


def test_a_class_dict_at_the_root_gives_the_classes(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png", "masks/1.png")
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nAll,132,41,246\n")
    dataset = find_dataset(tmp_path)
    _, mask = read_scene(dataset.scenes[0], dataset.palette)
    assert (dataset.palette.names, np.unique(mask).tolist()) == (("All",), [0])


def test_an_unusable_class_dict_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png", "masks/1.png")
    (tmp_path / "class_dict.csv").write_text("nonsense\n")
    with pytest.raises(PaletteError):
        find_dataset(tmp_path)


@pytest.mark.parametrize(
    "path", ["Tile 1/images/image_part_001.jpg", "Tile 2/masks/image_part_001.png", "Tile 1/masks", "class_dict.csv"]
)
def test_a_link_out_of_the_allowed_folders_is_refused(write_dataset: Writer, tmp_path: Path, path: str) -> None:
    root, outside = write_dataset(tmp_path / "in" / "city"), tmp_path / "outside" / "target"
    find_dataset(root, [tmp_path / "in"])
    outside.parent.mkdir()
    if (root / path).exists():
        (root / path).rename(outside)
    else:
        outside.write_text("name,r,g,b\nSecret,1,2,3\n")
    (root / path).symlink_to(outside)
    assert find_dataset(root).scenes  # on the command line
    with pytest.raises(NotAllowedError) as refused:
        find_dataset(root, [tmp_path / "in"])
    assert "outside" not in str(refused.value)
    assert find_dataset(root, [tmp_path / "in", tmp_path / "outside"]).scenes


def test_a_link_to_a_link_out_is_refused(write_dataset: Writer, tmp_path: Path) -> None:
    root, name = write_dataset(tmp_path / "in" / "city"), "Tile 2/masks/image_part_001.png"
    target = (root / name).rename(tmp_path / "mask.png")
    (root / "between.png").symlink_to(target)
    (root / name).symlink_to("../../between.png")
    assert find_dataset(root, [tmp_path]).scenes
    with pytest.raises(NotAllowedError, match=r"image_part_001\.png"):
        find_dataset(root, [tmp_path / "in"])


def test_a_folder_outside_is_refused_whether_it_is_there_or_not(tmp_path: Path) -> None:
    for name in ("there", "not-there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(NotAllowedError, match="SEGMENTATION_ALLOWED"):
            find_dataset(tmp_path / name, [tmp_path / "allowed"])


def test_a_scene_is_found_by_its_name(small_dataset: Dataset) -> None:
    assert small_dataset.scene("tile-2/image_part_001").image.as_posix().endswith("Tile 2/images/image_part_001.png")


def test_asking_for_a_scene_that_is_not_there_is_refused(small_dataset: Dataset) -> None:
    with pytest.raises(DatasetNotFoundError, match="no scene tile-3/image_part_001 in small"):
        small_dataset.scene("tile-3/image_part_001")


def test_a_scene_is_read_as_image_and_class_indices(small_dataset: Dataset) -> None:
    image, mask = read_scene(small_dataset.scenes[0], small_dataset.palette)
    assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((65, 97, 3), np.uint8, (65, 97), np.uint8)
    assert set(np.unique(mask)) <= {0, 1, 2, 3, 4, 5, VOID}
    assert np.all(mask[3:13, 5:40] == VOID)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    put(tmp_path, "images/1.jpg", "masks/1.png")
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "masks/1.png")
    dataset = find_dataset(tmp_path)
    expected = r"^The mask 1\.png has 6 × 5 pixels, the image 1\.jpg 6 × 4: export the mask in the image's size\.$"
    with pytest.raises(ImageFileError, match=expected):
        read_scene(dataset.scenes[0], dataset.palette)


def test_a_transposed_mask_is_refused() -> None:
    with pytest.raises(ImageFileError):
        check_same_size((4, 6), (6, 4), "i", "m")


def test_a_copy_elsewhere_has_the_same_fingerprint(small_dataset: Dataset, tmp_path: Path) -> None:
    copy = find_dataset(shutil.copytree(small_dataset.root, tmp_path / "copy"))
    assert copy.fingerprint() == small_dataset.fingerprint()


def test_another_pixel_gives_another_fingerprint(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    before = dataset.fingerprint()
    with Image.open(dataset.scenes[1].mask) as mask:
        pixels = np.array(mask)
    pixels[0, 0] = (0, 0, 0)
    Image.fromarray(pixels).save(dataset.scenes[1].mask)
    assert dataset.fingerprint() != before


def test_the_stamp_changes_when_a_file_is_written(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    before = dataset.stamp()
    os.utime(dataset.scenes[2].image, ns=(1, 1))
    assert dataset.stamp() != before


def test_the_stamp_changes_when_a_file_goes_away(write_dataset: Writer, tmp_path: Path) -> None:
    dataset = find_dataset(write_dataset(tmp_path))
    before = dataset.stamp()
    dataset.scenes[2].mask.unlink()
    assert dataset.stamp() != before


def test_the_stamp_stays_while_the_files_do(small_dataset: Dataset) -> None:
    assert find_dataset(small_dataset.root).stamp() == small_dataset.stamp()


def test_the_real_set_has_eight_tiles_of_nine_scenes(real_dataset: Dataset) -> None:
    expected = [f"tile-{tile}/image_part_{part:03d}" for tile in range(1, 9) for part in range(1, 10)]
    assert names_of(real_dataset) == expected
    assert real_dataset.unpaired == ()


def test_the_real_masks_have_the_articles_palette_not_that_of_classes_json(real_dataset: Dataset) -> None:
    assert real_dataset.palette is DUBAI


def test_the_real_masks_hold_the_six_colours_and_black_only(real_counts: dict[str, np.ndarray]) -> None:
    assert sum(counts[7] for counts in real_counts.values()) == 0


def test_nine_real_masks_hold_void_most_of_it_in_tile_8_part_3(real_counts: dict[str, np.ndarray]) -> None:
    void = {name: int(counts[6]) for name, counts in real_counts.items() if counts[6]}
    assert (len(void), void["tile-8/image_part_003"]) == (9, 545_723)


def test_a_real_mask_is_encoded_as_its_colours_say(real_dataset: Dataset, real_counts: dict[str, np.ndarray]) -> None:
    for name in ("tile-2/image_part_005", "tile-8/image_part_003"):  # a palette file, and the one with most void
        _, mask = read_scene(real_dataset.scene(name), real_dataset.palette)
        counts = np.bincount(mask.ravel(), minlength=256)
        assert [*counts[:6], counts[VOID]] == real_counts[name][:7].tolist()
        assert counts.sum() == mask.size == counts[:6].sum() + counts[VOID]


def test_the_shares_of_the_classes_are_as_measured(real_counts: dict[str, np.ndarray]) -> None:
    total = sum(real_counts.values())
    shares = dict(zip([*DUBAI.names, "void"], 100 * total / total.sum(), strict=False))
    rounded = {name: round(float(share)) for name, share in shares.items() if name not in ("Unlabeled", "void")}
    assert rounded == {"Building": 13, "Land": 52, "Road": 9, "Vegetation": 10, "Water": 14}
    assert (round(shares["Unlabeled"], 1), round(shares["void"], 2)) == (0.5, 0.56)


def test_nine_numbered_scenes_are_a_square_row_by_row(tmp_path: Path) -> None:
    parts = [f"T/{kind}/part_{number:03d}.png" for kind in ("images", "masks") for number in range(1, 10)]
    places = mosaic(find_dataset(put(tmp_path, *parts)), "T")
    assert [[scene.image.stem[-1] for scene in row] for row in places] == [list("123"), list("456"), list("789")]


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3), (0, 1, 2, 3), (1, 2, 3, 5)])
def test_scenes_numbered_otherwise_are_no_square(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    parts = [f"T/{kind}/part_{number}.png" for kind in ("images", "masks") for number in numbers]
    assert mosaic(find_dataset(put(tmp_path, *parts)), "T") == []


def test_every_dubai_tile_is_a_square(real_dataset: Dataset) -> None:
    for tile in real_dataset.tiles:
        places = mosaic(real_dataset, tile)
        assert [scene.image.stem for row in places for scene in row] == [f"image_part_00{n}" for n in range(1, 10)]


def test_deep_scenes_share_one_stretch_that_training_and_the_pages_see(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = {name: rng.integers(300, top, (40, 50)).astype(np.uint16) for name, top in (("a", 1000), ("b", 4000))}
    for name, scene in values.items():
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.fromarray(scene).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(np.full((40, 50, 3), DUBAI.colors[1], np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    dataset = find_dataset(tmp_path)
    low, high = np.percentile(np.concatenate(list(values.values())), (2, 98))
    assert dataset.stretch.low == pytest.approx([low])
    assert dataset.stretch.high == pytest.approx([high])
    patches = load_patches(dataset, 32)
    for index, scene in enumerate(values.values()):
        expected = np.clip((scene[:32, :32] - low) / (high - low) * 255, 0, 255)
        assert np.abs(patches.images[index, ..., 0] - expected).max() <= 0.5 + 1e-9
        seen, _ = read_scene(dataset.scenes[index], dataset.palette, dataset.stretch)
        assert np.array_equal(seen[:32, :32], patches.images[index])


def test_scenes_of_eight_bits_have_no_stretch(small_dataset: Dataset) -> None:
    assert small_dataset.stretch is None
