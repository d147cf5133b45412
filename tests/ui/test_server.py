"""The start of the server."""

import ast
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from segmentation.data.locate import PROJECT


def test_the_dashboard_opens_in_the_browser(tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    os.mkfifo(opened)
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py"), "--server.headless=false"]
    environment = {**os.environ, "BROWSER": str(browser), "SEGMENTATION_RUNS": str(tmp_path / "runs")}
    with subprocess.Popen([*command, f"--server.port={port}"], cwd=tmp_path, env=environment) as server:
        try:
            address = subprocess.run(["cat", opened], capture_output=True, text=True, timeout=60).stdout.strip()
            assert address == f"http://localhost:{port}"
            assert b"<title>" in urllib.request.urlopen(address, timeout=60).read()  # noqa: S310 (our own server)
        finally:
            server.terminate()
    assert server.returncode in (0, -15)


def test_what_the_first_page_needs_is_imported_when_the_server_starts() -> None:
    """In an interpreter of its own: whatever app.py imports is there before a visitor comes."""
    imports = [
        node.module
        for node in ast.walk(ast.parse((PROJECT / "app.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    script = (
        "import sys, segmentation.ui.server as server; server.import_first_page(); "
        f"print([name for name in {imports!r} if name not in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert len(imports) > 8
    assert told.stdout.strip() == "[]"
