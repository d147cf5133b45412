"""The errors a user can cause: each message is one sentence that says what is wrong and what to do."""

DONE, REFUSED, PARTLY, STOPPED = 0, 1, 3, 130
"""Exit codes of the command line: 3 is done but for some files; 2, wrong usage, is the parser's."""


def printable(text: str) -> str:
    """Return `text` on one line, fit for a terminal: names of files may hold line breaks, escapes and broken UTF-8."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class SegmentationError(Exception):
    """Base of every error whose message is meant for the person at the keyboard."""

    def __str__(self) -> str:
        return printable(super().__str__())


class DatasetNotFoundError(SegmentationError):
    """No labelled scenes were found where the user pointed."""


class AmbiguousDatasetError(DatasetNotFoundError):
    """There are several kinds of masks for the same images, and nobody has said which is meant."""


class DeclarationError(DatasetNotFoundError):
    """A ``dataset.toml`` cannot be read, or says what cannot be."""


class NotAllowedError(SegmentationError):
    """A path leads out of the folders that pages may read."""


class ImageFileError(SegmentationError):
    """A file cannot be used as an image or as a mask."""


class NotRasterError(ImageFileError):
    """A file is no TIFF that can be read by rows; perhaps it is an image all the same."""


class PaletteError(SegmentationError):
    """A ``class_dict.csv`` does not describe a usable set of classes."""


class DownloadError(SegmentationError):
    """The real data set could not be fetched."""


class RunError(SegmentationError):
    """A run folder, or something in it, cannot be used for what was asked."""


class StorageError(SegmentationError):
    """A file or folder cannot be written: no room, no permission, or something in its place."""


class BackendError(SegmentationError):
    """What computes a model is missing or broken on this machine, or its processor cannot."""


class BusyError(SegmentationError):
    """Too many people want the same at once."""


class ConfigurationError(SegmentationError):
    """Hyper-parameters that contradict each other, the data set or the model."""
