"""The commands that repeat a run and its scores, as anybody may type them: no path of this machine is in them."""

import shlex
from collections.abc import Iterable

from segmentation.configuration import Configuration
from segmentation.data.palette import VOID_NAME
from segmentation.errors import ConfigurationError
from segmentation.runs.run import SELECTION, Run

PROGRAM = ("python", "-m", "segmentation")

DATA = "DATA"
"""What stands for the data set's folder."""


def training_options(configuration: Configuration) -> list[str]:
    """Return the options of ``train`` that give a configuration: those that differ from the defaults."""
    words, usual = list[str](), Configuration().to_dict()
    for name, value in configuration.to_dict().items():
        if value == usual[name]:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return words


def training_command(run: Run) -> str:
    """Return the command that trains a run anew, or that adds it anew if it was made elsewhere; empty if unknown."""
    if run.config is None or (run.metrics and run.metrics.model_of):
        return ""
    if run.is_foreign or run.predictions:
        what = ("--model", "MODEL") if run.is_foreign else ("--predictions", "PREDICTIONS")
        return command("add", run.name, *what, "--data", DATA, *_protocol(run), *_patch_size(run))
    try:
        options = training_options(run.config.hyper_parameters)
    except ConfigurationError:
        return ""
    chosen = ("--patches", SELECTION) if (run.folder / SELECTION).is_file() else ()
    typed = command("train", "--name", run.name, "--data", DATA, *options, *chosen)
    backend = run.config.backend
    return f"KERAS_BACKEND={shlex.quote(backend)} {typed}" if backend not in (None, "tensorflow") else typed


def scoring_command(run: Run) -> str:
    """Return the command that scores a run as it was scored; empty where there are no scores of a model of ours."""
    if run.metrics is None or run.model is None:
        return ""
    mapping = (f"{of}={name or ''}" for of, name in (run.metrics.mapping or {}).items())
    words = [word for entry in mapping for word in ("--map", entry)]
    if run.metrics.model_of:
        words += ["--save-as", run.name]
    elsewhere = _protocol(run) if run.metrics.dataset else ()
    return command("evaluate", "--run", run.model_of, "--data", DATA, *elsewhere, *words)


def report_command(run: Run, other: Run | None) -> str:
    """Return the command that makes the report anew."""
    compared = ("--compare", other.name) if other else ()
    return command("report", "--run", run.name, *compared, "--data", DATA)


def command(*words: str) -> str:
    """Return a command as a shell reads it."""
    return shlex.join((*PROGRAM, *words))


def _protocol(run: Run) -> Iterable[str]:
    tile = run.config.configuration.get("held_out_tile") if run.config else None
    held_out = ("--held-out-tile", str(tile)) if run.protocol == "tile" and tile else ()
    return ("--protocol", run.protocol, *held_out)


def _patch_size(run: Run) -> Iterable[str]:
    return ("--patch-size", str(run.patch_size))


def mapping_words(run: Run) -> list[str]:
    """Say which class of the data set counts as which of the run's, where their names differ."""
    mapping = (run.metrics and run.metrics.mapping) or {}
    return [f"{of} counts as {name or VOID_NAME}" for of, name in mapping.items()]
