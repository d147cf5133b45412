"""What happens once, when the server starts."""

import asyncio
import ctypes
import importlib
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread

import streamlit as st

LISTENING = 0.5
"""Seconds after which the server surely answers."""

M_ARENA_MAX = -8
"""The option of glibc's ``mallopt`` that says how many threads may keep a stock of memory of their own."""


@asynccontextmanager
async def started(app: st.App) -> AsyncIterator[None]:
    """Open the browser, and import what the pages need while it loads its own part.

    Args:
        app: The dashboard.
    """
    with suppress(OSError, AttributeError):  # not Linux, or not with glibc
        # Every run of a page is a thread: with two stocks for all of them the server has a sixth less resident.
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, 2)
    Thread(target=importlib.import_module, args=("segmentation.ui.home",), daemon=True).start()
    if not st.get_option("server.headless"):  # Streamlit opens it for plain scripts only
        address = f"http://localhost:{st.get_option('server.port')}"
        asyncio.get_running_loop().call_later(LISTENING, webbrowser.open, address)
    yield
