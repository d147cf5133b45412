"""How a network is applied to pictures."""

from dataclasses import dataclass

from segmentation.inference.windows import check_overlap
from segmentation.thresholds import Thresholds


@dataclass(frozen=True)
class Inference:
    """How a network is applied to pictures. The defaults are the article's: patches side by side, each seen once.

    A `Predictor` is loaded with `bfloat16` or without; the others are chosen for each picture.

    Raises:
        ConfigurationError: If the overlap is out of range.
    """

    overlap: float = 0.0
    """What a window has in common with the next, as a share of a patch's side, 0 to 0.5; 0 cuts as the article does."""
    tta: bool = False
    """Test-time augmentation: average over the eight flips and rotations of each patch."""
    bfloat16: bool = False
    """Compute with numbers of 16 bits, faster and less exactly, where the processor can."""
    thresholds: Thresholds = ()
    """From which probability on pixels are of a class; without any, they are of their most probable one."""

    def __post_init__(self) -> None:
        check_overlap(self.overlap)


PLAIN = Inference()
"""As scores are computed."""

SEAMLESS = Inference(overlap=0.25)
"""As maps are made, unless something else is asked for."""
