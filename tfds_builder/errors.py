"""The consumer's exceptions: everything this package raises on purpose is a `DatasetError`.

Each leaf also inherits the built-in that fits, so `except FileNotFoundError` keeps working for
callers who know nothing of this package.
"""


class DatasetError(Exception):
    """Root of the exceptions `tfds_builder` raises about a dataset directory."""


class ManifestError(DatasetError, ValueError):
    """The manifest is not JSON, is not what was published, or contradicts itself."""


class UnsupportedVersionError(ManifestError):
    """The dataset is of a newer format version than this torch2tfds reads: it is not damaged, and an upgrade reads it."""


class MissingFileError(DatasetError, FileNotFoundError):
    """A file or directory that the dataset needs is not there."""


class DamagedFileError(DatasetError, OSError):
    """A file is there but is not the file the manifest describes: its size, its structure or a checksum differs."""


class OverwrittenError(DatasetError, OSError):
    """The version was overwritten after it was opened: load it again. What is read would be of two versions."""


class UnreadableFileError(DatasetError, PermissionError):
    """A file or directory is there and this user may not read it; the message names its owner."""


class UnsupportedReadError(DatasetError, NotImplementedError):
    """The read asked for cannot be honoured for this dataset; the message says what can."""


class BrokenInstallError(DatasetError, ImportError):
    """Two packages that TFDS needs do not go together; the message has both with their versions, and the line that mends it."""


class DatasetWarning(UserWarning):
    """A directory of datasets is probably not what was meant; the message says what is, and what to do about it."""
