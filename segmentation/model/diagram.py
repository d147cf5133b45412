"""The U of a network, read off the model itself: blocks of equal size, their output shapes, and the skips between."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def describe(model: "keras.Model") -> dict:
    """Return the network's blocks in order, JSON-ready, so that a page can draw them without loading the model.

    A block is a stretch of layers whose outputs have one size. A skip is a concatenation that reaches back to an
    earlier block.

    Args:
        model: A network with one image in and one map out.

    Returns:
        ``name``, ``parameters``, ``blocks`` (each ``shape`` (height, width, channels) and ``layers``, how many of which
        kind), ``skips`` (pairs of block indices) and ``output`` (height, width, classes).
    """
    blocks: list[dict] = []
    skips: list[list[int]] = []
    block_of_tensor: dict[int, int] = {}
    for layer in model.layers[:-1]:
        height, width, channels = layer.output.shape[1:]
        if not blocks or blocks[-1]["shape"][:2] != [height, width]:
            blocks.append({"shape": [], "layers": {}})
        kind = type(layer).__name__
        blocks[-1]["shape"] = [height, width, channels]
        blocks[-1]["layers"][kind] = blocks[-1]["layers"].get(kind, 0) + 1
        here = len(blocks) - 1
        block_of_tensor[id(layer.output)] = here
        if kind == "Concatenate":
            for x in layer.input:
                origin = block_of_tensor[id(x)]
                if origin != here:
                    skips.append([origin, here])
                    # What a block hands on is its output, even if a layer behind it widens it on the way down.
                    blocks[origin]["shape"] = list(x.shape[1:])
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "blocks": blocks,
        "skips": skips,
        "output": list(model.output.shape[1:]),
    }


def draw(description: dict) -> str:
    """Draw the U in text: the contracting path at the left, the expanding one at the right, skips as arrows.

    Args:
        description: What `describe` returns.
    """
    blocks, skips = description["blocks"], dict(description["skips"])
    shapes = [" × ".join(f"{side:3d}" for side in block["shape"]) for block in blocks]
    bottom = min(range(len(blocks)), key=lambda i: blocks[i]["shape"][0])
    inner = 4 * bottom + 16
    lines = []
    for level in range(bottom):
        arrow = "─" * (inner - 8 * level - 1) + "▶" if level in skips else " " * (inner - 8 * level)
        right = shapes[skips[level]] if level in skips else ""
        lines += [" " * 4 * level + f"{shapes[level]}  {arrow}  {right}".rstrip()]
        lines += [" " * (4 * level + 2) + "↓" + " " * (inner - 8 * level + 18) + "↑"]
    lines.append(" " * 4 * bottom + shapes[bottom])
    output = " × ".join(str(side) for side in description["output"])
    return "\n".join([*lines, "", f"out: {output} probabilities, {description['parameters']:,} parameters"])
