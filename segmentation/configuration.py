"""Every hyper-parameter of a training run, with the article's values as defaults (no Keras)."""

import ast
import dataclasses
import inspect
import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import TRAINING_PROTOCOLS, Protocol
from segmentation.errors import ConfigurationError

ARCHITECTURES = ("unet", "lite0-unet", "lite0-unet-large")
"""The networks in the registry, which cannot be asked without loading Keras."""

LossName = Literal["cross_entropy", "focal", "jaccard", "dice"]

Schedule = Literal["constant", "cosine"]

Folds = Literal["scene", "tile"]

DEFAULT_PROTOCOL: Protocol = "patch"

LARGEST = 1e15
"""What no hyper-parameter exceeds: numbers out of a file may have any length."""


@dataclass(frozen=True)
class Configuration:
    """The hyper-parameters of one run. The defaults are the article's recipe, but for the validation part."""

    architecture: str = "unet"
    """Network, by its name in the registry."""
    patch_size: int = PATCH_SIZE
    """Side of a patch, in pixels."""
    protocol: Protocol = DEFAULT_PROTOCOL
    """What is held out: a tenth of the patches, whole scenes, one tile, or the data set's split; article validates on
    what it scores, as the article does."""
    held_out_tile: str | None = None
    """The tile to hold out under the tile protocol, such as "Tile 7"."""
    fold: int = 0
    """Which group of scenes to hold out under the scene protocol, counted from 0: a tenth, or a Dubai diagonal."""
    folds: Folds | None = None
    """Train once for each place left out, a tile or a group of scenes, and join what each predicts of its place."""
    start_from: str | None = None
    """A run of the same network whose weights to begin with, by its name; by default they are drawn at random."""
    worst_share: float = 1.0
    """Train only on this share of the training patches: those with the lowest mean IoU in the run of start_from."""
    epochs: int = 20
    """Passes over the training patches."""
    batch_size: int = 32
    """Patches per step."""
    learning_rate: float = 1e-3
    """Adam's learning rate in the first epoch."""
    schedule: Schedule = "constant"
    """How the learning rate goes on: unchanged, or along half a cosine to nearly nothing."""
    warm_up: int = 0
    """Epochs over which the learning rate rises to its full height: it spares pretrained weights the first jolts."""
    weight_decay: float = 0.0
    """Shrink the convolutions' weights each step by this share of the learning rate (AdamW)."""
    ema: float = 0.0
    """Validate and keep a running average of the weights, with this momentum a step, such as 0.99; 0 keeps none."""
    flips_and_rotations: bool = False
    """Show each training patch in one of its eight flips and rotations, drawn anew every epoch."""
    random_windows: bool = False
    """Cut each training patch anew every epoch, up to half a patch off its place; held-out labels become void."""
    zoom: float = 0.0
    """Cut training patches up to this much larger or smaller and resize them: 0.25 is a side of 1/1.25 to 1.25."""
    brightness: float = 0.0
    """Brighten or darken training patches by up to this share: 0.2 is ± 20 %."""
    contrast: float = 0.0
    """Raise or lower the contrast of training patches by up to this share."""
    haze: float = 0.0
    """Wash training patches out: blend them with white by up to this share."""
    hue: float = 0.0
    """Turn the hue of training patches of three bands by up to this share of the colour circle, either way."""
    blur: float = 0.0
    """Blur training patches by a Gaussian of up to this radius, in pixels."""
    loss: str = "cross_entropy"
    """What is minimised: cross_entropy, focal, jaccard or dice, or a sum such as "cross_entropy+0.5*jaccard"."""
    class_weights: tuple[float, ...] = ()
    """How much each class counts in the loss, in the palette's order; by default all the same."""
    early_stopping: int | None = None
    """Stop when the validation loss has not fallen for so many epochs (the article names 2, and had it off)."""
    mixed_precision: bool = False
    """Convolve in bfloat16: a GPU, and on TensorFlow a processor that can (AVX512-BF16, AMX), trains much faster."""
    seed: int = 42
    """Seed of the split, the initial weights, the order of patches and the augmentation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_weights", tuple(self.class_weights))  # config.json knows lists only
        if not 0 <= self.seed < 2**32:
            raise ConfigurationError(f"Expected a seed from 0 to {2**32 - 1}. Received: {self.seed}")
        for name in ("patch_size", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"Expected {name} of at least 1. Received: {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ConfigurationError(f"Expected a positive learning_rate. Received: {self.learning_rate}")
        for name in ("warm_up", "weight_decay", "zoom", "blur"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(f"Expected {name} of at least 0. Received: {getattr(self, name)}")
        for name in ("ema", "brightness", "contrast", "haze", "hue"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"Expected {name} from 0 to below 1. Received: {getattr(self, name)}")
        if not 0 < self.worst_share <= 1:
            raise ConfigurationError(f"Expected worst_share above 0 and up to 1. Received: {self.worst_share}")
        if self.worst_share < 1 and self.start_from is None:
            raise ConfigurationError("worst_share needs start_from: the run that does worst on those patches.")
        if any(weight < 0 for weight in self.class_weights) or (self.class_weights and not any(self.class_weights)):
            raise ConfigurationError(f"Expected class_weights of at least 0, not all 0. Received: {self.class_weights}")
        _ = self.loss_terms  # refuses what it cannot read
        if self.early_stopping is not None and self.early_stopping < 1:
            raise ConfigurationError(f"Expected early_stopping of at least 1. Received: {self.early_stopping}")
        if self.protocol == "all":
            raise ConfigurationError(
                "The all protocol leaves nothing to train on: it scores a run on other data. Choose another one of "
                f"{', '.join(TRAINING_PROTOCOLS)}."
            )
        if self.fold and (self.fold < 0 or self.protocol != "scene"):
            raise ConfigurationError(f"fold counts the scene protocol's groups from 0. Received: {self.fold}")
        self._settle_folds()
        if (self.protocol == "tile") != (self.held_out_tile is not None):
            raise ConfigurationError("held_out_tile goes with protocol tile, and the tile protocol needs it.")

    def _settle_folds(self) -> None:
        """Let the protocol follow from `folds`, and refuse what does not go with it.

        Raises:
            ConfigurationError: If so.
        """
        if self.folds is None:
            if self.protocol == "k-fold":
                raise ConfigurationError("The k-fold protocol needs folds: tile or scene.")
            return
        if self.protocol not in (DEFAULT_PROTOCOL, "k-fold"):
            raise ConfigurationError(f"folds say what is held out: leave protocol {self.protocol} out.")
        if self.start_from is not None:
            raise ConfigurationError(
                f"{self.start_from} may have seen the places that folds leave out: leave start_from out."
            )
        object.__setattr__(self, "protocol", "k-fold")

    @property
    def loss_terms(self) -> dict[str, float]:
        """How much each loss counts, by its name, as `loss` says.

        Raises:
            ConfigurationError: If it says something else than a sum of losses.
        """
        terms: dict[str, float] = {}
        for term in self.loss.split("+"):
            match = re.fullmatch(r"\s*(?:([0-9]*\.?[0-9]+)\s*\*)?\s*(\w+)\s*", term)
            if match is None or match[2] not in get_args(LossName) or match[2] in terms:
                raise ConfigurationError(
                    f'Expected {", ".join(get_args(LossName))} or a sum such as "cross_entropy+0.5*jaccard". '
                    f"Received: {self.loss!r}"
                )
            terms[match[2]] = float(match[1] or 1)
        return terms

    @classmethod
    def from_dict(cls, content: dict) -> "Configuration":
        """Rebuild a configuration from `to_dict` of this version or another.

        What it lacks has its default, and what is unknown here is passed over.

        Raises:
            ConfigurationError: If it holds what cannot be.
        """
        known = get_type_hints(cls)
        values = {name: value for name, value in content.items() if name in known}
        if not all(_fits(value, known[name]) for name, value in values.items()):
            raise ConfigurationError(
                "The run's hyper-parameters are not what this version understands: start a new run."
            )
        return cls(**values)

    def to_dict(self) -> dict:
        """Return the hyper-parameters as config.json holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401 (whatever may stand behind a field's name)
    """Tell whether a value out of JSON, NaN and numbers of any length included, is of a field's type."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return value in parts
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_fits(entry, parts[0]) for entry in value)
    if parts:  # one type or another
        return any(_fits(value, part) for part in parts)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value) is kind
    return (kind is float or (kind is int and isinstance(value, int))) and abs(value) <= LARGEST


@cache
def descriptions() -> dict[str, str]:
    """Return what each hyper-parameter means, by its name: the text below it, which ``train --help`` shows too."""
    (source,) = ast.parse(inspect.getsource(Configuration)).body
    return {
        ast.unparse(field.target): ast.literal_eval(text.value)
        for field, text in pairwise(ast.iter_child_nodes(source))
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
