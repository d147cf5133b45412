"""Layouts whose labels are outlines in files of their own: COCO's JSON, and vector files over georeferenced images."""

from segmentation.data.layouts.found import Found
from segmentation.data.layouts.listing import Listing


def coco_files(listing: Listing) -> list[Found]:
    """To come."""
    return []


def vector_files(listing: Listing) -> list[Found]:
    """To come."""
    return []
