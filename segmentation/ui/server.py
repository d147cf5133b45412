"""The server: how it is run, and what happens once, when it starts."""

import asyncio
import importlib
import pkgutil
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread

import click
import streamlit as st
from streamlit.web import cli
from streamlit.web.server.server_util import get_url

from segmentation.allocator import return_freed_memory
from segmentation.data.locate import DASHBOARD

LISTENING = 0.5
"""Seconds after which the server surely answers."""


def serve(port: int, address: str, browser: bool) -> None:
    """Run the dashboard until it is stopped.

    Args:
        port: Where it listens.
        address: Who is answered: ``localhost`` for this machine only.
        browser: Whether to open the browser.
    """
    options = {"server.port": port, "server.address": address, "server.headless": str(not browser).lower()}
    words = [f"--{name}={value}" for name, value in options.items()]
    with suppress(click.Abort):  # that is how Ctrl-C ends it
        cli.main(["run", str(DASHBOARD / "app.py"), *words], standalone_mode=False)


@asynccontextmanager
async def started(app: st.App) -> AsyncIterator[None]:
    """Keep little freed memory, open the browser, and import what pages need while it loads its own part.

    Args:
        app: The dashboard.
    """
    return_freed_memory()
    Thread(target=import_first_page, daemon=True).start()
    if not st.get_option("server.headless"):  # Streamlit opens it for plain scripts only
        asyncio.get_running_loop().call_later(LISTENING, webbrowser.open, get_url("localhost"))
    yield


def import_first_page() -> None:
    """Import the modules that the home page is made of, and with them what they need."""
    for package in ("segmentation.ui.shell", "segmentation.ui.home"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
