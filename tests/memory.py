"""What the process takes of memory, by the kernel's own figures."""

import re
from pathlib import Path


def reset_peak() -> float:
    """Let the kernel forget the process's peak of memory, and return what it takes now, in megabytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return float("inf")  # not on Linux: no figure, no bound
    return memory("VmRSS")


def memory(kind: str) -> float:
    """Return a figure of the process's memory by its name in the kernel's status, such as VmHWM, in megabytes."""
    status = Path("/proc/self/status")
    return int(re.search(rf"{kind}:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else 0.0
