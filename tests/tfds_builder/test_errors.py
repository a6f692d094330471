"""Every error of the package is caught as its root, and as the built-in that fits."""

import inspect

import pytest

from tfds_builder import errors

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind is not errors.DatasetError]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_are_of_two_kinds(kind):
    """A leaf is one of ours and a built-in one with more to say than Exception; a warning is a UserWarning. Each says when."""
    assert kind.__doc__
    if issubclass(kind, Warning):
        assert issubclass(kind, UserWarning)
        return
    assert issubclass(kind, errors.DatasetError)
    assert [base for base in kind.__mro__ if base.__module__ == "builtins" and base not in (Exception, BaseException, object)]
