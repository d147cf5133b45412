"""Held-out patches drawn at random."""

from functools import partial

import numpy as np
import streamlit as st

from segmentation import scores
from segmentation.data.images import png_bytes
from segmentation.data.protocols import apply_void_policy
from segmentation.data.scenes import Dataset
from segmentation.errors import ImageFileError
from segmentation.runs.scoring import without_unpredicted
from segmentation.ui.address import link
from segmentation.ui.explorer.model import Model
from segmentation.ui.loaders.predictions import predict_by
from segmentation.ui.loaders.scenes import load_patch, load_patch_bands, place_of
from segmentation.ui.pictures import in_a_row
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.run import say_other_files
from segmentation.ui.shell.words import code, in_classes, plain, score

SEEDS = 2**31
"""How many seeds there are to choose from."""


def random_patches(dataset: Dataset | None, model: Model) -> None:
    """Show held-out patches drawn at random, each as image, ground truth and prediction, as the article's figure 8."""
    run, palette = model.run, model.palette
    in_its_classes = run.in_its_classes(dataset) if dataset else None
    if dataset is None or run.patches is None or in_its_classes is None:
        st.info("Random patches need a data set of the run's classes and an evaluated run: choose them in the sidebar.")
        return
    known = {scene.name for scene in dataset.scenes}
    table = run.patches[(run.patches["part"] == "test") & run.patches["scene"].isin(known)]
    if table.empty:
        st.info(f"{plain(run.name)} held none of this data set's patches out: choose another data set or run.")
        return
    say_other_files(run, dataset, "it may have been trained on some of these patches")
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    count = left.slider(
        "Patches", 1, min(24, len(table)), min(6, len(table)), key="n", bind="query-params", help="How many to draw."
    )
    seed = middle.number_input(
        "Seed", 0, SEEDS - 1, 0, key="seed", bind="query-params", help="The same seed draws the same patches."
    )
    right.button(
        "Reshuffle",
        icon=":material/shuffle:",
        width="stretch",
        help="Draw with the next seed.",
        on_click=_set_seed,
        args=((seed + 1) % SEEDS,),
    )
    chosen = table.iloc[np.random.default_rng(seed).permutation(len(table))[:count]]
    st.caption(
        f"{count} of {len(table):,} held-out patches, seed {seed}: image, ground truth and prediction of "
        f"{plain(run.name)}."
    )
    cards = st.grid(2, min_column_width=400)
    for row in chosen.itertuples():
        with cards, st.container(border=True), show_errors(ImageFileError):  # without a model there is no card at all
            place = (in_its_classes, row.scene, row.row, row.column, run.patch_size, run.stretch)
            image, mask = load_patch(*place)
            truth = apply_void_policy(mask, run.protocol, palette)
            predicted = predict_by(run, partial(load_patch_bands, *place), place_of(*place)).classes
            true, seen = without_unpredicted(truth, predicted)
            matrix = scores.confusion_matrices(true[None], seen[None], len(palette))[0]
            pictures = [image, *(display_palette(palette).decode(classes) for classes in (truth, predicted))]
            with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(code(row.patch))
                st.page_link(
                    EXPLORER,
                    label="Explore",
                    icon=":material/compare:",
                    help="Open it by itself.",
                    query_params=link(looking_at(row.scene, row.patch.rsplit("/", 1)[1])),
                )
            with st.container(key=f"pixels-{row.patch}"):
                alt = f"Patch {row.patch}: image, ground truth and prediction"
                st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG", alt=alt)
            # Not the run's own table: its files may be others than these.
            mean_iou, accuracy = score(float(scores.mean_iou(matrix))), score(float(scores.accuracy(matrix)))
            counted = in_classes(np.isfinite(scores.iou(matrix)).sum())
            st.caption(f"Mean IoU {mean_iou} of {counted} · accuracy {accuracy}")


def _set_seed(seed: int) -> None:
    """Draw with another seed; a callback, since a widget's value can only be set before it is drawn."""
    st.session_state["seed"] = seed
