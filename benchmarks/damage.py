"""What damages files: numbers, values and cells in the place of others, turned bits, noise, and ends cut off."""

import copy

import numpy as np

NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    32,
    255,
    256,
    32_767,
    32_768,
    65_535,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)

VALUES = (
    *(None, True, False, "", "x", "nan", "1", "\ud800", "\0", "x" * 70_000, [], {}, [[]], {"": {}}),
    *(0, -1, 0.5, 2**31, 2**63, 10**400, -(10**40), 1e308, float("nan"), float("inf"), float("-inf")),
)
"""What takes the place of a value in JSON."""

CELLS = (
    "",
    " ",
    "NA",
    "nan",
    "inf",
    "-1e999",
    "1e308",
    "9" * 400,
    "0x1",
    "1_0",
    "epoch",
    "loss",
    '"',
    "'",
    "=1+1",
    "é\u2028",
    "1,5",
)
"""What takes the place of a cell in CSV."""


def turn_bits(content: bytearray, random: np.random.Generator) -> bytearray:
    """Turn eight bits."""
    for at in random.integers(0, len(content), 8):
        content[at] ^= 1 << int(random.integers(8))
    return content


def overwrite(content: bytearray, random: np.random.Generator) -> bytearray:
    """Write up to 200 bytes of noise, zeros or ones over others."""
    length = int(random.integers(1, 200))
    at = int(random.integers(len(content)))
    noise = random.bytes(length) if random.random() < 0.5 else bytes([int(random.choice([0, 255]))]) * length
    content[at : at + length] = noise
    return content


def cut(content: bytearray, random: np.random.Generator) -> bytearray:
    """Cut the end off, or put noise there."""
    return (
        content[: max(12, int(random.integers(len(content))))] if random.random() < 0.5 else content + random.bytes(99)
    )


def damaged_table(content: bytes, random: np.random.Generator) -> bytes:
    """Return a CSV file in which one to six cells, lines or bytes are changed."""
    rows = [line.split(b",") for line in content.split(b"\n")]
    for _ in range(random.integers(1, 7)):
        row = int(random.integers(len(rows))) if random.random() < 0.7 else 0
        column = int(random.integers(len(rows[row])))
        way = random.integers(9)
        if way <= 2:
            rows[row][column] = CELLS[random.integers(len(CELLS))].encode()
        elif way == 3:
            rows.insert(row, list(rows[random.integers(len(rows))]))
        elif way == 4 and len(rows) > 1:
            del rows[row]
        elif way == 5:
            rows[row] = rows[row][: column + 1] * int(random.choice([0, 1, 2, 50]) or 1)
        elif way == 6:
            rows.insert(row, list(rows[0]))
        elif way == 7:
            rows[row][column] = random.bytes(int(random.integers(1, 9)))
        else:
            rows = [cells[:column] + cells[column + 1 :] or [b""] for cells in rows]
    content = b"\n".join(b",".join(cells) for cells in rows)
    way = random.integers(12)
    if way == 0:
        return content.decode("utf-8", "replace").encode("utf-16")
    if way == 1:
        return content[: int(random.integers(len(content) + 1))]
    if way == 2:
        return content.replace(b",", [b";", b"\t", b"|", b" "][random.integers(4)])
    return bytes(turn_bits(bytearray(content), random)) if way == 3 and content else content


def change_value(content: dict | list, random: np.random.Generator) -> None:
    """Change one value, or take one out, somewhere in what a JSON file holds."""
    while content:
        place = int(random.integers(len(content)))
        key = list(content)[place] if isinstance(content, dict) else place
        if isinstance(content[key], dict | list) and content[key] and random.random() < 0.8:
            content = content[key]
            continue
        way = random.random()
        if way < 0.15:
            del content[key]
        elif way < 0.25 and isinstance(content, dict):
            content[str(VALUES[random.integers(len(VALUES))])] = content.pop(key)
        elif way < 0.35 and isinstance(content, list):
            content += content[:1] * int(random.choice([1, 5000]))
        else:
            content[key] = copy.deepcopy(VALUES[random.integers(len(VALUES))])  # it may be changed in its turn
        return
