"""Label points from a mask, in place of a person who looks at the image: for trying out areas on labelled scenes.

    python examples/label_points.py POINTS.geojson MASK.png LABELLED.geojson

The points are those that ``python -m segmentation sample`` draws on a map that does not say where it lies.
"""

import json
import sys
from pathlib import Path

from segmentation import Palette
from segmentation.data.images import read_mask
from segmentation.data.palette import DUBAI, VOID


def label_points(points: Path, mask: Path, labelled: Path, palette: Palette = DUBAI) -> None:
    """Write the points with the name of the class that the mask has there; with no label where it has none."""
    content = json.loads(points.read_text(encoding="utf-8"))
    classes = read_mask(mask, palette)
    for feature in content["features"]:
        x, y = feature["geometry"]["coordinates"]
        index = classes[int(y), int(x)]
        feature["properties"]["label"] = "" if index == VOID else palette.names[index]
    labelled.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    label_points(*map(Path, sys.argv[1:]))
