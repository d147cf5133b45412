"""Fetch the MBRSC aerial imagery of Dubai.

72 labelled scenes in 8 tiles, six classes, 33 MB, licence CC0, published by Humans in the Loop on Kaggle. No account is
needed.
"""

from pathlib import Path

from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import DownloadError, SegmentationError
from segmentation.files import scratch_folder

HANDLE = "humansintheloop/semantic-segmentation-of-aerial-imagery"
PAGE = f"kaggle.com/datasets/{HANDLE}"
MEGABYTES = 33


def download(folder: Path) -> Dataset:
    """Download the real data set into `folder`; kagglehub draws its progress on standard error.

    Args:
        folder: Where the tiles are to be: a new or empty folder, or one that holds the data set already.

    Raises:
        DownloadError: If it cannot be fetched, or the folder holds something else.
    """
    import kagglehub  # takes half a second that no other command should wait for

    if folder.is_dir() and any(folder.iterdir()):
        try:
            return find_dataset(folder)
        except SegmentationError as error:
            raise DownloadError(f"{folder} holds something else: choose a new or empty folder.") from error
    with scratch_folder(folder.parent) as scratch:
        fetched = scratch / "data"
        try:
            kagglehub.dataset_download(HANDLE, output_dir=str(fetched))
            find_dataset(fetched)
        # kagglehub raises what its HTTP client, the archive or the disk raise: the way round is the same for all.
        except Exception as error:
            cause = "no connection" if "resolve" in str(error) or "connect" in str(error).lower() else str(error)[:200]
            raise DownloadError(
                f"The data set could not be fetched ({cause}): download it by hand from {PAGE} and unpack it into "
                f"{folder}."
            ) from error
        fetched.replace(folder)
    return find_dataset(folder)
