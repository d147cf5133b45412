"""What may be done with a ranking: download it, train on it."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from segmentation.data.locate import runs_folder
from segmentation.data.protocols import TRAIN
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.files import replacing
from segmentation.runs.run import Run, check_run_name
from segmentation.tables import to_safe_csv
from segmentation.training import launch
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.run import known_runs
from segmentation.ui.shell.words import plain


def offer_actions(evaluated: EvaluatedRun, table: pd.DataFrame) -> None:
    """Offer the patches of a view as a file, and to fine-tune the run on them as the article suggests."""
    run = evaluated.run
    with st.container(horizontal=True):
        st.download_button(
            "Download the ranking",
            lambda: to_safe_csv(table.assign(rank=range(1, len(table) + 1))),
            f"{run.name}-ranking.csv",
            "text/csv",
            key="download-ranking",
            icon=":material/download:",
            on_click="ignore",
            help="One row per patch, in this order, with all its scores; `train --patches FILE` trains on such a list.",
        )
        trained_on = table[table["part"] == TRAIN]
        with st.popover(
            "Fine-tune on these",
            icon=":material/model_training:",
            disabled=trained_on.empty or run.config is None or run.model is None,
        ):
            st.caption(
                "Goes on from this run's weights, on the first of these patches only; the other parts stay as they are."
            )
            name = st.text_input("Name", f"{run.name}-tuned", key="tune-name", help="Of the new run.")
            count = st.number_input(
                "Patches",
                1,
                max(1, len(trained_on)),
                max(1, len(trained_on) // 5),
                key="tune-count",
                help="How many, in the order of this view.",
            )
            epochs = st.number_input("Epochs", 1, 1000, 5, key="tune-epochs", help="Passes over these patches.")
            rate = st.number_input(
                "Learning rate", 1e-7, 1.0, 1e-4, format="%g", step=1e-5, key="tune-rate", help="Falls along a cosine."
            )
            if st.button("Start", type="primary", icon=":material/play_circle:", key="tune"):
                with show_errors():
                    fine_tune(evaluated.dataset, run, trained_on["patch"][:count], name, epochs, rate)
                    st.success(f"{plain(name)} is starting: the training monitor shows how it goes.")
    if table["part"].ne(TRAIN).any():
        st.caption("To fine-tune, choose the part trained on: the others are for judging.")


def fine_tune(dataset: Dataset, run: Run, patches: Sequence[str], name: str, epochs: int, learning_rate: float) -> None:
    """Start a training from a run's weights on some of its training patches.

    Raises:
        RunError: If the name is taken or no folder's name, the run's configuration cannot be read, or the folder of the
            runs cannot be written.
    """
    if run.config is None:
        raise RunError(f"It cannot be read how {run.name} was trained: choose another run to go on from.")
    check_run_name(name)
    if any(known.name == name for known in known_runs()):
        raise RunError(f"There is a run {name} already: choose another name.")
    before = run.config.hyper_parameters
    configuration = replace(
        before,
        # Of a run in two parts the next tenth was trained on: it would tell nothing as a validation part.
        protocol="article" if run.is_flattered and before.protocol == "patch" else before.protocol,
        start_from=run.name,
        worst_share=1.0,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule="cosine",
        warm_up=0,
        early_stopping=None,
    )
    chosen = runs_folder() / f"{name}.patches.csv"
    with replacing(chosen) as temporary:
        pd.DataFrame({"patch": list(patches)}).to_csv(temporary, index=False)
    launch.start(name, configuration, dataset.root, runs_folder(), chosen)
