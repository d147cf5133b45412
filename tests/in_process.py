"""The command line in the test's own process, where what a process of its own does is tested elsewhere.

An interpreter that imports NumPy, pandas and ONNX Runtime takes longer than most commands on a few small scenes. Not
for `train`, which keeps the memory that the process frees, so that what later tests measure would not be theirs.
"""

import io
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest import mock

from segmentation.__main__ import main
from segmentation.data.locate import PROJECT


def run_in_process(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command as ``python -m segmentation`` in the project's folder does, and return what it printed."""
    words, polite = [*map(str, arguments)], signal.getsignal(signal.SIGTERM)
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["__main__.py", *words]),
        chdir(PROJECT),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            code = main()
        except SystemExit as ended:  # wrong usage, or help
            code = ended.code
        finally:
            signal.signal(signal.SIGTERM, polite)
    return subprocess.CompletedProcess(words, code or 0, stdout.getvalue(), stderr.getvalue())
