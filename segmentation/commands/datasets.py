"""Commands that read, make, pack and fetch data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Annotated

import tyro

from segmentation.commands.common import progress_bar, remark
from segmentation.data.locate import DATA_FOLDER, DEMO_FOLDER, default_folder
from segmentation.data.palette import VOID_NAME
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import DONE, PARTLY, printable


def dataset_folder(data: Path | None) -> Path:
    """Return the folder asked for or this machine's default; the demo set is made if it is that."""
    folder = data or default_folder()
    if folder == DEMO_FOLDER:
        demo(folder)
    return folder


@contextmanager
def dataset_at(data: Path | None) -> Iterator[Dataset]:
    """Yield the data set in a folder, by default this machine's, or in a file that `pack` has written."""
    if data and data.is_file():
        from segmentation.data.packed import unpacked

        with unpacked(data) as folder:
            yield find_dataset(folder)
    else:
        yield find_dataset(dataset_folder(data))


def data(
    folder: Annotated[Path | None, tyro.conf.Positional] = None,
    patch_size: int = PATCH_SIZE,
    json: bool = False,
    write: bool = False,
) -> int:
    """Print what was found, the table of tiles (sizes and patches), the class shares and the health report.

    Args:
        folder: The data set; by default SEGMENTATION_DATA, data/ or the demo set.
        patch_size: Side of a patch, in pixels.
        json: Print scenes, pixels by class, void, splits and what was skipped as JSON, and nothing else.
        write: Save what was found as dataset.toml in the folder, to be corrected there.
    """
    from segmentation.data.description import described, summarized, write_declaration
    from segmentation.data.health import examine, usable_patches
    from segmentation.data.patches import tile_table

    dataset = find_dataset(dataset_folder(folder))
    if not json:
        print("\n".join(printable(line) for line in described(dataset)) + "\n")
    if write:
        remark(f"What was found is in {write_declaration(dataset)}: correct it there")
    with progress_bar("scenes") as progress:
        health = examine(dataset, patch_size, progress)
    done = PARTLY if (health.findings["severity"] == "error").any() else DONE
    if json:
        print(dumps(summarized(dataset, health)))
        return done
    tiles = usable_patches(tile_table(dataset, patch_size), health)
    print(tiles.to_string(index=False))
    readable = health.patches["scene"].nunique()
    of_all = f"{readable} of " if readable < len(dataset.scenes) else ""
    print(f"{tiles['patches'].sum()} patches of {patch_size} px in {of_all}{len(dataset.scenes)} scenes\n")
    pixels = health.scenes[[*dataset.palette.names, VOID_NAME]].sum()
    for name, count in pixels.items():
        print(f"{name:<16}{count:>14,} pixels {100 * count / max(1, pixels.sum()):6.2f} %")
    print(f"\nHealth: {len(health.findings)} findings")
    for finding in health.findings.itertuples():
        print(f"  {finding.severity:<8}{finding.kind:<14}{finding.scene or finding.file}: {finding.detail}")
    voids = health.findings[health.findings["kind"].isin(["void", "smeared"])]
    if len(voids):
        kind = dataset.scenes[0].encoding.kind
        whose = {"value": "whose value is no class's", "color": "whose colour is in no palette"}
        print(f"{len(voids)} masks hold {voids['pixels'].sum():,} pixels {whose.get(kind, 'in no outline')}")
    resized = (health.findings["kind"] == "resized").sum()
    if resized:
        print(f"{resized} masks were resized to their images' size")
    return done


def demo(folder: Annotated[Path, tyro.conf.Positional] = DEMO_FOLDER) -> int:
    """Make the demo set: a small procedural city with exact masks.

    Args:
        folder: Where to make it.
    """
    from segmentation.data.demo import make_demo

    with progress_bar("scenes") as progress:
        print(f"The demo set is in {make_demo(folder, progress)}")
    return DONE


def pack(data: Annotated[Path, tyro.conf.Positional], file: Annotated[Path, tyro.conf.Positional]) -> int:
    """Write a data set into one file, for carrying it to another machine: train and evaluate take it as --data.

    Images keep their bytes, masks their classes. A run trained on it belongs to the folder.

    Args:
        data: Folder of the data set.
        file: The new file.
    """
    from segmentation.data.packed import pack as write

    dataset = find_dataset(data)
    with progress_bar("scenes") as progress:
        write(dataset, file, progress)
    print(f"{len(dataset.scenes)} scenes are in {printable(str(file))}, {file.stat().st_size / 1e6:,.1f} MB")
    return DONE


def download(folder: Path = DATA_FOLDER) -> int:
    """Download the MBRSC aerial imagery of Dubai (CC0, 33 MB); no account is needed.

    Args:
        folder: Where to put it: a new or empty folder.
    """
    from segmentation.data.download import download as fetch

    dataset = fetch(folder)
    print(f"{len(dataset.scenes)} scenes are in {folder}")
    return DONE
