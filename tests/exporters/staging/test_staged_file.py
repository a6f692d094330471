"""A file that is written and hashed by a thread of its own."""

from __future__ import annotations

import hashlib
import resource

import numpy as np
import pytest

from exporters.staging.staged_file import StagedFile

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


def test_staged_file_that_cannot_grow(tmp_path):
    """A write that fails in the file's own thread is raised where the next write or the close is."""
    file = StagedFile(tmp_path / "f")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        file.write(b"x" * 10)
        with pytest.raises(OSError, match="File too large"):
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.abort()


def test_staged_file_describes_its_bytes(tmp_path):
    """A staged file has the bytes it was given, in order, and knows their size and SHA-256."""
    file = StagedFile(tmp_path / "f")
    parts = [np.full((3, k), k, np.uint16) for k in range(50)]
    for part in parts:
        file.write(part)
    file.write(b"")
    content = b"".join(part.tobytes() for part in parts)
    done = file.close()
    assert (tmp_path / "f").read_bytes() == content
    assert (done.file, done.bytes, done.sha256) == ("f", len(content), hashlib.sha256(content).hexdigest())
