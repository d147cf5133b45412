"""All measurements, or some of them, into docs/benchmarks.md.

``python -m benchmarks`` takes an hour and wants the machine to itself; ``python -m benchmarks scenes maps`` replaces
these two sections.
"""

import ast
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import tyro

from segmentation.data.locate import PROJECT

REPORT = PROJECT / "docs" / "benchmarks.md"


class Section(NamedTuple):
    """A part of the report.

    Args:
        title: Its heading.
        command: A module of benchmarks and its arguments.
    """

    title: str
    command: tuple[str, ...]


SECTIONS = (
    Section("Preparing patches", ("preparation",)),
    Section("Training", ("training",)),
    Section("Backends", ("backends",)),
    Section("Data sets of any size", ("growth",)),
    Section("Scenes", ("scenes",)),
    Section("Objects", ("objects",)),
    Section("Label audit", ("audit",)),
    Section("Embeddings", ("embedding",)),
    Section("Orthophotos", ("maps",)),
    Section("Engines", ("engines",)),
    Section("Training logs", ("logs",)),
    Section("Start", ("start",)),
    Section("Clicks", ("clicks",)),
    Section("Clicks in a data set a hundred times as large", ("clicks", "--times", "100")),
    Section("Ten people at once", ("load",)),
)


def introduction(module: str) -> str:
    """Return what a benchmark says about itself."""
    source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source))


def measure(section: Section) -> str:
    """Run a benchmark and return its section."""
    module, *arguments = section.command
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    run = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603 (our own)
    shown = " ".join(["python -m benchmarks." + module, *arguments])
    where = f"{os.cpu_count()} cores of {processor()}, {time.strftime('%Y-%m-%d')}"
    return f"{introduction(module)}\n\n`{shown}` on {where}:\n\n{run.stdout.strip()}\n"


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def read_report() -> dict[str, str]:
    """Return the report's sections by their titles."""
    parts = REPORT.read_text(encoding="utf-8").split("\n## ")[1:] if REPORT.exists() else []
    return {title: body.strip() + "\n" for title, body in (part.split("\n", 1) for part in parts)}


def write_report(sections: dict[str, str]) -> None:
    """Write the report, in the order of `SECTIONS`."""
    text = "# Benchmarks\n\nWritten by `python -m benchmarks` (benchmarks/requirements.txt, the real set in data/).\n"
    for section in SECTIONS:
        if section.title in sections:
            text += f"\n## {section.title}\n\n{sections[section.title]}"
    REPORT.write_text(text, encoding="utf-8")


def main(names: tyro.conf.Positional[tuple[str, ...]] = ()) -> None:
    """Measure and write.

    Args:
        names: Modules of benchmarks; all by default.
    """
    sections = read_report()
    for section in SECTIONS:
        if not names or section.command[0] in names:
            print(f"{section.title} …", flush=True)
            sections[section.title] = measure(section)
            write_report(sections)


if __name__ == "__main__":
    tyro.cli(main)
