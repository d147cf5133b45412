"""Which folders may be read from the page in sight."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from segmentation.data.locate import allowed_folders
from segmentation.runs.run import SHIPPED

LOOPBACK = ("localhost", "127.0.0.1", "::1")


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
