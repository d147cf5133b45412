"""Links that were shared before the house was rebuilt (commit c427d41) still open, each value where it belongs."""

from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

ADDRESSES = {
    "browser": [
        "view=Scenes&tile=Tile+2&per-page=12&sort=Brightness&falling=false",
        "view=Patches&class=Water&share=20&size=32&split=scene&part=Held+out&sort=Contrast&per-page=60",
        "view=One+scene&scene=tile-2/image_part_002&grid=true&opacity=60&outlines=true",
        "view=One+tile&tile-shown=Tile+2&opacity=30",
        "view=Split&split-shown=patch",
        "view=Class+shares",
        "view=Health",
    ],
    "monitor": ["run=tiny&with=demo-unet&smoothing=60&log=true", "run=demo-unet"],
    "explorer": [
        "scene=tile-1/image_part_001&patch=r01c02&with=demo-unet&opacity=100&overlap=0",
        "scene=tile-1/image_part_001&wipe=true&left=Image&right=Prediction&least=40",
        "source=Random+patches&n=4&seed=7",
        "source=Upload",
        "source=Orthophoto",
    ],
    "gallery": [
        "part=Trained+on&by=Accuracy&order=Best+first",
        "class=Road&by=IoU+of+the+class",
        "rank=Tiles",
        "view=Causes&against=Contrast",
        "view=Confusions&true=Road&taken=Land",
        "view=Suspect+labels",
        "view=Two+runs&with=demo-unet",
    ],
}

NUMBERS = {"per-page", "share", "size", "opacity", "smoothing", "overlap", "least", "n", "seed"}


def value(key: str, text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if key in NUMBERS else text


@pytest.mark.parametrize(
    ("page", "address"), [(page, address) for page, addresses in ADDRESSES.items() for address in addresses]
)
def test_an_old_address_opens(open_page: Callable[..., AppTest], page: str, address: str) -> None:
    said = dict(parse_qsl(address))
    at = open_page(page, **said)
    assert not at.exception
    assert not [warning.value for warning in at.warning if "There is no" in warning.value]
    for key, text in said.items():
        kept = at.session_state[key]
        kept = kept[0] if isinstance(kept, list | tuple) and len(kept) == 1 else kept
        assert kept == value(key, text), key
