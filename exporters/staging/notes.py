"""The directory of notes beside a stage: each note is whole and on disk, or not there at all."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import secrets
from collections.abc import Iterable

from exporters import wording
from exporters.errors import ExportError, ResumeError
from exporters.staging import contents
from exporters.staging.contents import SHARD_NOTE, STAGE_NOTE
from exporters.staging.disk import naming, open_no_link, sync_directory
from tfds_builder.aliases import JsonObject

_VERSION = 4
"""Of the notes. Another one is not gone on with."""


class Notes:
    """The notes of one export.

    Attributes:
      directory: where they are.
      stage: the directory they are about.
    """

    def __init__(self, directory: pathlib.Path, stage: pathlib.Path) -> None:
        self.directory, self.stage = directory, stage

    def shard_names(self) -> list[str]:
        """Names of the notes of finished shards: what there is to go on with."""
        return [name for name in os.listdir(self.directory) if name.endswith(SHARD_NOTE)] if self.directory.is_dir() else []

    def has(self, name: str) -> bool:
        """Whether a note is there."""
        return (self.directory / name).is_file()

    def read(self, name: str) -> bytes:
        """A note."""
        return (self.directory / name).read_bytes()

    def sync(self, name: str) -> None:
        """Fsyncs a note that was written in place."""
        with naming(self.directory / name), open(self.directory / name, "rb+", opener=open_no_link) as stream:
            os.fsync(stream.fileno())

    def write(self, name: str, content: bytes) -> None:
        """Writes a note: whole and on disk, or not there at all."""
        if not contents.is_note(name):
            raise ValueError(
                f"{name!r} is not among the names of notes in exporters.staging.contents, and would be taken for somebody's"
            )
        draft = self.directory / f"{name}.{secrets.token_hex(4)}.draft"  # others may write the same note
        with naming(draft), open(draft, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(draft, self.directory / name)
        sync_directory(self.directory)

    def write_shard(self, split: str, number: int, content: bytes) -> None:
        """Notes that a shard is finished. Its file must be on disk."""
        sync_directory(self.stage)
        self.write(f"{split}-{number:05d}{SHARD_NOTE}", content)

    def shards_of(self, split: str) -> dict[int, bytes]:
        """The notes of a split's finished shards, by number."""
        found = sorted(filter(None, map(contents.shard_of, self.shard_names())))
        return {number: self.read(f"{split}-{number:05d}{SHARD_NOTE}") for owner, number in found if owner == split}

    def write_identity(self, inode: int) -> None:
        """Notes which directory the notes are about; 0 as long as what is there is being removed."""
        self.write(STAGE_NOTE, json.dumps({"version": _VERSION, "inode": inode}).encode())

    def identity(self) -> JsonObject | None:
        """What `write_identity` noted; nothing where the note makes no sense to this release, None where there is no note."""
        try:
            noted = json.loads(self.read(STAGE_NOTE))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return noted if isinstance(noted, dict) and (noted.get("version"), type(noted.get("inode"))) == (_VERSION, int) else {}

    def find_problem(self, noted: JsonObject | None, files: Iterable[str]) -> str:
        """Why what an export before left behind can neither be gone on with nor be removed without a word; "" if it can.

        Args:
          noted: the identity.
          files: names of what lies in the stage.
        """
        if noted is None:
            gone = f"{self.stage} holds shards, and their notes in {self.directory} are gone; put them back"
            return gone if list(files) else ""
        if not noted:
            found = f"the notes in {self.directory} are of another release of torch2tfds, or damaged"
            return f"{found}; go on with the release that wrote them" if self.shard_names() else ""
        if not noted["inode"]:
            return ""
        known = collections.Counter[str]()
        for split, number in filter(None, map(contents.shard_of, self.shard_names())):
            known[split] = max(known[split], number + 1)
        for split, number in filter(None, map(contents.shard_of, files)):
            if number > known[split] + 1:  # one is on its way to the disk while the next one is drained
                return (
                    f"{self.stage} holds shard {number} of split {split!r}, and its note in {self.directory} is gone; put it back"
                )
        return ""


def say_what_is_kept(error: BaseException, finished: int, path: pathlib.Path, *, begins_anew: bool) -> None:
    """Says what is kept, and how to go on after it, unless the error says so itself.

    Args:
      error: the notes are added to it.
      finished: shards that are kept in `path`.
      begins_anew: whether the same export would not go on after them.
    """
    if isinstance(error, ResumeError):
        return
    kept = f"{wording.plural(finished, 'finished shard')} {'is' if finished == 1 else 'are'} kept in {path}"
    without = f" without {wording.argument('overwrite', True)}" if begins_anew else ""
    how = f"{wording.again()}{without} to go on after {'it' if finished == 1 else 'them'}"
    if isinstance(error, ExportError) and not isinstance(error, OSError):  # what mends it may be another argument
        how += f", or {wording.passing('overwrite', True)} if its arguments or features change"
    error.add_note(f"{kept}: {how}")
