"""How to install what is missing: the one place that knows where this distribution comes from.

It is on no package index; what installs it is a clone of its repository.
"""

from __future__ import annotations


def how_to_install(*extras: str) -> str:
    """The line that installs this distribution with some of its extras, and where to type it.

    >>> how_to_install("torch", "hdf5")
    'in a clone of torch2tfds, pip install ".[torch,hdf5]"'
    """
    return f'in a clone of torch2tfds, pip install ".[{",".join(extras)}]"'


def how_to_upgrade() -> str:
    """The lines that bring the newest version."""
    return "in a clone of torch2tfds, git pull and pip install ."
