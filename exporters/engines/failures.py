"""An error in a process of an engine, raised again in that of `export` as what it was."""

from __future__ import annotations

import dataclasses
import traceback
from typing import NoReturn

from exporters.draws import pickling


class RemoteTraceback(Exception):
    """The traceback of an error in another process; the cause of that error.

    Attributes:
      frames: file and module of each of its frames, the outermost first.
    """

    def __init__(self, text: str, frames: tuple[tuple[str, str], ...]) -> None:
        super().__init__(text)
        self.text, self.frames = text, frames

    def __str__(self) -> str:
        return f"\n{self.text}"


@dataclasses.dataclass(frozen=True)
class Failure:
    """An error that was raised in another process.

    Attributes:
      error: pickled; empty if that is not possible, or does not come back.
      text: its traceback.
      frames: as `RemoteTraceback` has them.
    """

    error: bytes
    text: str
    frames: tuple[tuple[str, str], ...]

    def reraise(self) -> NoReturn:
        """Raises the error; one that cannot be pickled becomes a RuntimeError with its traceback, as PyTorch does it."""
        cause = RemoteTraceback(self.text, self.frames)
        if self.error:
            raise pickling.loads(self.error) from cause
        raise RuntimeError(f"in a process of the engine: {self.text.strip().splitlines()[-1]}") from cause


def failure_of(error: BaseException) -> Failure:
    """What is sent of an error."""
    text = "".join(traceback.format_exception(error))
    walked = traceback.walk_tb(error.__traceback__)
    frames = tuple((frame.f_code.co_filename, frame.f_globals.get("__name__", "")) for frame, _ in walked)
    try:
        content = pickling.dumps(error)
        pickling.loads(content)
    except Exception:  # exceptions take whatever arguments they like, and lack them when they are unpickled
        content = b""
    return Failure(content, text, frames)
