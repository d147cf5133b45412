"""The article's U-Net."""

from collections.abc import Sequence

import keras
from keras import layers


def unet(
    patch_size: int,
    classes: int,
    bands: int = 3,
    filters: Sequence[int] = (16, 32, 64, 128),
    bottleneck: int = 160,
) -> keras.Model:
    """Build the article's U-Net: 1,421,830 parameters with the default filters, three bands and six classes.

    A level of the contracting path is two convolutions and a pooling; a level of the expanding path is a transposed
    convolution, the contracting path's features of the same size, and two convolutions.

    Args:
        patch_size: Side of a patch in pixels, divisible by 2 ** len(filters).
        classes: Number of classes.
        bands: Of the images.
        filters: Filters of each level, from the finest to the coarsest.
        bottleneck: Filters between the two paths.

    Returns:
        A model from (batch, patch_size, patch_size, bands) in 0–255 to class probabilities
        (batch, patch_size, patch_size, classes).
    """
    inputs = keras.Input((patch_size, patch_size, bands), name="image")
    x = layers.Rescaling(1 / 255)(inputs)

    # Contracting path: set each level's features aside for the expanding path.
    skips = []
    for width in filters:
        x = _two_convolutions(x, width, dropout=0.1)
        skips.append(x)
        x = layers.MaxPooling2D()(x)

    x = _two_convolutions(x, bottleneck, dropout=0.2)

    # Expanding path, from the coarsest level back to the finest.
    for width, skip in zip(reversed(filters), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2, padding="same")(x)
        x = layers.Concatenate()([x, skip])
        x = _two_convolutions(x, width, dropout=0.2)

    outputs = layers.Conv2D(classes, 1, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="unet")


def _two_convolutions(x: keras.KerasTensor, filters: int, dropout: float) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
