"""Training logs of a million rows, each read in a process of its own: seconds, and the most memory it had.

The CSV file is as Lightning writes it at every step, the event file as PyTorch does: four scalars at each of 250,000
steps.
"""

import struct
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measuring import alone, megabytes, print_header, print_row, seconds
from segmentation.runs.logs.history import read_history
from segmentation.runs.logs.records import checksums

ROWS = 1_000_000

TAGS = (b"train/loss", b"val/loss", b"train/iou", b"lr")


def table() -> bytes:
    """Return a table of steps, of which every thousandth ends an epoch."""
    losses = np.random.default_rng(0).random(ROWS)
    rows = (
        b"%d,%d,%s,%s\n" % (row // 1000, row, b"" if last else b"%.6f" % loss, b"%.6f" % loss if last else b"")
        for row, loss in enumerate(losses)
        for last in (row % 1000 == 999,)
    )
    return b"epoch,step,train_loss_step,val_loss\n" + b"".join(rows)


def events() -> bytes:
    """Return an event file of scalars."""
    messages = []
    for row in range(ROWS):
        tag, step = TAGS[row % len(TAGS)], row // len(TAGS) + 128 * 128  # whose numbers have three bytes
        value = b"\x0a%c%s\x15%s" % (len(tag), tag, struct.pack("<f", 1 / (row + 1)))
        summary = b"\x0a%c%s" % (len(value), value)
        number = bytes([step & 127 | 128, step >> 7 & 127 | 128, step >> 14])
        messages.append(b"\x09%s\x10%s\x2a%c%s" % (struct.pack("<d", row), number, len(summary), summary))
    sizes = np.array([len(message) for message in messages])
    data = b"".join(messages)
    heads = sizes.astype("<u8").tobytes()
    of_sizes = checksums(np.frombuffer(heads, np.uint8), np.arange(ROWS) * 8, np.full(ROWS, 8))
    of_data = checksums(np.frombuffer(data, np.uint8), np.cumsum(sizes) - sizes, sizes)
    frames = zip(messages, sizes.tolist(), of_sizes.tolist(), of_data.tolist(), strict=True)
    return b"".join(struct.pack(f"<QI{size}sI", size, one, message, two) for message, size, one, two in frames)


def read(path: Path) -> tuple[float, float]:
    """Return how many seconds a log takes to read, and the most megabytes that the process had."""
    return seconds(lambda: read_history(path)), megabytes()


def main() -> None:
    """Print the section."""
    print_header(["log", "size", "read in", "memory"])
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("metrics.csv", table()), ("events.out.tfevents.1", events())):
            path = Path(folder, name)
            path.write_bytes(content)
            took, most = alone(read, path)
            print_row(f"{name}, {ROWS:,} rows", f"{len(content) / 1e6:.0f} MB", f"{took:.1f} s", f"{most:.0f} MB")


if __name__ == "__main__":
    main()
