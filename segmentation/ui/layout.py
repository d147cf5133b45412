"""What every page has in common: title, the sidebar's choice of data set and run, legend, sentences on errors."""

import html
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation.data.demo import make_demo
from segmentation.data.locate import DEMO_FOLDER, allowed_folders, default_folder, runs_folder
from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import NotAllowedError, RunError, SegmentationError
from segmentation.log import LOG, event, incident, start_log
from segmentation.runs.run import SHIPPED, Run, check_run_allowed, find_runs
from segmentation.ui import address
from segmentation.ui.address import SAFE
from segmentation.ui.loaders import load_fingerprint, progress_bar

Rows = TypeVar("Rows", pd.DataFrame, pd.Series)

HOME, BROWSER, MONITOR = "app.py", "pages/1_Dataset_browser.py", "pages/2_Training_monitor.py"
EXPLORER, GALLERY = "pages/3_Prediction_explorer.py", "pages/4_Worst-case_gallery.py"

PAGES = (
    (HOME, "Home", ":material/home:"),
    (BROWSER, "Dataset browser", ":material/grid_view:"),
    (MONITOR, "Training monitor", ":material/show_chart:"),
    (EXPLORER, "Prediction explorer", ":material/compare:"),
    (GALLERY, "Worst-case gallery", ":material/crisis_alert:"),
)
"""Each page's file, name and icon, in the sidebar's order."""

TURNED = "turned_with"
"""Session state: what was chosen when a page of rows was turned last."""

NARROWING = (
    *("data", "run", "view", "tile", "class", "share", "finding", "split", "part", "sort", "falling", "size"),
    *("per-page", "errors", "rank", "by", "order", "least-wrong", "true", "taken", "reviews", "with"),
)
"""Keys of what decides which rows there are, and in what order: another choice begins at their first page again."""

SCORED = "Scored are labelled pixels, and under protocol patch also void, which counts there as Unlabeled."
"""Which pixels scores are of, on every page."""

DATASET, WHOLE = "Data set", "Whole scene"
"""What the explorer shows first: the data set, and of that a whole scene."""

FOLDERS = "dataset_folders"
"""Session state: the data sets' folders that can be chosen, by their label."""

CHOSEN = "chosen_dataset"
"""Session state: the label of a data set to choose at the next run of the page."""

CHOSEN_RUN = "chosen_run"
"""Session state: the name of a run to choose at the next run of the page."""

OPENED = "opened_dataset"
"""Session state: folder of the data set that was opened last."""

REFUSED = "refused"
"""Session state: the sentences that are in the log already."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

STYLE = """
<style>
  /* Masks keep hard edges however the browser scales them. */
  [class*="st-key-pixels"] img { image-rendering: pixelated; border-radius: 4px; }
  .st-key-legend { position: sticky; top: 3.75rem; z-index: 90; background: var(--st-background-color); }
  .legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: .35rem 0; font-size: .85rem; }
  .legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px;
              border: 1px solid rgba(128, 128, 128, .6); vertical-align: -1px; }
  .st-key-pages { gap: 0; padding-bottom: .5rem; border-bottom: 1px solid var(--st-border-color); }
  /* All views of a page in one row, also on a small screen. */
  @media (max-width: 1100px) { [data-testid="stButtonGroup"] button { padding-inline: .6rem; } }
  /* What is told of a scene stands below it where there is no room beside. */
  @media (max-width: 1100px) { .st-key-one-scene [data-testid="stHorizontalBlock"] { flex-direction: column; }
                               .st-key-one-scene [data-testid="stColumn"] { width: 100%; } }
  .block-container { padding: 4rem clamp(1rem, 4vw, 4rem) 3rem; }
</style>
"""


@contextmanager
def page(title: str, question: str) -> Iterator[None]:
    """Set a page up and write its title and the one line that says what it answers; the page itself is the block."""
    st.set_page_config(page_title=f"{title} · Aerial segmentation", page_icon=":material/satellite_alt:", layout="wide")
    file = next((file for file, name, _ in PAGES if name == title), HOME)
    if address.arrive(file):
        st.session_state.pop(TURNED, None)
    st.html(STYLE)
    # What happens outside of a page's block, such as an import that fails, Streamlit logs there.
    if start_log(runs_folder(), "streamlit.error_util"):
        event("server start", address=st.get_option("server.address"), streamlit=st.__version__)
    with one_sentence():
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.title(title, anchor=False)
            with st.container(width="content"):
                address.copy_button()
        st.caption(question)
    place = st.sidebar.container(key="pages").empty()
    links = _link_pages(place, {})
    try:
        with one_sentence():
            yield
    finally:
        _link_pages(place, links)  # now that it is known which data set and run are in use
        address.leave(file)


def _link_pages(place: DeltaGenerator, drawn: dict[str, address.Parameters]) -> dict[str, address.Parameters]:
    """Link all pages in the sidebar, as they were left, unless that is drawn already; return the links by file."""
    links = {file: address.link_to(file) for file, _, _ in PAGES}
    if links != drawn:
        with place.container():
            for file, name, icon in PAGES:
                st.page_link(file, label=name, icon=icon, query_params=links[file])
    return links


def plain(text: object) -> str:
    """Return Markdown that shows a text as it is: names come from files and from people."""
    text = " ".join(str(text).split())
    text = re.sub(r"[\\`*_\[\]<>$~|#!]|:(?=\w)", r"\\\g<0>", text)
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)  # what would begin a list


def code(text: object) -> str:
    """Return Markdown that shows a text as code."""
    return f"`{' '.join(str(text).split()).replace('`', chr(39))}`"


@contextmanager
def one_sentence(kind: type[SegmentationError] = SegmentationError) -> Iterator[None]:
    """Show an error as one sentence, and go on with the rest of the page.

    An error of the user's is its own sentence; one that is not of this kind goes on. Any other is in the log with its
    traceback, and the sentence says where.
    """
    try:
        yield
    except kind as error:
        refuse(error)
    except SegmentationError:
        raise
    except Exception as error:
        reference, place = incident(error), code(f"{runs_folder().name}/{LOG}")
        st.error(
            f"Something went wrong (reference {reference}): reload the page, or look the reference up in {place}.",
            icon=":material/error:",
        )


def refuse(error: SegmentationError, about: str = "") -> None:
    """Show an error of the user's as its one sentence, and log it once a session.

    Args:
        error: What was raised.
        about: A name to put before the sentence.
    """
    sentence = f"{about}: {error}" if about else str(error)
    logged = st.session_state.setdefault(REFUSED, set())
    if sentence not in logged:  # pages run again at every click
        logged.add(sentence)
        event("refused", kind=type(error).__name__, sentence=sentence)
    st.error(plain(sentence), icon=":material/error:")


def is_private(address: str | None, headers: Mapping[str, str]) -> bool:
    """Tell whether only the person who started the server is answered.

    A proxy may stand before a server on localhost: it passes on by which name it was asked, or says for whom it asks.

    Args:
        address: That the server listens on; None for all.
        headers: Of the browser's request.
    """
    asked = urlsplit(headers.get("Origin", "")).hostname
    return address in LOOPBACK and asked in LOOPBACK and "X-Forwarded-For" not in headers


def readable() -> tuple[Path, ...]:
    """Return the folders below which this page may read."""
    private = is_private(st.get_option("server.address"), st.context.headers)
    return (*allowed_folders(private), SHIPPED)


def looking_at(scene: str, patch: str = WHOLE) -> dict[str, str]:
    """Return what the explorer's address says of a scene or one of its patches."""
    return {"scene": scene} | ({} if patch == WHOLE else {"patch": patch})


def say_unknown(kind: str, key: str, known: Collection[str]) -> None:
    """Say that a link names what is not here; to be called before the widget that is bound to it."""
    if key not in st.session_state:  # later, what the address holds comes from the widget
        for name in st.query_params.get_all(key):
            if name not in known:
                _warn_of_unknown(kind, name)


def _warn_of_unknown(kind: str, name: str) -> None:
    st.warning(plain(f"There is no {kind} {name} here: choose another one."), icon=":material/link_off:")


def _settle(kind: str, key: str, known: Collection[str], default: Callable[[], str], wanted: str | None = None) -> str:
    """Decide on the data set or the run to use, and let the address name it.

    Args:
        kind: What it is, for people.
        key: The parameter, and the key of the widget that shows it.
        known: What can be chosen.
        default: Called for what to use where nothing was chosen yet.
        wanted: Use this, whatever the address says.
    """
    settled = address.settled()
    name = wanted or st.query_params.get(key)
    if name not in known:
        if name:
            _warn_of_unknown(kind, name)
        name = settled[key] if settled.get(key) in known else default()
    if wanted:  # the rest follows when the page is drawn: see `address.leave`
        st.query_params[key] = name
    settled[key] = st.session_state[key] = name
    return name


def dataset_folders() -> dict[str, Path]:
    """Return the folders that can be chosen, by label; the first is the default on this machine."""
    if FOLDERS not in st.session_state:
        st.session_state[FOLDERS] = {}
        add_folder(default_folder())
        add_folder(DEMO_FOLDER)
    return st.session_state[FOLDERS]


def add_folder(folder: Path) -> str:
    """Make `folder` one that can be chosen, and return its label: its name, with a number if two share it."""
    folders = st.session_state[FOLDERS]
    folder = folder.expanduser().resolve()
    for label, known in folders.items():
        if known == folder:
            return label
    name = "Demo city" if folder == DEMO_FOLDER else folder.name
    label, number = name, 2
    while label in folders:
        label, number = f"{name} ({number})", number + 1
    folders[label] = folder
    return label


def choose_dataset() -> Dataset | None:
    """Let the user choose a data set in the sidebar; make the demo set if it is chosen and not there yet.

    Returns:
        The data set, or None after a sentence that says why there is none.
    """
    folders = dataset_folders()
    wanted = st.session_state.pop(CHOSEN, None)
    if wanted:
        _forget_run()
    _settle("data set", "data", folders, lambda: next(iter(folders)), wanted)
    label = st.sidebar.selectbox(
        "Data set",
        list(folders),
        key="data",
        on_change=_follow_dataset,
        help="Labelled scenes. Add a folder of your own on the home page.",
    )
    try:
        if folders[label] == DEMO_FOLDER:
            _make_demo()
        dataset = find_dataset(folders[label], readable())
    except SegmentationError as error:
        st.warning(f"{plain(error)} Or choose another data set in the sidebar.", icon=":material/folder_off:")
        return None
    if st.session_state.get(OPENED) != dataset.root:
        st.session_state[OPENED] = dataset.root
        event("data set opened", folder=dataset.root, scenes=len(dataset.scenes))
    return dataset


def _make_demo() -> None:
    """Make the demo set, with progress if it is not there yet."""
    with progress_bar("First start: making the demo set, scenes …") as progress:
        make_demo(DEMO_FOLDER, progress)


def _follow_dataset() -> None:
    """Let the address name the data set that was chosen."""
    st.query_params["data"] = address.settled()["data"] = st.session_state["data"]
    _forget_run()


def _forget_run() -> None:
    """Another data set: its own run is the better default than the last one chosen, and pages begin anew."""
    st.query_params.pop("run", None)
    address.settled().pop("run", None)
    address.forget_pages()


def known_runs() -> list[Run]:
    """Return the runs of this machine, then the shipped ones; without those that may not or cannot be read."""
    folders, runs = readable(), []
    for run in find_runs(runs_folder(), SHIPPED):
        with suppress(NotAllowedError, RunError):
            check_run_allowed(run, folders)
            runs.append(run)
    return runs


def other_runs(run: Run, fits: Callable[[Run], bool]) -> dict[str, Run]:
    """Return the other runs of a run's classes that fit, by name; this machine's come first."""
    found: dict[str, Run] = {}
    for other in known_runs():
        if other.name != run.name and other.palette == run.palette and fits(other):
            found.setdefault(other.name, other)
    return found


def choose_opacity(percent: int) -> float:
    """Let the user choose how much masks cover of the image, 0–1; at first `percent`."""
    chosen = st.slider(
        "Mask opacity, %",
        0,
        100,
        percent,
        step=5,
        key="opacity",
        bind="query-params",
        help="0 shows the image, 100 the mask.",
    )
    return chosen / 100


def choose_mask_style(palette: Palette) -> tuple[bool, list[int] | None]:
    """Let the user choose whether masks are outlines, and the class indices that are drawn; None for all."""
    outlined = st.toggle("Outlines", key="outlines", bind="query-params", help="Draw only the classes' borders.")
    shown = st.multiselect(
        "Classes shown",
        palette.names,
        key="only",
        bind="query-params",
        placeholder="All classes",
        help="Lay only these classes over the image.",
    )
    return outlined, [palette.names.index(name) for name in shown] or None


def default_run(dataset: Dataset | None, runs: list[Run]) -> Run:
    """Return the finished run that fits a data set best: trained on it, else of its classes, else any.

    Of equals it is this machine's newest, then the first of those shipped: their names put `dubai-best` first. Only
    where no run at all is finished, it is one that is not.
    """
    finished = [run for run in runs if run.status["state"] == "finished"] or runs
    shipped = [run for run in finished if run.folder.parent == SHIPPED]
    ours = [run for run in finished if run.folder.parent != SHIPPED]
    fitting = sorted(ours, key=lambda run: run.status.get("heartbeat", 0), reverse=True) + shipped
    if dataset is None:
        return fitting[0]
    alike = [run for run in fitting if run.model and run.palette == dataset.palette]
    sized = [run for run in alike if run.config.get("dataset", {}).get("scenes") == len(dataset.scenes)]
    if sized:  # only then: every file is read for the fingerprint
        fingerprint = load_fingerprint(dataset)
        alike = [run for run in sized if run.fingerprint == fingerprint] + alike
    return (alike or fitting)[0]


def say_other_files(run: Run, dataset: Dataset, therefore: str) -> None:
    """Say what follows if a run was evaluated on other files than a data set of the same scenes holds now."""
    if run.fingerprint != load_fingerprint(dataset):
        st.warning(
            f"{plain(run.name)} was evaluated on other files than these, or they have changed since: {therefore}. "
            "Choose its data set, or evaluate it on this one.",
            icon=":material/difference:",
        )


def choose_run(dataset: Dataset | None) -> Run | None:
    """Let the user choose a run in the sidebar; None after a sentence if there is none."""
    for found in find_runs(runs_folder()):
        with one_sentence():
            check_run_allowed(found, readable())
    runs = settle_run(dataset)
    if not runs:
        st.sidebar.info("No run yet: train one with `python -m segmentation train --name first`.")
        return None
    name = st.sidebar.selectbox(
        "Run",
        list(runs),
        key="run",
        on_change=_follow_run,
        help="A training run: its model predicts, its held-out part is scored. Yours come first.",
    )
    # Not in the list itself: the browser names its choice by what it reads there, and a training's state changes.
    unfinished = [f"{run.name} ({run.status['state']})" for run in runs.values() if run.status["state"] != "finished"]
    if unfinished:
        st.sidebar.caption(plain(f"Not finished: {', '.join(unfinished)}."))
    return runs[name]


def settle_run(dataset: Dataset | None) -> dict[str, Run]:
    """Let the address name the run in use, or else the default; return the runs to choose from, by name."""
    runs = {run.name: run for run in reversed(known_runs())}  # of two of one name this machine's
    runs = dict(reversed(runs.items()))
    if runs:
        wanted = st.session_state.get(CHOSEN_RUN)
        if wanted in runs:
            del st.session_state[CHOSEN_RUN]
        _settle(
            "run",
            "run",
            runs,
            lambda: default_run(dataset, list(runs.values())).name,
            wanted if wanted in runs else None,
        )
    return runs


def _follow_run() -> None:
    """Let the address name the run that was chosen."""
    st.query_params["run"] = address.settled()["run"] = st.session_state["run"]


def legend(palette: Palette, void: bool = False) -> None:
    """Show the classes' colours, always in sight while the page scrolls."""
    with st.container(key="legend", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        place = st.container()
        st.toggle(
            "Colour-blind colours",
            key=SAFE,
            bind="query-params",
            help="Draw the classes in colours that colour-blind eyes tell apart. Files keep their own colours.",
        )
    palette = drawn(palette)
    entries = [(palette.hex(index), name) for index, name in enumerate(palette.names)]
    if void:
        entries.append((palette.hex(VOID), VOID_NAME))
    chips = "".join(f'<span><i style="background:{color}"></i>{html.escape(name)}</span>' for color, name in entries)
    place.html(f'<div class="legend" role="list" aria-label="Classes">{chips}</div>')


def drawn(palette: Palette) -> Palette:
    """Return the colours to draw the classes in, as the switch in the legend says."""
    return palette.colour_blind_safe() if st.session_state.get(SAFE) else palette


def protocol_line(metrics: dict) -> str:
    """Say where scores come from: protocol, patches, pixels."""
    protocol, patches, pixels = plain(metrics["protocol"]), metrics["patches"], metrics["pixels"]
    return f"protocol {protocol} · {patches:,} held-out patches · {pixels:,} scored pixels"


def score(value: float | None) -> str:
    """Show a score with three decimals, and a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.3f}"


def in_classes(count: float) -> str:
    """Say over how many classes a mean is."""
    return "1 class" if count == 1 else f"{int(count)} classes"


def turn_pages(table: Rows, size: int, total: int, unit: str) -> Rows:
    """Say how many rows match, let the user turn pages, and return the rows of the page in sight.

    Args:
        table: The rows that match.
        size: Rows a page.
        total: Rows before filtering.
        unit: What a row is, in the plural.
    """
    pages = max(1, -(-len(table) // size))
    chosen = {key: st.session_state.get(key) for key in NARROWING}
    if st.session_state.setdefault(TURNED, chosen) != chosen:  # other rows than those whose pages were turned
        st.session_state["page"] = 1
    st.session_state[TURNED] = chosen
    if st.session_state.get("page", 1) > pages:  # a link to more pages than there are
        st.session_state["page"] = pages
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{len(table):,}** of {total:,} {unit}")
        # As wide as its buttons: left to itself, it hides pages that would fit.
        page = st.pagination(pages, key="page", bind="query-params", width=44 * (min(pages, 8) + 2))
    if table.empty:
        st.info("Nothing matches: loosen the filters in the sidebar.", icon=":material/filter_alt_off:")
    return table.iloc[(page - 1) * size : page * size]
