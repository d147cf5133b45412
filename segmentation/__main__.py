"""The command line: ``segmentation <command> --help``, or ``python -m segmentation`` in its place.

Exit codes: 0 done, 1 refused with one sentence, 2 wrong usage, 3 done but some files could not be used,
130 stopped by the user.
"""

import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

import tyro

from segmentation.commands.adding import add
from segmentation.commands.areas import areas, sample
from segmentation.commands.auditing import audit, rescore
from segmentation.commands.dashboard import dashboard
from segmentation.commands.datasets import data, demo, download, pack
from segmentation.commands.prediction import predict
from segmentation.commands.reporting import report
from segmentation.commands.training import evaluate, export, ship, summary, train
from segmentation.errors import REFUSED, STOPPED, SegmentationError

COMMANDS: dict[str, Callable] = {
    "dashboard": dashboard,
    "data": data,
    "demo": demo,
    "download": download,
    "pack": pack,
    "summary": summary,
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "audit": audit,
    "rescore": rescore,
    "add": add,
    "predict": predict,
    "sample": sample,
    "areas": areas,
    "ship": ship,
    "export": export,
}


def _name_of_the_program() -> str:
    """Return what the user has typed: the installed command, or Python's way to run the package."""
    return "segmentation" if Path(sys.argv[0]).stem == "segmentation" else "python -m segmentation"


def main() -> int:
    """Run the command that was asked for and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):  # somebody has put something else in its place
            continue
        # Where the terminal's characters are few, names of files and classes are told by the numbers of theirs.
        stream.reconfigure(errors="backslashreplace")
    # A polite kill ends a command as Ctrl-C does: nothing is left half done, and a training can be resumed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog=_name_of_the_program(), description=__doc__)
    except SegmentationError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:  # what the system refuses elsewhere: its own sentence names the file
        print(f"{error}.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
