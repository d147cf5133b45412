"""An image of the user's own, and its mask if there is one."""

import streamlit as st

from segmentation.data.images import read_image, read_size
from segmentation.data.mask_contents import look_at
from segmentation.data.recognition import mask_by_content, mask_by_name
from segmentation.data.scenes import Dataset
from segmentation.data.stretch import as_colors
from segmentation.errors import ImageFileError
from segmentation.ui.explorer.model import Model
from segmentation.ui.explorer.sources import Subject, say_no_model
from segmentation.ui.explorer.uploaded_mask import UPLOAD_PIXELS, read_uploaded_mask
from segmentation.ui.loaders.predictions import prepare_predictor
from segmentation.ui.session import Upload, session
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain

TYPES = ["jpg", "jpeg", "png", "tif", "tiff", "jp2", "bmp", "webp"]


def choose_upload(dataset: Dataset | None, model: Model) -> Subject | None:
    """Let the user upload an image, and its mask if there is one, each by itself or both together."""
    if model.path is None:
        say_no_model(model)
        return None
    kept = session().pictures
    places = st.grid(3, min_column_width=160)
    with places.cell():
        _take_one("image", "Aerial image", "JPEG, PNG, TIFF, JPEG 2000, BMP or WebP, of any size.")
    with places.cell():
        note = "Colours as in the legend, class indices, or anything that can be mapped to classes: gives scores."
        _take_one("mask", "Mask (optional)", note)
    with places.cell(), show_errors():
        _take_both()
    if "image" not in kept:
        st.info("Upload an aerial image to see what the model makes of it.", icon=":material/upload:")
        prepare_predictor(model.path)
        return None
    name, content = kept["image"]
    height, width = read_size(content, name)
    if height * width > UPLOAD_PIXELS:
        raise ImageFileError(
            f"{name} has {width:,} × {height:,} pixels, more than the {UPLOAD_PIXELS:,} that this page predicts: cut "
            "it, or use python -m segmentation predict."
        )
    bands = read_image(content, name, stretch := model.run.stretch)
    image = as_colors(bands, stretch)
    mask = None
    if "mask" in kept:
        # A mask that does not fit is no reason to withhold the prediction.
        with show_errors():
            mask = read_uploaded_mask(kept["mask"], model.palette, dataset, image, name)
    return Subject(
        name,
        image,
        mask,
        "",
        lambda run: bands if run.stretch == stretch else read_image(content, name, run.stretch),
    )


def _take_one(role: str, title: str, note: str) -> None:
    """Take an upload as image or as mask; say which one is in use where the uploader does not."""
    kept, taken = session().pictures, session().taken
    upload = st.file_uploader(title, type=TYPES, key=f"upload-{role}", help=note)
    if upload and (taken.get(role) != upload.file_id or role not in kept):
        taken[role], kept[role] = upload.file_id, (upload.name, upload.getvalue())
    if role in kept and not (upload and upload.name == kept[role][0]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"In use: {plain(kept[role][0])}")
            if not upload and st.button("Forget it", key=f"forget-{role}", type="tertiary"):
                del kept[role]
                st.rerun()


def _take_both() -> None:
    """Take an image and its mask that are uploaded together, and let them be swapped.

    Raises:
        ImageFileError: If there are more than two files.
    """
    here = session()
    files = st.file_uploader(
        "Or both together",
        accept_multiple_files=True,
        type=TYPES,
        key=f"upload-both-{here.pairs_taken}",
        help="An image and its mask: names such as a.jpg and a_mask.png tell which is which, or else what they hold.",
    )
    if len(files) > 2:
        raise ImageFileError(f"These are {len(files)} files: upload one image and its mask, two files.")
    if files:
        uploads = [(file.name, file.getvalue()) for file in files]
        mask = _place_of_mask(uploads) if len(uploads) == 2 else None
        for place, upload in enumerate(uploads):
            here.pictures["mask" if place == mask else "image"] = upload
        here.pairs_taken += 1
        st.rerun()
    if {"image", "mask"} <= here.pictures.keys() and st.button(
        "Swap image and mask", key="swap-uploads", icon=":material/swap_horiz:", type="tertiary"
    ):
        here.pictures |= {"image": here.pictures["mask"], "mask": here.pictures["image"]}
        st.rerun()


def _place_of_mask(uploads: list[Upload]) -> int:
    """Tell which of two files is the mask, by their names, or else by what they hold."""
    by_name = mask_by_name([name for name, _ in uploads])
    if by_name is not None:
        return by_name
    looks = []
    for name, content in uploads:
        try:
            height, width = read_size(content, name)
            looks.append(look_at(content, name) if height * width <= UPLOAD_PIXELS else None)
        except ImageFileError:  # said when it is used
            looks.append(None)
    return mask_by_content(looks)
