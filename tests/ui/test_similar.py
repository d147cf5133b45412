"""Similar patches on the pages: computed on request, found from a card, listed across parts."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.patches import load_patches
from segmentation.inference.embedding import Embedder
from segmentation.runs.run import Run
from segmentation.ui.charts.similar import patch_map, sample_points
from segmentation.ui.loaders import similar

Open = Callable[..., AppTest]


@pytest.fixture
def run(trained: object, tmp_path: Path) -> Run:
    """A copy of the run, whose files may be removed."""
    return Run(shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny"))


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing was embedded before."""
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))
    for remembered in (similar._kept.cache_clear, similar._embedded.clear, similar._maps.clear):
        remembered()
    yield
    similar._kept.cache_clear()


def test_patches_are_embedded_once_and_a_card_leads_to_its_like(open_on: Open, trained: object, run: Run) -> None:
    at = open_on(trained.dataset, run.folder.parent, "gallery", run="tiny", view="Similar")
    assert (list(at.exception), list(at.error)) == ([], [])
    assert f"for 4 of 4 scenes that is still to be done, some {len(run.patches)} patches" in texts(at)
    at.button(key="embed").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert "by the encoder of tiny: near points look alike" in texts(at)
    # Another session, and another view: from a card there to what is most like it.
    at = open_on(trained.dataset, run.folder.parent, "gallery", run="tiny")
    button = next(button for button in at.button if (button.key or "").startswith("similar-"))
    patch = button.key.removeprefix("similar-")
    button.click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert at.text_input(key="like").value == patch
    vectors = np.concatenate(list(Embedder(run.model).batches(load_patches(trained.dataset, 32).images)))
    place = list(run.patches["patch"]).index(patch)
    cosines = vectors @ vectors[place]
    cosines[place] = -1
    first = cosines.argmax()
    assert f"The 24 patches most similar to `{patch}`" in texts(at)
    assert f"**Distance {1 - cosines[first]:.3f}" in texts(at)
    assert f"**1.** `{run.patches['patch'].iloc[first]}`" in texts(at)


def test_links_keep_what_was_chosen_and_unknown_names_are_said(open_on: Open, trained: object, run: Run) -> None:
    """Also of a run of predictions, whose patches the shipped encoder embeds."""
    (run.folder / "best.keras").unlink()
    query = {
        "run": "tiny",
        "view": "Similar",
        "color-by": "Tile",
        "similar-shown": "More like this",
        "like": "no/r00c00",
    }
    at = open_on(trained.dataset, run.folder.parent, "gallery", **query)
    assert "the encoder of dubai-best, since best.keras is missing" in texts(at)
    at.button(key="embed").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert "No patch of this run is called no/r00c00." in texts(at)
    assert at.segmented_control(key="color-by").value == "Tile"
    at.segmented_control(key="similar-shown").set_value("Near-duplicates").run()
    assert (list(at.exception), list(at.error)) == ([], [])
    pairs = next((frame.value for frame in at.dataframe if "similarity" in frame.value), pd.DataFrame())
    assert len(pairs) or "No two patches of different parts" in texts(at)
    assert (pairs.empty) or (pairs["part"] != pairs["like part"]).all()


def test_a_sample_has_its_share_of_each_stratum() -> None:
    strata = pd.Series(["a"] * 900 + ["b"] * 90 + ["c"])
    drawn = sample_points(strata, 100)
    counts = strata.iloc[drawn].value_counts()
    assert counts.to_dict() == {"a": 90, "b": 9, "c": 1}
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, sample_points(strata, 100))
    np.testing.assert_array_equal(sample_points(strata, 2000), np.arange(991))


def test_the_map_names_its_points_and_puts_small_groups_above() -> None:
    points = pd.DataFrame(
        {
            "x": [0.0, 1, 2],
            "y": [0.0, 1, 2],
            "patch": ["a/<b>", "a/c", "a/d"],
            "part": "Held out",
            "mean_iou": [0.5, np.nan, 1],
            "group": ["one", "two", "two"],
        }
    )
    figure = patch_map(points, np.array([0.6, 0.2]), ["one", "two"], marked=["a/d"])
    assert [trace.name for trace in figure.data[:2]] == ["two", "one"]
    assert [trace.legendrank for trace in figure.data[:2]] == [1, 0]
    assert figure.data[0].marker.color != figure.data[1].marker.color
    assert figure.data[0].marker.symbol != figure.data[1].marker.symbol
    assert list(figure.data[1].customdata) == ["a/<b>"]
    assert "&lt;b&gt;" in figure.data[1].text[0]
    assert (list(figure.data[2].x), "60 %" in figure.layout.xaxis.title.text) == ([2.0], True)
    plain = patch_map(points, np.array([0.6, 0.2]))
    assert plain.data[0].marker.cmin == 0
    assert plain.data[0].marker.cmax == 1
