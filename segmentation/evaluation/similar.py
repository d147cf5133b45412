"""Which patches look alike to a network: their embeddings, kept scene by scene, and what is read from them."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd

from segmentation.data.images import read_image
from segmentation.data.kept import KeptResults
from segmentation.data.patches import Progress, cut
from segmentation.data.protocols import PARTS
from segmentation.data.scenes import Dataset, Scene, file_marks
from segmentation.data.stretch import Stretch, as_colors
from segmentation.errors import ImageFileError, RunError
from segmentation.inference.embedding import Embedder
from segmentation.runs.run import BEST, SHIPPED, Run

VERSION = 1
"""Of what is kept: another one when the same files give other embeddings."""

STAND_IN = "dubai-best"
"""The shipped run whose encoder embeds the patches of runs without one of their own."""

NEAR = 0.998
"""From this cosine similarity on, two patches are near-duplicates: most copies in another brightness reach it."""

MOST_PAIRS = 200
"""Near-duplicates that are listed, the nearest ones."""

NEAREST = 24
"""Patches that are shown as the most similar ones."""

AT_ONCE = 4096
"""Embeddings that are compared at once, as numbers of 32 bits."""


class Encoder(NamedTuple):
    """What embeds the patches of a run.

    Args:
        embedder: The run's own, or the one of `STAND_IN`.
        why: Why it is not the run's own, as the rest of a sentence; empty if it is.
    """

    embedder: Embedder
    why: str


def open_encoder(run: Run) -> Encoder:
    """Return the encoder of a run's network, or of the shipped one where the run has none.

    Raises:
        BackendError: As `Embedder` does.
    """
    if run.trained_model:
        try:
            return Encoder(Embedder(run.trained_model), "")
        except RunError as error:
            why = str(error).removesuffix(".")
    else:
        why = "its folds have a model each" if run.folds else run.why_no_model
    return Encoder(Embedder(SHIPPED / STAND_IN / BEST), why)


class _Work(NamedTuple):
    """The patches of one scene that are embedded.

    Args:
        scene: Where they are.
        at: (n,) their places in the table of patches.
        places: (n, 2) their rows and columns in the scene.
        key: What their embeddings are kept by: it changes when the image or the network does.
    """

    scene: Scene
    at: np.ndarray
    places: np.ndarray
    key: str


def scene_keys(run: Run, dataset: Dataset, table: pd.DataFrame, encoder: Encoder) -> list[str]:
    """Return what the embeddings of each scene with patches are kept by; arguments as for `embed_patches`."""
    return [of.key for of in _work(run, dataset, table, encoder)]


def known_embeddings(
    run: Run, dataset: Dataset, table: pd.DataFrame, encoder: Encoder, kept: KeptResults
) -> np.ndarray | None:
    """Return what `embed_patches` would, if all of it was computed before; None otherwise."""
    work = list(_work(run, dataset, table, encoder))
    known = kept.read([of.key for of in work])
    embeddings = np.empty((len(table), encoder.embedder.features), np.float16)
    for of in work:
        before = _from_bytes(known.get(of.key), (len(of.at), encoder.embedder.features))
        if before is None:
            return None
        embeddings[of.at] = before
    return embeddings


def embed_patches(
    run: Run,
    dataset: Dataset,
    table: pd.DataFrame,
    encoder: Encoder,
    kept: KeptResults,
    progress: Progress | None = None,
) -> np.ndarray:
    """Embed patches, scene by scene; those of a scene are kept at once: whoever is cut off goes on there.

    Args:
        run: Whose patches they are.
        dataset: In the run's classes.
        table: Patches of it, with ``scene``, ``row`` and ``column``.
        encoder: As `open_encoder` gives it for this run.
        kept: What was computed before.
        progress: Called with (patches done, patches), after every batch.

    Returns:
        (patches, features) float16 in the table's order, each row of length 1 but for rounding.

    Raises:
        ImageFileError: If an image cannot be read, or has changed.
        RunError: If it has other bands than the network sees.
        DatasetNotFoundError: If a scene is not there any more.
    """
    work, features, done = list(_work(run, dataset, table, encoder)), encoder.embedder.features, 0
    known = kept.read([of.key for of in work])
    embeddings = np.empty((len(table), features), np.float16)
    for of in work:
        found = _from_bytes(known.get(of.key), (len(of.at), features))
        if found is None:
            batches = []
            for batch in encoder.embedder.batches(_pixels(run, dataset, of, encoder)):
                batches.append(batch.astype("<f2"))
                if progress:
                    progress(done + sum(map(len, batches)), len(table))
            found = np.concatenate(batches)
            kept.write({of.key: found.tobytes()})
        embeddings[of.at] = found
        done += len(of.at)
        if progress:
            progress(done, len(table))
    return embeddings


def _from_bytes(content: bytes | None, shape: tuple[int, int]) -> np.ndarray | None:
    """Return kept embeddings; None if there are none, or what is there is broken."""
    if content is not None:
        with suppress(ValueError):
            return np.frombuffer(content, "<f2").reshape(shape)
    return None


def _seen_with(run: Run, dataset: Dataset) -> Stretch | None:
    return dataset.stretch_for(run.stretch)


def _work(run: Run, dataset: Dataset, table: pd.DataFrame, encoder: Encoder) -> Iterator[_Work]:
    scenes = {scene.name: scene for scene in dataset.scenes}
    always = (VERSION, encoder.embedder.source, bool(encoder.why), run.patch_size, _seen_with(run, dataset))
    for name, at in table.reset_index(drop=True).groupby("scene", sort=False).indices.items():
        scene = scenes.get(name) or dataset.scene(name)  # which says that there is none
        places = table[["row", "column"]].to_numpy()[at]
        mark = repr((always, name, file_marks(scene)[0], places.tobytes()))
        yield _Work(scene, at, places, "embedding " + hashlib.sha256(mark.encode()).hexdigest())


def _pixels(run: Run, dataset: Dataset, of: _Work, encoder: Encoder) -> np.ndarray:
    """Return one scene's patches as the encoder sees them, (patches, size, size, bands) uint8."""
    stretch, size = _seen_with(run, dataset), run.patch_size
    image = read_image(of.scene.image, stretch=stretch)
    if encoder.why:  # the network of another run sees colours
        image = as_colors(image, stretch)
    rows, columns = (length // size for length in image.shape[:2])
    if (of.places >= (rows, columns)).any():
        raise ImageFileError(f"{of.scene.name} has changed since {run.name} was evaluated: evaluate it again.")
    return cut(image, size)[of.places @ (columns, 1)]


def _pieces(embeddings: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield embeddings as float32 of length 1, some at a time, each piece with its first row's number."""
    for start in range(0, len(embeddings), AT_ONCE):
        piece = embeddings[start : start + AT_ONCE].astype(np.float32)
        length = np.linalg.norm(piece, axis=1, keepdims=True)
        yield start, np.divide(piece, length, out=np.zeros_like(piece), where=length > 0)


class Pairs(NamedTuple):
    """Pairs of patches of different parts that look almost the same.

    Args:
        places: (pairs, 2) int32: rows of the table, the nearest pair first.
        similarities: (pairs,) float32: their cosines.
        total: How many there are, listed or not.
    """

    places: np.ndarray
    similarities: np.ndarray
    total: int


class PatchMap(NamedTuple):
    """Embeddings in a plane, and what is near across parts.

    Args:
        places: (patches, 2) float32: along the first two principal components.
        shares: (2,) float64: of the variance that each of them holds, 0–1.
        pairs: Near-duplicates.
    """

    places: np.ndarray
    shares: np.ndarray
    pairs: Pairs

    def to_bytes(self) -> bytes:
        """Return it as a file of NumPy's."""
        content = io.BytesIO()
        total = np.array(self.pairs.total)
        np.savez(
            content,
            places=self.places,
            shares=self.shares,
            pairs=self.pairs.places,
            similarities=self.pairs.similarities,
            total=total,
        )
        return content.getvalue()

    @staticmethod
    def from_bytes(content: bytes, patches: int) -> "PatchMap | None":
        """Return what `to_bytes` gave for so many patches; None if it is something else."""
        with suppress(Exception):  # whatever NumPy raises for a broken file
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                pairs = Pairs(file["pairs"], file["similarities"], int(file["total"]))
                found = PatchMap(file["places"], file["shares"], pairs)
            if found.places.shape == (patches, 2) and (not pairs.places.size or pairs.places.max() < patches):
                return found
        return None


def map_patches(embeddings: np.ndarray, parts: np.ndarray, progress: Progress | None = None) -> PatchMap:
    """Draw embeddings into a plane, and find what is near across parts.

    Args:
        embeddings: (patches, features) float16.
        parts: (patches,) the part of each, one of `PARTS`.
        progress: As for `near_duplicates`.
    """
    places, shares = principal_plane(embeddings)
    return PatchMap(places, shares, near_duplicates(embeddings, parts, progress))


def principal_plane(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings along their first two principal components, and the shares of variance that these hold.

    By the eigenvectors of the covariance matrix, which are the singular vectors of the centred embeddings: only a
    piece of them is held in full precision at a time. The largest weight of each component is positive.

    Args:
        embeddings: (patches, features) float16.

    Returns:
        (patches, 2) float32, and (2,) float64 in 0–1.
    """
    features = embeddings.shape[1]
    total, products = np.zeros(features), np.zeros((features, features))
    for _, piece in _pieces(embeddings):
        total += piece.sum(0, dtype=np.float64)
        products += piece.T @ piece
    mean = total / len(embeddings)
    variances, components = np.linalg.eigh(products / len(embeddings) - np.outer(mean, mean))
    plane = np.zeros((features, 2))
    plane[:, : min(2, features)] = components[:, ::-1][:, :2]
    largest = np.abs(plane).argmax(0)
    plane *= np.where(plane[largest, [0, 1]] < 0, -1, 1)
    places = [(piece - mean.astype(np.float32)) @ plane.astype(np.float32) for _, piece in _pieces(embeddings)]
    held = np.zeros(2)
    held[: min(2, features)] = np.maximum(variances[::-1][:2], 0)
    whole = np.maximum(variances, 0).sum()
    return np.concatenate(places), held / whole if whole > 0 else held


def nearest(embeddings: np.ndarray, place: int, count: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches most similar to one of them, and their distances, nearest first.

    Args:
        embeddings: (patches, features) float16.
        place: The row of the one, which is not among them.
        count: How many, at most.

    Returns:
        (count,) rows, and (count,) float32 cosine distances: 0 for the same direction, 1 for nothing in common.
    """
    ((_, sought),) = _pieces(embeddings[place : place + 1])
    distances = np.concatenate([1 - piece @ sought[0] for _, piece in _pieces(embeddings)])
    distances[place] = np.inf
    order = np.argsort(distances, kind="stable")[: min(count, len(embeddings) - 1)]
    return order, np.maximum(distances[order], 0)


def near_duplicates(
    embeddings: np.ndarray, parts: np.ndarray, progress: Progress | None = None, least: float = NEAR
) -> Pairs:
    """Return pairs of patches of different parts whose cosine similarity is high: what is held out is known.

    Args:
        embeddings: (patches, features) float16.
        parts: (patches,) the part of each, one of `PARTS`.
        progress: Called with (patches compared, patches) from time to time.
        least: The similarity from which on they count.
    """
    codes = np.array([PARTS.index(part) for part in parts])
    order = np.argsort(codes, kind="stable")
    by_part, codes = embeddings[order], codes[order]
    places, similarities, total = np.empty((0, 2), np.int64), np.empty(0, np.float32), 0
    for start, piece in _pieces(by_part):
        for other_start, other in _pieces(by_part):
            here, there = (codes[at : at + len(of)] for at, of in ((start, piece), (other_start, other)))
            if here[0] >= there[-1]:  # each pair once, and only across parts
                continue
            alike = piece @ other.T
            alike[here[:, None] >= there] = -1
            rows, columns = np.nonzero(alike >= least)
            total += len(rows)
            places = np.concatenate([places, np.stack([start + rows, other_start + columns], 1)])
            similarities = np.concatenate([similarities, alike[rows, columns]])
            best = np.argsort(-similarities, kind="stable")[:MOST_PAIRS]
            places, similarities = places[best], similarities[best]
        if progress:
            progress(min(start + AT_ONCE, len(codes)), len(codes))
    return Pairs(order[places].astype(np.int32), similarities, total)
