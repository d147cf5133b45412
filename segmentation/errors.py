"""The errors a user can cause: each message is one sentence that says what is wrong and what to do."""

DONE, REFUSED, PARTLY, STOPPED = 0, 1, 3, 130
"""Exit codes of the command line: 3 is done but for some files; 2, wrong usage, is the parser's."""


class SegmentationError(Exception):
    """Base of every error whose message is meant for the person at the keyboard."""


class DatasetNotFoundError(SegmentationError):
    """No labelled scenes were found where the user pointed."""


class ImageFileError(SegmentationError):
    """A file cannot be used as an image or as a mask."""


class PaletteError(SegmentationError):
    """A ``class_dict.csv`` does not describe a usable set of classes."""


class DownloadError(SegmentationError):
    """The real data set could not be fetched."""


class RunError(SegmentationError):
    """A run folder, or something in it, cannot be used for what was asked."""


class StorageError(SegmentationError):
    """A file or folder cannot be written: no room, no permission, or something in its place."""


class BackendError(SegmentationError):
    """TensorFlow is missing or broken on this machine."""


class ConfigurationError(SegmentationError):
    """Hyper-parameters that contradict each other, the data set or the model."""
