"""The mask of an upload: in any encoding, and where nothing tells its classes as the user says, one by one."""

import hashlib
import html

import numpy as np
import streamlit as st

from segmentation.data.encodings import Encoding, Key, resized, same_shape
from segmentation.data.images import png_bytes, read_size
from segmentation.data.mask_contents import MaskLook, look_at
from segmentation.data.palette import SMEARED_ABOVE, VOID, VOID_NAME, Palette
from segmentation.data.recognition import Reading, recognise
from segmentation.data.scenes import Dataset, check_same_size
from segmentation.errors import ImageFileError
from segmentation.ui.loaders.caching import MEGABYTE, remembered
from segmentation.ui.pictures import highlight
from segmentation.ui.session import Upload, session
from segmentation.ui.shell.words import plain

UPLOAD_PIXELS = 64_000_000
"""Larger uploads are refused: what is predicted of each pixel takes twenty bytes."""

PICTURE = 96
"""Side of the picture that shows where a colour or value lies, in pixels."""


@remembered(16, key=lambda digest, content, name: digest)
def _load_look(digest: str, content: bytes, name: str) -> MaskLook:
    return look_at(content, name)


@remembered(
    256 * MEGABYTE,
    key=lambda digest, encoding, palette, content, name: (digest, encoding, palette),
    size=lambda mask: mask.nbytes,
)
def _load_mask(digest: str, encoding: Encoding, palette: Palette, content: bytes, name: str) -> np.ndarray:
    mask = encoding.read(content, palette, name)
    mask.flags.writeable = False
    return mask


def read_uploaded_mask(
    upload: Upload, palette: Palette, dataset: Dataset | None, image: np.ndarray, image_name: str
) -> np.ndarray:
    """Read an uploaded mask as class indices of the image's size, (height, width) uint8, and say how it was read.

    Args:
        upload: The file.
        palette: The run's classes.
        dataset: The data set in use, whose encoding is tried first if it has these classes.
        image: (height, width, 3) uint8, that the mask is of.
        image_name: What to call it.

    Raises:
        ImageFileError: If it cannot be read, is not of the image's shape, or holds no class.
    """
    name, content = upload
    size = read_size(content, name, orient=False)
    if not same_shape(image.shape[:2], size):
        check_same_size(image.shape[:2], size, image_name, name)
    if size[0] * size[1] > UPLOAD_PIXELS:
        raise ImageFileError(
            f"{name} has {size[1]:,} × {size[0]:,} pixels, more than {UPLOAD_PIXELS:,}: export the mask in the image's "
            "size."
        )
    digest = hashlib.sha256(content).hexdigest()
    look = _load_look(digest, content, name)
    chosen = {way: classes for (names, way), classes in session().mask_classes.items() if names == palette.names}
    encoding = _encoding_of(dataset, palette)
    reading = recognise(look, palette, encoding, chosen)
    nearest = False
    if reading.strays:
        with st.container(horizontal=True, vertical_alignment="center"):
            place = st.container()
            nearest = _choose_nearest(encoding)
    if asked := reading.asked(chosen.get(reading.way, {})):
        where = _load_mask(digest, reading.places(asked), palette, content, name)
        _ask(reading, asked, nearest, upload, palette, image, resized(where, image.shape[:2]))
    mask = _load_mask(digest, reading.encoding(nearest), palette, content, name)
    _say_transparent(look, name)
    if (mask == VOID).all():
        raise ImageFileError(
            f"No pixel of {name} has a colour of the legend, or a value that is a class's: "
            + ("say above which class each is, " if asked else "")
            + "export it in these colours or choose another run."
        )
    if reading.strays:
        place.warning(_about_strays(reading, look, nearest, name), icon=":material/blur_on:")
    if size == image.shape[:2]:
        return mask
    st.caption(
        f"{plain(name)} has {size[1]:,} × {size[0]:,} px and was resized to the image's size: each pixel has the class "
        "of the nearest one."
    )
    return resized(mask, image.shape[:2])


def _encoding_of(dataset: Dataset | None, palette: Palette) -> Encoding | None:
    """Return how the masks of a data set of these classes say them, if they do so by colours or values."""
    if dataset is None or dataset.palette != palette or not isinstance(dataset.scenes[0].encoding, Encoding):
        return None
    return dataset.scenes[0].encoding


def _choose_nearest(encoding: Encoding | None) -> bool:
    return st.toggle(
        "Nearest colours",
        encoding is not None and encoding.nearest,
        key="nearest",
        bind="query-params",
        help="Give each such pixel the class of the nearest; black stays No class, if it is no class's.",
    )


def _ask(
    reading: Reading,
    asked: list[Key],
    nearest: bool,
    upload: Upload,
    palette: Palette,
    image: np.ndarray,
    places: np.ndarray,
) -> None:
    """Show what a mask holds that nothing tells the class of, and let the user say it, one by one.

    Args:
        reading: How it is read so far; the answers are added to it.
        asked: The colours or values, at most 255.
        nearest: Whether the others count as the nearest.
        upload: The mask.
        palette: The classes.
        image: (height, width, 3) uint8.
        places: (height, width) uint8: where each of them is, by its place among them.
    """
    name, content = upload
    answers = session().mask_classes.setdefault((palette.names, reading.way), {})
    digest = hashlib.sha256(content).hexdigest()
    if reading.doubtful and not _is_smeared(reading):
        session().asked_about = digest
    panel = st.expander(
        f"How {plain(name)} is read: {_how(reading)}",
        expanded=session().asked_about == digest,  # also when all is answered
        key=f"reading-{digest[:16]}",
        icon=":material/rule:",
        on_change="rerun",
    )
    if not panel.open:
        return
    with panel:
        st.caption("Choose the class of each. What you choose here holds for all masks that you upload to this page.")
        cards = st.grid(4, min_column_width=235)
        for place, key in enumerate(asked):
            before = reading.class_of(key, nearest)
            with cards, st.container(border=True):
                after = _ask_one(key, reading, place, before, palette, image, places)
            if after != before:
                answers[key] = after
                st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            others = reading.pixels.keys() - reading.known.keys() - reading.guessed.keys() - set(asked)
            if others:
                share = 100 * sum(reading.pixels[key] for key in others) / max(1, reading.total)
                st.caption(
                    f"{len(others):,} other {_things(reading)} with {share:.2f} % of the pixels "
                    f"{'take the nearest class' if nearest else 'count as void'}."
                )
            if answers and st.button("Forget these answers", key="forget-answers", type="tertiary"):
                answers.clear()
                st.rerun()


def _ask_one(
    key: Key, reading: Reading, place: int, before: int, palette: Palette, image: np.ndarray, places: np.ndarray
) -> int:
    """Show one colour or value, and return the class index that is chosen for it."""
    left, right = st.columns([1, 2], gap="small", vertical_alignment="center")
    with left, st.container(key=f"pixels-of-{place}"):
        picture = png_bytes(highlight(image, places == place, PICTURE))
        st.image(picture, width="stretch", output_format="PNG", alt=f"Where {_spoken(key)} lies in the image")
    with right, st.container(gap="xxsmall"):
        swatch = f'<i style="background:{_spoken(key)}"></i>' if isinstance(key, tuple) else ""
        share = 100 * reading.pixels[key] / max(1, reading.total)
        st.html(f'<div class="legend"><span>{swatch}{html.escape(_spoken(key))} · {share:.2f} %</span></div>')
        return st.selectbox(
            f"Class of {_spoken(key)}",
            [*range(len(palette)), VOID],
            before if before != VOID else len(palette),
            format_func=lambda index: VOID_NAME if index == VOID else palette.names[index],
            # By what is chosen, too: an answer, or the switch above, draws it anew.
            key=f"class-of-{_spoken(key)}-{before}",
            label_visibility="collapsed",
        )


def _is_smeared(reading: Reading) -> bool:
    """Tell whether JPEG or smoothed edges mixed what a mask holds: there is too much to be asked for."""
    return len(reading.pixels.keys() - reading.known.keys()) > SMEARED_ABOVE


def _spoken(key: Key) -> str:
    return f"#{bytes(key).hex()}" if isinstance(key, tuple) else f"value {key}"


def _things(reading: Reading) -> str:
    return {"color": "colours", "value": "values", "number": "numbers"}[reading.way]


def _how(reading: Reading) -> str:
    """Say in a few words what tells the classes."""
    if not reading.guessed and not reading.doubtful:
        return f"{_things(reading)} as you said"
    if reading.doubtful:
        return f"{_things(reading)} that nothing names"
    return "values as class indices" if reading.way == "value" else "numbers of its colours as class indices"


def _say_transparent(look: MaskLook, name: str) -> None:
    if look.hidden:
        st.warning(
            f"{100 * look.hidden / (look.size[0] * look.size[1]):.2f} % of the pixels of {plain(name)} are "
            "transparent and count as void: fill them with their class's colour if they belong to one.",
            icon=":material/opacity:",
        )


def _about_strays(reading: Reading, look: MaskLook, nearest: bool, name: str) -> str:
    share = 100 * reading.strays / max(1, look.size[0] * look.size[1])
    became = "took the nearest, right or wrong" if nearest else "count as void"
    if reading.guessed and not nearest:
        became = "count as the nearest class where one is near, else as void"
    advice = (
        "JPEG and smoothed edges smear colours, so switch Nearest colours on, or save masks as PNG without smoothing"
        if _is_smeared(reading)
        else "say above which class they are, or export the mask in these colours"
    )
    what = "colour of the legend" if reading.way == "color" else "value that is a class's"
    return f"{share:.2f} % of the pixels of {plain(name)} have no {what} and {became}: {advice}."
