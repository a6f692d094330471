"""The consumer of torch2tfds: what was exported from PyTorch, through `tfds.load`. Needs no PyTorch.

>>> import tensorflow_datasets as tfds, tfds_builder
>>> tfds_builder.register("/data")               # doctest: +SKIP
['digits']
>>> tfds.load("digits", split="train")           # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

from tfds_builder.catalog.builder_module import generate
from tfds_builder.catalog.metadata_files import Problem
from tfds_builder.checks.published import Report, verify
from tfds_builder.errors import (
    BrokenInstallError,
    DamagedFileError,
    DatasetError,
    DatasetWarning,
    ManifestError,
    MissingFileError,
    MissingPackageError,
    OverwrittenError,
    SearchPathError,
    SiteError,
    UnreadableFileError,
    UnsupportedReadError,
    UnsupportedVersionError,
)
from tfds_builder.finding.import_hook import offer_what_is_configured
from tfds_builder.install import check_tfds

if TYPE_CHECKING:
    from tfds_builder.builder import ExportedBuilder, builder_from_directory
    from tfds_builder.pages.scales import statistics
    from tfds_builder.read_config import ReadConfig
    from tfds_builder.readers.data_source import ExportedDataSource
    from tfds_builder.registration import register
    from tfds_builder.restoration import restore
    from tfds_builder.table.table import Table
    from tfds_builder.torch_dataset import as_torch

__all__ = [
    "BrokenInstallError",
    "DamagedFileError",
    "DatasetError",
    "DatasetWarning",
    "ExportedBuilder",
    "ExportedDataSource",
    "ManifestError",
    "MissingFileError",
    "MissingPackageError",
    "OverwrittenError",
    "Problem",
    "ReadConfig",
    "Report",
    "SearchPathError",
    "SiteError",
    "Table",
    "UnreadableFileError",
    "UnsupportedReadError",
    "UnsupportedVersionError",
    "as_torch",
    "builder_from_directory",
    "generate",
    "register",
    "restore",
    "statistics",
    "verify",
]

_NEED_TFDS = {
    "ReadConfig": "read_config",
    "ExportedBuilder": "builder",
    "builder_from_directory": "builder",
    "register": "registration",
    "Table": "table.table",
    "ExportedDataSource": "readers.data_source",
    "as_torch": "torch_dataset",
    "restore": "restoration",
    "statistics": "pages.scales",
}


if not TYPE_CHECKING:  # or no misspelt name would be found by a type checker

    def __getattr__(name: str) -> Any:
        """Loads what needs TFDS or NumPy when it is first used, so that importing the package is quick."""
        if name not in _NEED_TFDS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        check_tfds()
        return getattr(importlib.import_module(f"{__name__}.{_NEED_TFDS[name]}"), name)


offer_what_is_configured()
