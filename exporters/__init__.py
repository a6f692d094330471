"""The producer of torch2tfds: a PyTorch `DataLoader` drained once into what `tfds.load` reads.

>>> import exporters
>>> exporters.export(loader, "/data", name="digits")        # doctest: +SKIP
"""

from exporters.errors import (
    AlreadyPublishedError,
    ArgumentError,
    BrokenInstallError,
    DataDirError,
    EngineError,
    ExportError,
    ExportWarning,
    HazardError,
    HazardWarning,
    LayoutError,
    LoaderError,
    MissingDependencyError,
    ResumeError,
    SchemaError,
)
from exporters.export import export
from exporters.live import in_memory, stream
from exporters.options.card import Card
from exporters.options.config import Config
from exporters.outcome import Counts, Export, Hazard
from exporters.version import __version__

__all__ = [
    "AlreadyPublishedError",
    "ArgumentError",
    "BrokenInstallError",
    "Card",
    "Config",
    "Counts",
    "DataDirError",
    "EngineError",
    "Export",
    "ExportError",
    "ExportWarning",
    "Hazard",
    "HazardError",
    "HazardWarning",
    "LayoutError",
    "LoaderError",
    "MissingDependencyError",
    "ResumeError",
    "SchemaError",
    "__version__",
    "export",
    "in_memory",
    "stream",
]
