"""The embeddings of a run's patches, computed once and kept on disk, and what is read from them."""

import hashlib
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from cachetools import LRUCache

from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.scenes import Dataset
from segmentation.runs.run import PATCHES, Run
from segmentation.ui.loaders.caching import MEGABYTE, progress_bar, remembered, taking_turns

if TYPE_CHECKING:
    from segmentation.evaluation.similar import Encoder, PatchMap

KEPT_BYTES = 1024 * MEGABYTE
"""Of embeddings, 1.3 kilobytes a patch by the shipped encoder: those of 750,000 patches."""

_embedded: LRUCache[Hashable, np.ndarray] = LRUCache(512 * MEGABYTE, getsizeof=lambda found: found.nbytes)

_maps: LRUCache[Hashable, "PatchMap"] = LRUCache(64 * MEGABYTE, getsizeof=lambda found: found.places.nbytes)


@cache
def _kept() -> KeptResults:
    return KeptResults(cache_folder() / "embeddings.sqlite", KEPT_BYTES)


def _changed(run: Run) -> Hashable:
    paths = (run.folder / PATCHES, *([run.trained_model] if run.trained_model else []))
    return run.folder, *(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


def load_encoder(run: Run) -> "Encoder":
    """Return what embeds a run's patches, as `open_encoder`, loaded once for all sessions.

    Raises:
        BackendError: If the environment asks for a device that is not known.
    """
    with st.spinner("Loading the encoder …"):
        return _encoder(run, _changed(run))


@remembered(4, key=lambda run, changed: changed)
def _encoder(run: Run, changed: Hashable) -> "Encoder":
    from segmentation.evaluation.similar import open_encoder  # opens engines: only where needed

    return open_encoder(run)


@remembered(16, key=lambda run, dataset, encoder: (_changed(run), dataset.stamp(), encoder.embedder.source))
def _keys(run: Run, dataset: Dataset, encoder: "Encoder") -> tuple[tuple[str, ...], str]:
    """Return what the embeddings of each scene are kept by, and what the map of all is."""
    from segmentation.evaluation.similar import NEAR, scene_keys

    patches = run.patches
    if patches is None:
        return (), ""
    of_scenes = tuple(scene_keys(run, dataset, patches, encoder))
    digest = hashlib.sha256(repr((of_scenes, NEAR)).encode())
    digest.update("\n".join(patches["patch"] + " " + patches["part"]).encode())
    return of_scenes, "map " + digest.hexdigest()


def scenes_to_embed(run: Run, dataset: Dataset) -> tuple[int, int]:
    """Return how many scenes' patches have no embeddings yet, and how many scenes there are."""
    of_scenes, _ = _keys(run, dataset, load_encoder(run))
    return len(of_scenes) - len(_kept().read(of_scenes)), len(of_scenes)


def load_map(run: Run, dataset: Dataset) -> "PatchMap | None":
    """Return the map of a run's patches; None if some have no embeddings yet. Its first making shows a bar.

    Args:
        run: With patches.
        dataset: In the run's classes.
    """
    from segmentation.evaluation.similar import PatchMap, map_patches

    patches, (_, key) = run.patches, _keys(run, dataset, load_encoder(run))
    if key in _maps or patches is None:
        return _maps.get(key)
    found = PatchMap.from_bytes(_kept().read([key]).get(key, b""), len(patches))
    if found is None:
        embeddings = load_embeddings(run, dataset)
        if embeddings is None:
            return None
        with progress_bar("Comparing patches across parts …") as progress:
            found = map_patches(embeddings, patches["part"].to_numpy(str), progress)
        _kept().write({key: found.to_bytes()})
    if found.places.nbytes <= _maps.maxsize:
        _maps[key] = found
    return found


def load_embeddings(run: Run, dataset: Dataset) -> np.ndarray | None:
    """Return the embeddings of a run's patches, (patches, features) float16 and read-only; None if some are missing."""
    from segmentation.evaluation.similar import known_embeddings

    encoder = load_encoder(run)
    _, key = _keys(run, dataset, encoder)
    if key not in _embedded:
        found = None if run.patches is None else known_embeddings(run, dataset, run.patches, encoder, _kept())
        if found is not None:
            _keep(key, found)
        return found
    return _embedded[key]


def compute_embeddings(run: Run, dataset: Dataset) -> None:
    """Embed a run's patches, with a bar, by turns; each scene's are kept on disk as soon as they are there.

    Raises:
        RunError: If the network does not see such images.
        ImageFileError: If one cannot be read.
        BusyError: If too many predictions are under way.
    """
    from segmentation.evaluation.similar import embed_patches

    encoder, patches = load_encoder(run), run.patches
    if patches is None:
        return
    with taking_turns(f"Embedding the patches of {run.name}, patches …") as progress:
        found = embed_patches(run, dataset, patches, encoder, _kept(), progress)
    _keep(_keys(run, dataset, encoder)[1], found)


def _keep(key: Hashable, found: np.ndarray) -> None:
    found.flags.writeable = False
    if found.nbytes <= _embedded.maxsize:
        _embedded[key] = found
