"""The run whose patches are ranked, and what its evaluation left."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.palette import Palette
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run
from segmentation.ui.shell.words import code, plain


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was evaluated on the data set in use, with what that left, which is known to be there.

    Args:
        run: The run.
        dataset: The data set in use, in the run's classes.
        patches: One row per patch, as `Run.patches`.
        palette: The classes.
    """

    run: Run
    dataset: Dataset
    patches: pd.DataFrame
    palette: Palette

    def is_unknown(self, column: str) -> bool:
        """Tell whether a column of its table says nothing: how sure predictions are that came without probabilities."""
        return column in self.patches and not self.patches[column].notna().any()


def check_confusions(run: Run) -> np.ndarray | None:
    """Return each patch's confusion matrix, (patches, classes, classes); None, after what to do, if it is not known."""
    if run.confusion_matrices is None:
        st.info(
            f"{plain(run.name)} was evaluated before confusion matrices were kept by patch: "
            f"{evaluate_command(run)} adds them.",
            icon=":material/query_stats:",
        )
    return run.confusion_matrices


def evaluate_command(run: Run) -> str:
    """Say the command that evaluates a run."""
    return code(f"python -m segmentation evaluate --run {run.name} --save")
