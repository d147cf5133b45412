"""Where labelled scenes and runs are on this machine, if the user does not say, and which folders pages may read."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from segmentation.errors import NotAllowedError

PROJECT = Path(__file__).parents[2]
"""The folder that holds the package: a checkout's, or that of all installed packages."""

_IS_CHECKOUT = (PROJECT / "app.py").is_file()

DASHBOARD = PROJECT if _IS_CHECKOUT else Path(__file__).parents[1] / "dashboard"
"""The folder that holds the dashboard's ``app.py`` and ``pages/``."""

HOME = PROJECT if _IS_CHECKOUT else user_data_path("aerial-segmentation", appauthor=False)
"""The folder for runs, demo set and downloads: the checkout, or this user's for an installed package."""

DATA_FOLDER = HOME / "data"
"""Where the real data set is downloaded to."""

VARIABLE = "SEGMENTATION_DATA"
"""Environment variable that names the data set's folder."""

RUNS_VARIABLE = "SEGMENTATION_RUNS"
"""Environment variable that names the folder of the runs."""

ALLOWED_VARIABLE = "SEGMENTATION_ALLOWED"
"""Environment variable that names the further folders that pages may read, separated as in PATH; empty for none."""

CACHE_VARIABLE = "SEGMENTATION_CACHE"
"""Environment variable that names the folder of what can be made again."""

DEMO_FOLDER = HOME / "demo-data"
"""Where the demo set is made on first start."""


def default_folder() -> Path:
    """Return the folder named by ``SEGMENTATION_DATA``, else ``data/`` in `HOME`, else the demo set's."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    return DATA_FOLDER if DATA_FOLDER.is_dir() else DEMO_FOLDER


def runs_folder() -> Path:
    """Return the folder that holds this machine's runs: ``SEGMENTATION_RUNS``, else ``runs/`` in `HOME`."""
    return Path(os.environ.get(RUNS_VARIABLE) or HOME / "runs").expanduser()


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``SEGMENTATION_CACHE``, else ``cache/`` in a checkout.

    An installed package's is this user's for caches.
    """
    own = PROJECT / "cache" if _IS_CHECKOUT else user_cache_path("aerial-segmentation", appauthor=False)
    return Path(os.environ.get(CACHE_VARIABLE) or own).expanduser()


def allowed_folders(private: bool) -> tuple[Path, ...]:
    """Return the folders below which pages may read: those in use by default, and those of ``SEGMENTATION_ALLOWED``.

    Args:
        private: Whether only the person who started the server is answered: unless the variable is set, their home
            folder is allowed too.
    """
    folders = [DATA_FOLDER, DEMO_FOLDER, default_folder(), runs_folder()]
    named = os.environ.get(ALLOWED_VARIABLE)
    if named is not None:
        folders += [Path(folder).expanduser() for folder in named.split(os.pathsep) if folder]
    elif private:
        with suppress(RuntimeError):  # an account without a home
            home = Path.home().resolve()
            folders += [home] if home != Path(home.anchor) else []  # some services' home is the whole disk
    return tuple(dict.fromkeys(folder.resolve() for folder in folders))


def check_allowed(path: Path, folders: Sequence[Path]) -> Path:
    """Return where a path leads once ``~``, ``..`` and all links are followed, if that is below one of `folders`.

    Args:
        path: Of a file or folder, which need not exist.
        folders: As `allowed_folders` returns them.

    Raises:
        NotAllowedError: If it leads anywhere else.
    """
    # A loop of links, a home that nobody has, a NUL: what leads nowhere is in no folder.
    with suppress(OSError, RuntimeError, ValueError):
        target = path.expanduser().resolve()
        if any(target.is_relative_to(folder) for folder in folders):
            return target
    raise NotAllowedError(
        f"{path} does not lie in a folder that pages may read, or leads out of it: whoever starts the dashboard names "
        f"further folders in {ALLOWED_VARIABLE}."
    )


def check_links(paths: Iterable[Path], within: Sequence[Path]) -> None:
    """Refuse what is a link out of `within`; of many links into one folder, one is followed for all.

    Args:
        paths: Of files and folders.
        within: As `allowed_folders` returns them.

    Raises:
        NotAllowedError: If so.
    """
    links = {}
    for path in paths:
        try:
            # By os, not by Path: of 14,400 files this takes a fraction of the time.
            target = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120
        except OSError:
            continue  # no link, or not there
        folder, name = os.path.split(target)
        links[path if name in ("", ".", "..") or os.path.islink(target) else folder] = path  # noqa: PTH114
    for link in links.values():
        check_allowed(link, within)
