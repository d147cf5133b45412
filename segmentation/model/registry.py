"""Architectures by name: a second one is one new function and one new line here."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras

from segmentation.errors import ConfigurationError
from segmentation.model.lite0_unet import lite0_unet
from segmentation.model.unet import unet


class Architecture(NamedTuple):
    """A network that can be asked for by name.

    Args:
        function: From (patch_size, classes, bands) to a model that maps images in 0–255 to class probabilities.
        divisor: A patch's side must be divisible by this: the network halves it that far.
    """

    function: Callable[[int, int, int], keras.Model]
    divisor: int


ARCHITECTURES = {
    "unet": Architecture(unet, divisor=16),
    "lite0-unet": Architecture(lite0_unet, divisor=32),
    "lite0-unet-large": Architecture(partial(lite0_unet, enlarge=1.6), divisor=32),
}


def build(architecture: str, patch_size: int, classes: int, bands: int = 3) -> keras.Model:
    """Build the network called `architecture`.

    Args:
        architecture: A key of `ARCHITECTURES`.
        patch_size: Side of a patch, in pixels.
        classes: Number of classes.
        bands: Of the images.

    Raises:
        ConfigurationError: If the name is unknown or the patch size does not suit the network.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(
            f"Expected an architecture out of {', '.join(ARCHITECTURES)}. Received: {architecture!r}"
        )
    function, divisor = ARCHITECTURES[architecture]
    if patch_size < divisor or patch_size % divisor:
        raise ConfigurationError(f"{architecture} needs a patch size divisible by {divisor}. Received: {patch_size}")
    return function(patch_size, classes, bands)
