"""What config.json says of a training, and whether a run was started as it would be now (imports Keras)."""

import importlib.metadata
import shutil
import subprocess
import time
from pathlib import Path

import keras

from segmentation.configuration import Configuration
from segmentation.data.patches import Patches
from segmentation.data.protocols import Fold
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.model.diagram import describe
from segmentation.runs.records import DatasetRecord, Network, RunConfig
from segmentation.runs.run import Run


def run_config(
    dataset: Dataset, configuration: Configuration, patches: Patches, fold: Fold, model: keras.Model
) -> RunConfig:
    """Return what config.json says: enough to understand and repeat the run.

    Args:
        dataset: The labelled scenes.
        configuration: The hyper-parameters.
        patches: All patches of the scenes.
        fold: What they are used for.
        model: The network.
    """
    return RunConfig(
        configuration=configuration.to_dict(),
        dataset=DatasetRecord(
            name=dataset.root.resolve().name,
            fingerprint=dataset.fingerprint(),
            scenes=len(dataset.scenes),
            stretch=dataset.stretch,
            skipped=list(patches.skipped),
            unlabelled=len(patches.unlabelled),
            resized=len(patches.resized),
            patches=len(patches.masks),
            held_out=len(fold.test),
            trained_on=len(fold.train),
            validated_on=None if fold.two_parts else len(fold.validation),
        ),
        palette=dataset.palette,
        architecture=Network.from_dict(describe(model)),
        versions={
            name: importlib.metadata.version(name)
            for name in (keras.config.backend(), "keras", "numpy", "pandas", "pillow")
        },
        backend=keras.config.backend(),
        commit=_commit(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def check_same_run(run: Run, config: RunConfig) -> None:
    """Refuse to resume a run that was started with other hyper-parameters or on other data.

    Args:
        run: What there is in its folder, perhaps nothing.
        config: What a run that is started now would have.

    Raises:
        RunError: If it was started otherwise.
    """
    if run.config is None:
        return
    # A hyper-parameter that is younger than the run had its default then.
    known = {**Configuration().to_dict(), **run.config.configuration}
    same = {"configuration": known == config.configuration, "palette": run.palette == config.palette}
    for part, is_same in same.items():
        if not is_same:
            raise RunError(f"{run.name} was started with another {part}: use the same to resume, or another name.")
    before, now = (of.bands if of else () for of in (run.stretch, config.dataset.stretch))
    if before != now:
        raise RunError(f"{run.name} was started on other bands: use the same to resume, or another name.")
    if run.config.dataset.fingerprint != config.dataset.fingerprint:
        raise RunError(f"{run.name} was started on other data: use the same to resume, or another name.")


def _commit() -> str | None:
    """Return the git commit of this code, marked if it was changed since; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    described = subprocess.run(  # noqa: S603 (no input of a user's)
        [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None
