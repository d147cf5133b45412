"""What happens once, when the server starts."""

import asyncio
import importlib
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

import streamlit as st

LISTENING = 0.5
"""Seconds after which the server surely answers."""


@asynccontextmanager
async def started(app: st.App) -> AsyncIterator[None]:
    """Open the browser, and import what the pages need while it loads its own part.

    Args:
        app: The dashboard.
    """
    Thread(target=importlib.import_module, args=("segmentation.ui.home",), daemon=True).start()
    if not st.get_option("server.headless"):  # Streamlit opens it for plain scripts only
        address = f"http://localhost:{st.get_option('server.port')}"
        asyncio.get_running_loop().call_later(LISTENING, webbrowser.open, address)
    yield
