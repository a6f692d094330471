"""What a dataset, its version and its config can be called."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""A dataset's name: TFDS looks it up in snake case, and the generated module has it."""
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
CONFIG = re.compile(r"(?!\d+\.\d+\.\d+)(?!.*\.py\Z)[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""A config's name: a directory beside versions and the generated module, and what `tfds.load("name/config")` can ask for."""
