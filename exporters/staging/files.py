"""The files of a stage once they are written: found again, given their published names, described."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
from collections.abc import Iterable

from exporters.errors import DataDirError
from exporters.staging import contents
from exporters.staging.disk import naming, open_no_link, remove_file
from exporters.staging.place import Place
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.shards import File


class StagedFiles:
    """The files of one stage.

    Attributes:
      directory: the stage.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def directory(self) -> pathlib.Path:
        return self._place.stage

    def names(self) -> list[str]:
        """Names of the files that an export wrote."""
        with self._place.opened(self.directory) as stage:
            return [name for name in os.listdir(stage) if self._place.is_ours(name)]

    def find(self, file: File, name: str) -> File | None:
        """A staged file under the name it has now, its own or its published one; None unless it is there at its full size."""
        for known in (file.file, name):
            with contextlib.suppress(FileNotFoundError):
                size = Directory.at(self.directory).size(known)
                return File(file=known, bytes=file.bytes, sha256=file.sha256) if size == file.bytes else None
        return None

    def find_damage(self, file: File, name: str, *, reads: bool) -> str:
        """What is wrong with a finished file, under its own name or its published one, in words; "" if nothing is.

        Args:
          file: as it was written.
          name: its published name.
          reads: whether its bytes are looked at too.
        """
        found = self.find(file, name)
        if found is None:
            return f"{self.directory / file.file} is gone, or has not the {file.bytes:,} bytes that were written"
        if reads and Directory.at(self.directory).sha256(found.file) != file.sha256:
            return f"{self.directory / found.file} has other bytes than were written"
        return ""

    def rename(self, file: File, name: str) -> File:
        """Gives a staged file its published name (known once the number of shards is), if it has not got it yet."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.directory / file.file, self.directory / name)
        if Directory.at(self.directory).size(name) != file.bytes:
            raise DataDirError(
                errno.EIO, f"{self.directory / name} is not what was written; remove {self.directory} and export again"
            )
        return File(file=name, bytes=file.bytes, sha256=file.sha256)

    def keep_only(self, names: Iterable[str]) -> None:
        """Removes what else lies in the stage: the shard, or the metadata, that an interrupted export was writing.

        Raises:
          DataDirError: something that no export wrote lies there.
        """
        with self._place.opened(self.directory) as stage:
            contents.refuse_foreign(self.directory, stage, self._place.is_ours)
            contents.remove_ours(stage, self._place.is_ours, keep=names)

    def remove_attempts(self, keep: Iterable[str]) -> None:
        """Removes what processes of an engine wrote that ended before their shards were noted, and keeps the files named."""
        with self._place.opened(self.directory) as stage:
            contents.remove_ours(stage, contents.is_attempt, keep=keep)

    def describe(self, name: str) -> File:
        """Fsyncs a small file written by someone else and returns its name, size and SHA-256."""
        with naming(self.directory / name), open(self.directory / name, "rb+", opener=open_no_link) as stream:
            content = stream.read()
            os.fsync(stream.fileno())
        return File(file=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def write(self, name: str, content: bytes) -> File:
        """Writes and fsyncs a small file."""
        remove_file(self.directory / name)
        with naming(self.directory / name), open(self.directory / name, "xb") as stream:
            stream.write(content)
        return self.describe(name)
