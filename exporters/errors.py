"""The producer's exceptions: everything this package raises on purpose is an `ExportError`.

Each leaf also inherits the built-in that fits. An exception of the DataLoader itself is never
wrapped: it reaches the caller with its own traceback.
"""


class ExportError(Exception):
    """Root of the exceptions `exporters` raises. Whenever one is raised, nothing was published."""


class ArgumentError(ExportError, ValueError):
    """An argument of the call is wrong: a name, a version, a split, a format."""


class LoaderError(ExportError, TypeError):
    """Not a DataLoader, or one that gives what no batch may have: an object, a part without a batch axis, a key with a `/`."""


class SchemaError(ExportError, ValueError):
    """Batches, or rows, contradict each other or the features: another dtype, shape, structure, a label out of range."""


class LayoutError(ExportError, ValueError):
    """An image's layout could be read two ways, or the given one does not fit."""


class AlreadyPublishedError(ExportError, FileExistsError):
    """The version is published already; pass `overwrite=True` or a higher version."""


class ResumeError(ExportError, ValueError):
    """An export cannot go on where one of the same version stopped: another plan, or other data."""


class DataDirError(ExportError, OSError):
    """The data_dir cannot be written, or another export is writing the same version."""


class MissingDependencyError(ExportError, ImportError):
    """A package is missing; the message names the extra that brings it."""


class BrokenInstallError(ExportError, ImportError):
    """Two packages that TFDS needs do not go together; the message has both with their versions, and the line that mends it."""


class HazardError(ExportError, ValueError):
    """The loader does something to the data that `on_hazard` says to refuse; docs/hazards.md has them all."""


class EngineError(ExportError, RuntimeError):
    """A process of an engine died, and with it the shards that it was writing; those that are finished are kept."""


class ExportWarning(UserWarning):
    """Something about an export that its caller should know: little room on the disk, something left behind."""


class HazardWarning(ExportWarning):
    """The loader loses, repeats or freezes data; docs/hazards.md has every such hazard, `on_hazard` what to do about it."""
