"""What stock TFDS makes of the versions beside each other, which an export may change."""

from __future__ import annotations

import warnings

from tfds_builder import formats
from tfds_builder.catalog.listing import list_versions
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.errors import DatasetError, DatasetWarning


def warn_of_hidden_versions(version_dir: AnyDirectory, tfds_name: str, format: str) -> None:
    """Warns where stock TFDS will find no version of a dataset unless it is told one.

    Without a version, stock `tfds.load(name, data_dir=...)` takes the newest directory and no other, and it cannot read HDF5
    (`read_only_builder._find_builder_dir` of TFDS 4.9.10). So an HDF5 version hides the TFRecord ones that are older.

    Args:
      version_dir: the version directory that is about to be published.
      tfds_name: `name` or `name/config`.
      format: of the version.
    """
    target = Directory.at(version_dir)
    dataset_dir = target.above()
    try:
        beside = list_versions(dataset_dir)
    except DatasetError:
        return  # nothing is known of it
    is_readable = {version: dataset_dir.below(version).has("features.json") for version in beside}
    is_readable[target.name] = formats.find(format).tfds_name is not None
    versions = sorted(is_readable, key=lambda version: [int(part) for part in version.split(".")], reverse=True)
    readable = next((version for version in versions if is_readable[version]), None)
    if readable is None or is_readable[versions[0]]:
        return
    warnings.warn(
        f"stock TFDS takes the newest version alone, and reads no HDF5: beside {tfds_name}:{versions[0]}, which is HDF5, it "
        f"finds {readable} only if it is asked for ({tfds_name}:{readable}); after tfds_builder.register, tfds.load finds all",
        DatasetWarning,
        stacklevel=5,
    )
