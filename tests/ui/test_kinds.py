"""Kinds of error on the pages: counted on request, said in a sentence, drawn in the explorer."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.patches import load_patches
from segmentation.evaluation.error_kinds import KINDS, count_error_kinds, find_error_kinds
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import Run
from segmentation.ui.charts.error_kinds import KIND_COLORS, kinds_figure, kinds_map
from segmentation.ui.explorer.error_kinds import kinds_at

Open = Callable[..., AppTest]


@pytest.fixture
def run(trained: object, tmp_path: Path) -> Run:
    """A copy of the run, of which nothing was counted yet."""
    return Run(shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny"))


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


def expected_counts(trained: object, run: Run) -> np.ndarray:
    """The kinds of the held-out patches, (patches, 2, classes, 3), from their pixels."""
    patches = load_patches(trained.dataset, 32, protocol=run.protocol)
    chosen = np.flatnonzero((run.patches["part"] == "test").to_numpy())
    predicted = np.concatenate(list(Predictor(run.model).batches(patches.images[chosen]))).argmax(-1).astype(np.uint8)
    pairs = zip(patches.masks[chosen], predicted, strict=True)
    return np.stack([count_error_kinds(find_error_kinds(*pair), *pair, len(run.palette)) for pair in pairs])


def test_the_gallery_counts_once_and_says_what_the_error_is_made_of(open_on: Open, trained: object, run: Run) -> None:
    at = open_on(trained.dataset, run.folder.parent, "gallery", view="Kinds of error")
    assert (list(at.exception), list(at.error)) == ([], [])
    count = int((run.patches["part"] == "test").sum())
    assert f"predicts {count} patches and sorts every wrong pixel" in texts(at)
    at.button(key="count-kinds").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    counts = expected_counts(trained, run)
    missed = counts[:, 0].sum((0, 1))
    assert f"**{100 * missed.max() / missed.sum():.0f} %** of all wrong pixels" in texts(at)
    table = next(frame.value for frame in at.dataframe if "boundary_pixels" in frame.value)
    for place, kind in enumerate(KINDS):
        by_class = table.pivot_table(f"{kind}_pixels", "class", "side", sort=False).loc[list(run.palette.names)]
        np.testing.assert_array_equal(by_class[["missed", "invented"]].to_numpy().T, counts.sum(0)[..., place])
    # Another session finds it counted; a kind, a side and a class come from the address.
    name = run.palette.names[1]
    query = {"view": "Kinds of error", "kind": "Extent", "kind-side": "Invented", "class": name}
    at = open_on(trained.dataset, run.folder.parent, "gallery", **query)
    assert not [button for button in at.button if button.key == "count-kinds"]
    of_kind = counts[:, 1, 1, KINDS.index("extent")]
    assert f"**{(of_kind > 0).sum()}** of {len(run.patches)} patches" in texts(at)
    shown = re.search(r"\*\*([\d,]+) invented pixels of \S+ of kind extent", texts(at))
    assert shown
    assert int(shown[1].replace(",", "")) == of_kind.max()


def test_a_run_that_cannot_predict_says_what_to_do(open_on: Open, trained: object, run: Run) -> None:
    (run.folder / "best.keras").unlink()
    at = open_on(trained.dataset, run.folder.parent, "gallery", run="tiny", view="Kinds of error")
    assert not at.exception
    assert "has neither a model nor predictions here" in texts(at)
    assert "Choose another run" in texts(at)


def test_the_explorer_draws_kinds_of_the_true_class_or_of_one(open_on: Open, trained: object, run: Run) -> None:
    query = {"scene": trained.dataset.scenes[1].name, "patch": "r00c01", "show": "Kinds of error"}
    at = open_on(trained.dataset, run.folder.parent, "explorer", **query)
    assert (list(at.exception), list(at.error)) == ([], [])
    bodies = [element.proto.body for element in at.get("html")]
    legend = next(body for body in bodies if 'aria-label="Kinds of error"' in body)
    assert all(color in legend for color in KIND_COLORS)
    assert "Hatched" not in legend
    at = open_on(trained.dataset, run.folder.parent, "explorer", **query, **{"kinds-of": run.palette.names[0]})
    assert (list(at.exception), list(at.error)) == ([], [])
    assert any("Hatched: invented" in element.proto.body for element in at.get("html"))


def test_a_shrunk_picture_shows_the_kinds_of_the_whole() -> None:
    """Sorted before it is shrunk: a strip of two pixels would be none in half the size."""
    truth = np.zeros((80, 100), np.uint8)
    truth[20:60, 20:60] = 1
    predicted = np.roll(truth, 2, 1)
    rows, columns = np.arange(0, 80, 2), np.arange(0, 100, 2)
    kinds = kinds_at(truth, predicted, rows, columns)
    for of, whole in zip(kinds, find_error_kinds(truth, predicted), strict=True):
        np.testing.assert_array_equal(of, whole[::2, ::2])


def test_a_map_of_kinds_has_their_colours_and_hatches_what_is_invented() -> None:
    image = np.full((6, 12, 3), 90, np.uint8)
    missed, invented = np.zeros((2, 6, 12), np.uint8)
    missed[:, 0], missed[:, 1] = 1, 3
    invented[:, 4:] = 2
    drawn = kinds_map(image, missed, invented)
    rgb = [tuple(bytes.fromhex(color[1:])) for color in KIND_COLORS]
    assert (drawn[:, 0] == rgb[0]).all()
    assert (drawn[:, 1] == rgb[2]).all()
    striped = (drawn[:, 4:] == rgb[1]).all(-1)
    assert striped.any()
    assert not striped.all()
    assert (drawn[:, 2:4] > 180).all()
    assert (kinds_map(image, missed)[:, 4:] > 180).all()


def test_the_chart_stacks_shares_that_sum_to_all_and_skips_what_has_no_error() -> None:
    counts = np.array([[[1, 2, 1], [0, 0, 0]], [[0, 0, 5], [3, 1, 0]]])
    figure = kinds_figure(counts, ["A", "<b>"])
    assert len(figure.data) == 6
    missed, invented = ([bar.x for bar in figure.data[start : start + 3]] for start in (0, 3))
    np.testing.assert_allclose([float(x[0]) for x in missed], [25, 50, 25])
    assert all(np.isnan(x[1]) for x in missed)
    np.testing.assert_allclose([float(x[1]) for x in invented], [75, 25, 0])
    assert figure.data[0].y[1] == "&lt;b&gt;"
