"""Whose an error of the operating system is, and what is said of one that is ours."""

import errno
import json
import os
import pathlib

import pytest

from exporters.command import blame


def caught(function):
    with pytest.raises(OSError) as error:
        function()
    return error.value


def test_what_is_told():
    """The files, what happened to them, and what to do about it, as far as each is known."""
    told = blame.explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a", None, pathlib.Path("b")))
    assert told == "a and b: No space left on device; make room"
    assert blame.explain(OSError(errno.EIO, os.strerror(errno.EIO))) == "Input/output error"


def test_whose_it_is(tmp_path):
    """What the standard library raises for a caller of ours is ours; what it raises for anybody else's code is theirs."""
    namespace = {"__name__": "exporters.staging.stage.anything", "json": json, "path": tmp_path / "nowhere"}
    exec(compile("def read(): json.load(open(path))", os.fspath(tmp_path / "ours.py"), "exec"), namespace)
    error = caught(namespace["read"])
    ours = error.with_traceback(error.__traceback__.tb_next.tb_next)  # of this test's own frames
    assert blame.is_ours(ours)
    namespace["__name__"] = "their_dataset"
    assert not blame.is_ours(caught(namespace["read"]))


def test_an_error_without_a_number():
    """An OSError that somebody raised with words of their own is not one of the operating system."""
    assert not blame.is_ours(OSError("of the dataset"))
