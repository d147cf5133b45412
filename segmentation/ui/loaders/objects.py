"""The objects of a run's scenes, found once, by turns with other sessions, and kept."""

import hashlib
import io
from functools import cache
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache
from PIL import Image

from segmentation.data.images import png_bytes
from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.palette import VOID
from segmentation.data.protocols import apply_void_policy
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.data.scenes import Dataset, file_marks
from segmentation.errors import ImageFileError
from segmentation.evaluation.objects import SceneObjects, find_objects, parts_of_pixels
from segmentation.inference.options import SEAMLESS
from segmentation.runs.recording import kept_path
from segmentation.runs.run import PATCHES, Run
from segmentation.ui.loaders.caching import MEGABYTE, progress_bar, remembered
from segmentation.ui.loaders.predictions import predict_by
from segmentation.ui.loaders.scenes import Place, load_bands, load_scene

KEPT_BYTES = 1024 * MEGABYTE
"""Of objects and predictions of scenes, a hundred kilobytes each or so."""

LARGEST = 64_000_000
"""Pixels; of a larger scene neither mask nor prediction is searched, which would take gigabytes."""

VERSION = 1
"""Raised when objects are found otherwise: what was kept before counts no more."""

FAULT = b"!"
"""What is kept of a scene that cannot be searched begins with this, and says why; nothing else begins so."""


class FoundObjects(NamedTuple):
    """What is known of the scenes of a part.

    Args:
        scenes: The objects of each, by name.
        left_out: Why others were left out, a sentence each.
    """

    scenes: dict[str, SceneObjects]
    left_out: list[str]


_found: LRUCache[tuple[str, ...], FoundObjects] = LRUCache(8)


@cache
def _kept() -> KeptResults:
    return KeptResults(cache_folder() / "objects.sqlite", KEPT_BYTES)


def _changed(run: Run) -> tuple[int, ...]:
    paths = (run.folder / PATCHES, *([run.model] if run.model else []), *([run.predictions] if run.predictions else []))
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


@remembered(16, key=lambda run, dataset, part: (run.folder, _changed(run), dataset.stamp(), part))
def _keys(run: Run, dataset: Dataset, part: str) -> dict[str, str]:
    """Return under which key the objects of each scene are kept that has patches in a part, by its name."""
    patches, known = run.patches, {scene.name: scene for scene in dataset.scenes}
    if patches is None:
        return {}
    inside = set(patches.loc[patches["part"] == part, "scene"]) & known.keys()
    of_all = (VERSION, str(run.folder), _changed(run), run.patch_size, run.protocol, run.stretch, dataset.palette)
    keys = {}
    for name, rows in patches[patches["scene"].isin(inside)].groupby("scene", sort=False):
        scene = known[name]
        prediction = kept_path(run.folder, name)
        changed = prediction.stat().st_mtime_ns if run.predictions and prediction.is_file() else 0
        places = rows[["row", "column", "part"]].to_dict("list")
        mark = repr((of_all, name, file_marks(scene), scene.encoding, changed, places))
        keys[name] = hashlib.sha256(mark.encode()).hexdigest()
    return keys


def load_objects(run: Run, dataset: Dataset, part: str) -> FoundObjects | None:
    """Return the objects of the scenes with patches in a part; None if not all were searched, or there are none."""
    keys = _keys(run, dataset, part)
    of_all = tuple(keys.values())
    if of_all not in _found:
        kept = _kept().read(of_all)
        if not keys or len(kept) < len(keys):
            return None
        scenes, left_out = {}, []
        for name, key in keys.items():
            objects = SceneObjects.from_bytes(kept[key])
            if objects is not None:
                scenes[name] = objects
            elif kept[key].startswith(FAULT):
                left_out.append(kept[key].removeprefix(FAULT).decode(errors="replace"))
            else:
                return None
        _found[of_all] = FoundObjects(scenes, left_out)
    return _found[of_all]


def scenes_to_search(run: Run, dataset: Dataset, part: str) -> tuple[int, int]:
    """Return how many scenes of a part have not been searched yet, and how many it has."""
    keys = _keys(run, dataset, part)
    return len(keys) - len(_kept().read(list(keys.values()))), len(keys)


def search_objects(run: Run, dataset: Dataset, part: str) -> None:
    """Find the objects of a part's scenes, with a bar; each scene's are kept at once, so that a stop loses one scene.

    Raises:
        RunError: If the model cannot be used.
        BackendError: If what computes it cannot be loaded.
        BusyError: If too many predictions are under way.
    """
    keys = _keys(run, dataset, part)
    kept, found = _kept().read(list(keys.values())), FoundObjects({}, [])
    with progress_bar(f"Finding objects for {run.name}, scenes …") as progress:
        for done, (name, key) in enumerate(keys.items()):
            progress(done, len(keys))
            try:
                objects = SceneObjects.from_bytes(kept.get(key, b""))
                if objects is None:
                    objects, predicted = _search(run, dataset, name)
                    _kept().write({key: objects.to_bytes(), _of_prediction(key): png_bytes(predicted)})
                found.scenes[name] = objects
            except ImageFileError as error:
                found.left_out.append(str(error))
                _kept().write({key: FAULT + str(error).encode()})
    _found[tuple(keys.values())] = found  # also where no file can be written


def load_both(run: Run, dataset: Dataset, scene: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's mask and prediction as objects were found in them, both (height, width) uint8.

    Raises:
        ImageFileError: If it cannot be read.
        RunError: If it has to be predicted again, and the model cannot be used.
        BusyError: If it has to be, and too many predictions are under way.
    """
    key = _of_prediction(_keys(run, dataset, part).get(scene, ""))
    kept = _kept().read([key]).get(key)
    if kept is None:
        return _masks(run, dataset, scene)
    with Image.open(io.BytesIO(kept)) as image:
        predicted = np.asarray(image)
    return _truth(run, dataset, scene, predicted), predicted


def _of_prediction(key: str) -> str:
    return f"{key}:prediction"


def _truth(run: Run, dataset: Dataset, scene: str, predicted: np.ndarray) -> np.ndarray:
    """Return a scene's mask; void where nothing is predicted, as scores leave that out."""
    _, mask = load_scene(dataset.scene(scene), dataset.palette, dataset.stretch_for(run.stretch))
    if mask.shape != predicted.shape:
        raise ImageFileError(f"{scene} has changed since its objects were found: load the page again.")
    return np.where(predicted == VOID, np.uint8(VOID), apply_void_policy(mask, run.protocol, dataset.palette))


def _masks(run: Run, dataset: Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    scene = dataset.scene(name)
    height, width = scene.mask_size()
    if height * width > LARGEST:
        raise ImageFileError(
            f"{name} has {width:,} × {height:,} pixels: objects are found in scenes of up to {LARGEST // 1_000_000} "
            "megapixels, so cut it into smaller ones."
        )
    bands = load_bands(scene, dataset.palette, dataset.stretch_for(run.stretch))
    place = Place(name, (bands.shape[0], bands.shape[1]))
    predicted = predict_by(run, lambda: bands, place, SEAMLESS, full=False).classes
    return _truth(run, dataset, name, predicted), predicted


def _search(run: Run, dataset: Dataset, name: str) -> tuple[SceneObjects, np.ndarray]:
    """Return a scene's objects and its prediction."""
    truth, predicted = _masks(run, dataset, name)
    image, areas = dataset.scene(name).image, None
    if image.suffix.lower() in RASTER_SUFFIXES:
        with Raster(image) as raster:
            areas = raster.pixel_areas()
    patches = run.patches
    parts = None if patches is None else parts_of_pixels(patches[patches["scene"] == name], truth.shape, run.patch_size)
    return find_objects(truth, predicted, len(dataset.palette), parts, areas), predicted
