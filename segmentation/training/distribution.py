"""Several devices, of one machine or more, that train one network: each takes its share of every batch (JAX)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from segmentation.backend import VARIABLE
from segmentation.errors import ConfigurationError
from segmentation.training.pipeline import Share

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
"""Keras' own variable; with it go KERAS_DISTRIBUTION_JOB_ADDRESSES and KERAS_DISTRIBUTION_PROCESS_ID."""


@contextmanager
def data_parallel(devices: int | None) -> Iterator[Share]:
    """Let a network that is built and trained in the block be on several devices, and yield this process's share.

    Args:
        devices: How many; 0 for all. Of several machines all are taken. None for one, as if this were not here.

    Raises:
        ConfigurationError: If there are not so many, or the backend is not JAX.
    """
    if devices is None:
        yield Share()
        return
    if keras.config.backend() != "jax":
        raise ConfigurationError(f"Only JAX trains on several devices: set {VARIABLE}=jax, or leave --devices out.")
    import jax

    if os.environ.get(PROCESSES) and not jax.distributed.is_initialized():
        keras.distribution.initialize()
    found = keras.distribution.list_devices()
    if not 0 <= devices <= len(found):
        raise ConfigurationError(f"Expected 0 to {len(found)} devices, as many as are here. Received: {devices}")
    if jax.process_count() > 1 and devices not in (0, len(found)):
        raise ConfigurationError(f"Several machines train on all their {len(found)} devices. Received: {devices}")
    chosen = found[: devices or None]
    # Each process makes its own share of a batch.
    with keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False).scope():
        yield Share(len(chosen), jax.process_index(), jax.process_count())
