"""Whose an error of the operating system is: that of a command's own files, or one that the user's dataset raised."""

from __future__ import annotations

import errno
import os
import sysconfig
import traceback

_OURS = frozenset(("exporters", "tfds_builder", "typer", "click", "numpy", "h5py", "tqdm"))
_STANDARD = os.path.join(sysconfig.get_path("stdlib"), "")
_INSTALLED = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("purelib", "platlib"))
_ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "give a directory of another file system, this one is mounted read-only",
    errno.EACCES: "have its owner let you, or give another",
    errno.EPERM: "have its owner let you, or give another",
    errno.ENAMETOOLONG: "give a shorter one",
}


def is_ours(error: OSError) -> bool:
    """Whether an error was raised by this product about a file of its own.

    It was not if there is any other code between the command and the place where it was raised: that of a dataset, of a
    factory, of PyTorch, which calls them.

    Args:
      error: as it was caught by the command.
    """
    frames = [
        (frame.f_code.co_filename, frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    frames += getattr(error.__cause__, "frames", ())  # of an error that came from a process of an engine
    return error.errno is not None and all(_is_ours(*frame) for frame in frames)


def _is_ours(file: str, module: str) -> bool:
    """Whether code is of this product, of Python, or of a package that never calls what the user wrote."""
    is_standard = file.startswith(_STANDARD) and not file.startswith(_INSTALLED)
    return is_standard or file.startswith("<frozen ") or module.partition(".")[0] in _OURS


def explain(error: OSError) -> str:
    """Such an error in a line: which file, what happened to it, and what to do about it."""
    files = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    what = ": ".join(filter(None, (f"{files:.500}", error.strerror or type(error).__name__)))
    advice = _ADVICE.get(error.errno or 0, "")
    return f"{what}; {advice}" if advice else what
