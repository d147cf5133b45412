"""Patches embedded by an encoder, kept, and what is near: against ONNX Runtime and NumPy by themselves."""

import shutil
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, load_from_string

from segmentation.data.images import read_image
from segmentation.data.kept import KeptResults
from segmentation.data.patches import cut, load_patches
from segmentation.data.scenes import find_dataset
from segmentation.errors import ImageFileError
from segmentation.evaluation.similar import (
    NEAR,
    PatchMap,
    embed_patches,
    known_embeddings,
    map_patches,
    near_duplicates,
    nearest,
    open_encoder,
    principal_plane,
)
from segmentation.inference.embedding import Embedder, NoEncoderError
from segmentation.inference.onnx_file import open_network
from segmentation.model.unet import unet
from segmentation.runs.run import Run


@pytest.fixture
def kept(tmp_path: Path) -> KeptResults:
    return KeptResults(tmp_path / "embeddings.sqlite", 1 << 20)


@pytest.fixture
def run(trained: object, tmp_path: Path) -> Run:
    """A copy of the run, whose files may be changed."""
    return Run(shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny"))


def test_an_embedding_is_the_mean_of_the_map_before_the_smallest(trained: object, run: Run, kept: KeptResults) -> None:
    """Computed a second time from the whole network: what its last pooling begins from, averaged, of length 1."""
    network = load_from_string(open_network(run.model, lambda network: network.content))
    pooled = [node.input[0] for node in network.graph.node if node.op_type == "MaxPool"][-1]
    network.graph.output.append(helper.make_tensor_value_info(pooled, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    images = load_patches(trained.dataset, 32).images
    (maps,) = session.run([pooled], {"images": images})
    expected = maps.mean((2, 3))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    seen = []
    encoder = open_encoder(run)
    found = embed_patches(run, trained.dataset, run.patches, encoder, kept, lambda *done: seen.append(done))
    assert (encoder.why, found.dtype, found.shape) == ("", np.float16, (len(images), maps.shape[1]))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert seen[-1] == (len(images), len(images))
    np.testing.assert_array_equal(known_embeddings(run, trained.dataset, run.patches, encoder, kept), found)


def test_a_changed_network_counts_as_another(trained: object, run: Run, kept: KeptResults) -> None:
    """And so does an image that has changed; a changed mask does not."""
    dataset, table = trained.dataset, run.patches
    before = embed_patches(run, dataset, table, open_encoder(run), kept)
    keras.utils.set_random_seed(5)
    unet(32, len(run.palette), filters=(4, 8), bottleneck=8).save(run.folder / "best.keras")
    encoder = open_encoder(run)
    assert encoder.why == ""
    assert known_embeddings(run, dataset, table, encoder, kept) is None
    after = embed_patches(run, dataset, table, encoder, kept)
    assert after.shape != before.shape or not np.allclose(after, before, atol=0.01)


def test_only_a_changed_image_is_embedded_anew(
    write_dataset: object, trained: object, run: Run, kept: KeptResults, tmp_path: Path
) -> None:
    dataset, table, seen = find_dataset(write_dataset(tmp_path / "copy")), trained.run.patches, []
    encoder = open_encoder(run)
    embed_patches(run, dataset, table, encoder, kept)
    first, second = dataset.scenes[:2]
    first.image.touch()
    second.mask.touch()
    embed_patches(run, dataset, table, encoder, kept, lambda done, total: seen.append(done))
    count = int((table["scene"] == first.name).sum())
    of_scene = [done for done in seen if done < count]
    assert of_scene  # batches of the first scene
    assert seen[len(of_scene) + 1 :] == [count, *np.cumsum(table.groupby("scene", sort=False).size())[1:]]


def test_what_was_cut_off_goes_on(trained: object, run: Run, kept: KeptResults) -> None:
    """The scenes before are known, and their patches are not computed again."""
    dataset, table, encoder = trained.dataset, run.patches, open_encoder(run)
    first = table[table["scene"] == table["scene"].iloc[0]]

    def cancel(done: int, total: int) -> None:
        if done > len(first):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_patches(run, dataset, table, encoder, kept, cancel)
    assert known_embeddings(run, dataset, first, encoder, kept) is not None
    assert known_embeddings(run, dataset, table, encoder, kept) is None


def test_runs_without_an_encoder_of_their_own_take_the_shipped_one(
    trained: object, run: Run, kept: KeptResults
) -> None:
    """In a sentence: of predictions alone, of a model from elsewhere, of a network that never shrinks its images."""
    images = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    flat = keras.Model(images, keras.layers.Conv2D(len(run.palette), 3, padding="same", activation="softmax")(scaled))
    flat.save(run.folder / "best.keras")
    with pytest.raises(NoEncoderError, match="smaller than its images"):
        Embedder(run.model)
    assert open_encoder(run).why == "no layer of its network is smaller than its images"
    (run.folder / "best.keras").write_bytes(b"broken")
    assert "cannot be loaded" in open_encoder(run).why
    (run.folder / "best.keras").unlink()
    (run.folder / "predictions").mkdir()
    encoder = open_encoder(run)
    assert encoder.why == "it holds predictions alone"
    found = embed_patches(run, trained.dataset, run.patches, encoder, kept)
    assert found.shape == (len(run.patches), 672)
    (run.folder / "model.toml").touch()
    assert open_encoder(run).why == "its model comes from elsewhere"


def test_an_image_that_has_become_smaller_is_said(trained: object, run: Run, kept: KeptResults) -> None:
    table = run.patches.assign(row=run.patches["row"] + 90)
    with pytest.raises(ImageFileError, match="has changed since"):
        embed_patches(run, trained.dataset, table, open_encoder(run), kept)


def test_the_nearest_of_a_changed_copy_is_the_patch_itself(real_dataset: object) -> None:
    """Of real patches, each a little brighter and moved by some pixels; most such are also near enough for a list."""
    images = cut(read_image(real_dataset.scenes[30].image), 160)[:60]
    copies = np.clip(np.roll(images, 4, 1).astype(int) + 4, 0, 255).astype(np.uint8)
    embedder = open_encoder(Run(Path("no run"))).embedder
    both = np.concatenate([*embedder.batches(images), *embedder.batches(copies)]).astype(np.float16)
    count = len(images)
    for place in range(count):
        rows, distances = nearest(both, count + place, 3)
        assert rows[0] == place
        assert (np.diff(distances) >= 0).all()
    parts = np.array(["train"] * count + ["test"] * count)
    pairs = near_duplicates(both, parts, least=0.99)
    assert {(min(pair), max(pair)) for pair in pairs.places.tolist()} >= {(i, i + count) for i in range(count // 2)}


def test_nearest_and_pairs_are_those_of_all_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces or at once; each pair across parts once, the nearest first."""
    monkeypatch.setattr("segmentation.evaluation.similar.AT_ONCE", 7)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 5)).astype(np.float16)
    vectors[30] = vectors[3] * 2
    vectors[31] = vectors[3]
    parts = np.array(["train", "test", "validation", "train"] * 10)
    parts[[3, 30, 31]] = "train", "test", "test"
    unit = vectors / np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    cosines = unit @ unit.T
    rows, distances = nearest(vectors, 5, 6)
    order = [place for place in np.argsort(-cosines[5]) if place != 5][:6]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(distances, 1 - cosines[5, order], atol=1e-5)
    expected = {(i, j) for i in range(40) for j in range(i) if cosines[i, j] >= 0.8 and parts[i] != parts[j]}
    pairs = near_duplicates(vectors, parts, least=0.8)
    assert {(max(pair), min(pair)) for pair in pairs.places.tolist()} == expected
    assert pairs.total == len(expected) == len(pairs.places)
    assert (np.diff(pairs.similarities) <= 0).all()
    assert {(30, 3), (31, 3)} <= {(max(pair), min(pair)) for pair in pairs.places[:2].tolist()}
    assert near_duplicates(vectors, np.array(["train"] * 40)).total == 0


def test_the_plane_is_that_of_the_singular_vectors() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 8)) * [5, 3, 1, 1, 1, 1, 1, 1] + 4).astype(np.float16)
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    places, shares = principal_plane(vectors)
    np.testing.assert_allclose(np.abs(places), np.abs(left[:, :2] * singular[:2]), atol=1e-3)
    np.testing.assert_allclose(shares, (singular**2 / (singular**2).sum())[:2], atol=1e-4)
    same, none = principal_plane(np.ones((5, 3), np.float16))
    np.testing.assert_allclose(same, 0, atol=1e-6)
    assert none.sum() <= 1


def test_a_map_survives_the_disk_and_a_broken_one_is_none() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float16)
    vectors[1] = vectors[0]
    made = map_patches(vectors, np.array(["train", "test"] * 10))
    again = PatchMap.from_bytes(made.to_bytes(), 20)
    np.testing.assert_array_equal(again.places, made.places)
    np.testing.assert_array_equal(again.pairs.places, made.pairs.places)
    assert again.pairs.total == made.pairs.total >= 1
    assert again.pairs.similarities[0] >= NEAR
    for broken in (b"", b"PK", made.to_bytes()[:-40]):
        assert PatchMap.from_bytes(broken, 20) is None
    assert PatchMap.from_bytes(made.to_bytes(), 21) is None
