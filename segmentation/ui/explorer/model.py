"""A run that can predict, or was added with its predictions."""

from dataclasses import dataclass
from pathlib import Path

from segmentation.data.palette import Palette
from segmentation.runs.run import Run


@dataclass(frozen=True)
class Model:
    """A run with what it predicts by, which is known to be there.

    Args:
        run: The run.
        path: Its model; None for a run of predictions, which answers for the scenes it has.
        palette: The classes that it predicts.
    """

    run: Run
    path: Path | None
    palette: Palette

    @classmethod
    def of(cls, run: Run | None) -> "Model | None":
        """Return a run with its model or predictions and its classes; None if it has not both."""
        if run is None or run.palette is None or not (run.model or run.predictions):
            return None
        return cls(run, run.model, run.palette)
