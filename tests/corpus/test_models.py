"""Model files that unfold, name other files, bring code, or are no network of ours: one sentence, in bounded memory.

Each is put into a run folder, shown by the explorer and given to ``predict``.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import pytest
from keras import layers

pytestmark = pytest.mark.corpus

CONFIG, WEIGHTS = "config.json", "model.weights.h5"

SIZE, CLASSES = 32, 6

GIGABYTES = "would unfold to"
ELSEWHERE = "lie in another file or place"
NO_NETWORK = "what loads is a .keras file of Keras 3"
NO_NUMBERS = "gives values that are no numbers"
NO_PROBABILITIES = "end it with a softmax over classes"
OTHER_SHAPE = "not square RGB patches to probabilities of the same size"
TOO_LARGE = "numbers for one image: use smaller patches"
NOT_HELD = "and the file does not hold them"


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def with_entry(name: str, data: bytes | None) -> Callable[[Path], None]:
    """The file with an entry replaced, added, or left out."""

    def change(path: Path) -> None:
        content = {**entries(path), name: data}
        pack(path, {key: value for key, value in content.items() if value is not None})

    return change


def unfolding(name: str, gigabytes: int) -> Callable[[Path], None]:
    """The file with an entry of so many gigabytes of zeros, packed into some megabytes."""

    def change(path: Path) -> None:
        content = entries(path)
        content.pop(name, None)
        pack(path, content)
        with (
            zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(name, "w", force_zip64=True) as out,
        ):
            for _ in range(gigabytes * 16):
                out.write(bytes(64 << 20))

    return change


def in_weights(change: Callable[[h5py.File, Path], None]) -> Callable[[Path], None]:
    """The file with its weights changed; the function gets them and the run's folder."""

    def change_(path: Path) -> None:
        content = entries(path)
        held = io.BytesIO(content[WEIGHTS])
        with h5py.File(held, "r+") as file:
            change(file, path.parent)
        pack(path, {**content, WEIGHTS: held.getvalue()})

    return change_


def first_kernel(file: h5py.File) -> tuple[h5py.Group, tuple[int, ...]]:
    """Remove the first convolution's weights; return their group and shape."""
    group = file["layers/conv2d/vars"]
    shape = group["0"].shape
    del group["0"]
    return group, shape


def filled(file: h5py.File, folder: Path) -> None:
    group, _ = first_kernel(file)
    group.create_dataset("0", (60_000, 60_000), "f4", chunks=(100, 100), fillvalue=1.0)


def in_one_piece(file: h5py.File, folder: Path) -> None:
    group, _ = first_kernel(file)
    group.create_dataset("0", (10, 10), "f4", chunks=(30_000, 30_000), maxshape=(None, None), compression="gzip")


def virtual(file: h5py.File, folder: Path) -> None:
    group, shape = first_kernel(file)
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(str(folder.parent / "other.h5"), "values", shape)
    group.create_virtual_dataset("0", layout)


def external(file: h5py.File, folder: Path) -> None:
    group, shape = first_kernel(file)
    (folder.parent / "other.bin").write_bytes(bytes(10_000))
    group.create_dataset("0", shape, "f4", external=[(str(folder.parent / "other.bin"), 0, 10_000)])


def linked(file: h5py.File, folder: Path) -> None:
    first_kernel(file)[0]["0"] = h5py.ExternalLink(str(folder.parent / "other.h5"), "values")


def dangling(file: h5py.File, folder: Path) -> None:
    first_kernel(file)[0]["0"] = h5py.SoftLink("/nowhere")


def in_a_circle(file: h5py.File, folder: Path) -> None:
    file["again"] = file["/"]


def of_texts(file: h5py.File, folder: Path) -> None:
    group, shape = first_kernel(file)
    group.create_dataset("0", shape, h5py.string_dtype())


def of(value: float) -> Callable[[h5py.File, Path], None]:
    def put(file: h5py.File, folder: Path) -> None:
        file["layers/conv2d/vars/0"][0, 0, 0, 0] = value

    return put


def missing(file: h5py.File, folder: Path) -> None:
    first_kernel(file)


def in_layer(kind: str, option: str, value: object) -> Callable[[Path], None]:
    """The file with an option of its first layer of a kind changed."""

    def change(path: Path) -> None:
        config = json.loads(entries(path)[CONFIG])
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == kind)
        layer["config"][option] = value
        if option == "batch_shape":
            layer["build_config"] = {"input_shape": value}
        with_entry(CONFIG, json.dumps(config).encode())(path)

    return change


def network(
    *hidden: keras.Layer, last: str = "softmax", classes: int = CLASSES, size: tuple = (SIZE, SIZE, 3)
) -> Callable:
    """Another network in the file's place."""

    def save(path: Path) -> None:
        x = inputs = keras.Input(size)
        for layer in hidden:
            x = layer(x)
        keras.Model(inputs, layers.Conv2D(classes, 1, activation=last)(x)).save(path)

    return save


def asking_for(units: int) -> Callable[[Path], None]:
    """A network of a layer that ONNX does not know here, whose config asks for far more than the file holds."""

    def save(path: Path) -> None:
        inputs = keras.Input((SIZE, SIZE, 3))
        x = layers.Dense(7, name="wide")(layers.GaussianNoise(0.1)(inputs))
        keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax", name="last")(x)).save(path)
        config = entries(path)[CONFIG].decode().replace('"units": 7', f'"units": {units}')
        config = config.replace(f"{SIZE}, {SIZE}, 7]", f"{SIZE}, {SIZE}, {units}]")
        with_entry(CONFIG, config.encode())(path)

    return save


def with_code(path: Path) -> None:
    network(layers.Lambda(lambda x: x * 1.0))(path)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def holding(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.unlink(), path.write_bytes(content))[0]


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Case(NamedTuple):
    """What is done to a run's model, and words of the sentence that comes of it; none if it predicts all the same."""

    broken: Callable[[Path], None]
    sentence: str


MODELS = {
    # Unfolding
    "weights of 3 GB in a zip of 13 MB": Case(unfolding(WEIGHTS, 3), GIGABYTES),
    "a picture of 2 GB beside the weights": Case(unfolding("assets/picture.bin", 2), GIGABYTES),
    "14 GB of fill values": Case(in_weights(filled), GIGABYTES),
    "a piece of 4 GB of which 400 bytes count": Case(in_weights(in_one_piece), GIGABYTES),
    "layers of 9 MB": Case(with_entry(CONFIG, b'{"a": "' + b"x" * (9 << 20) + b'"}'), "is larger than that of any"),
    "layers nested 100,000 deep": Case(with_entry(CONFIG, b"[" * 100_000 + b"]" * 100_000), NO_NETWORK),
    "a layer that asks for 25 GB": Case(asking_for(10**9), NOT_HELD),
    "a layer that gives 20 GB": Case(network(layers.UpSampling2D(1000)), TOO_LARGE),
    "a layer unknown here that gives 20 GB": Case(
        network(layers.GaussianNoise(0.1), layers.UpSampling2D(1000)), TOO_LARGE
    ),
    "images of 100,000 pixels a side": Case(
        in_layer("InputLayer", "batch_shape", [None, 100_000, 100_000, 3]), TOO_LARGE
    ),
    # Other files
    "a virtual data set": Case(in_weights(virtual), ELSEWHERE),
    "weights in another file": Case(in_weights(external), ELSEWHERE),
    "a link to another file": Case(in_weights(linked), ELSEWHERE),
    "a link to nowhere": Case(in_weights(dangling), ELSEWHERE),
    "a group that holds itself": Case(in_weights(in_a_circle), ""),
    "a pipe": Case(a_pipe, ""),
    # Code
    "a function of its own": Case(with_code, NO_NETWORK),
    # No numbers
    "weights that are NaN": Case(in_weights(of(np.nan)), NO_NUMBERS),
    "weights that are infinite": Case(in_weights(of(np.inf)), NO_NUMBERS),
    "weights that are texts": Case(in_weights(of_texts), "are no numbers"),
    "a text as scale": Case(in_layer("Rescaling", "scale", "x"), NO_NETWORK),
    "a text as a number of filters": Case(in_layer("Conv2D", "activation", "loud"), NO_NETWORK),
    # No probabilities
    "logits": Case(network(last="linear"), NO_PROBABILITIES),
    "a sigmoid for every class": Case(network(last="sigmoid"), NO_PROBABILITIES),
    "tanh": Case(network(layers.Rescaling(1 / 255), last="tanh"), NO_PROBABILITIES),
    # No file of ours
    "nothing": Case(holding(b""), NO_NETWORK),
    "text": Case(holding(b"Dear Sir or Madam"), NO_NETWORK),
    "a pickle": Case(holding(b"\x80\x04cposix\nsystem\n."), NO_NETWORK),
    "half of it": Case(half, NO_NETWORK),
    "no weights": Case(with_entry(WEIGHTS, None), NO_NETWORK),
    "no layers": Case(with_entry(CONFIG, None), NO_NETWORK),
    "weights that are no HDF5": Case(with_entry(WEIGHTS, b"\x89HDF\r\n\x1a\n" + bytes(500)), NO_NETWORK),
    "a layer without its weights": Case(in_weights(missing), NO_NETWORK),
    "layers that are a list": Case(with_entry(CONFIG, b"[1, 2]"), NO_NETWORK),
    # Other networks
    "grey images": Case(network(size=(SIZE, SIZE, 1)), OTHER_SHAPE),
    "oblong images": Case(network(size=(SIZE, 2 * SIZE, 3)), OTHER_SHAPE),
    "half as large a mask": Case(network(layers.MaxPooling2D()), OTHER_SHAPE),
    "other classes": Case(network(classes=4), "has 4 classes and patches of 32 px"),
}


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_a_hostile_model_is_refused_in_one_sentence_or_predicts(
    case: Case, loaded: object, hostile: Path, look: Callable, command: Callable, tmp_path: Path
) -> None:
    case.broken(hostile / "best.keras")
    shown, choice = look("explorer", scene=loaded.dataset.scenes[0].name)
    assert shown.exceptions == []
    assert {"tiny", "hostile"} <= set(choice)
    code, said = command("predict", loaded.dataset.scenes[0].image, "--output", tmp_path / "out")
    if not case.sentence:
        assert shown.errors == []
        assert code == (1 if case.broken is a_pipe else 0)
        return
    (sentence,) = shown.errors
    assert case.sentence in sentence
    assert "best.keras of hostile" in sentence
    assert "train" not in sentence  # whoever brings a model did not train it here
    assert code == 1
    assert [line for line in said if line.startswith("best.keras")] == [sentence]
    assert not any("Traceback" in line for line in said)
