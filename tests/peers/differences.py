"""What comes back otherwise than TFDS's own tests of its features expect it, and why that is right."""

from __future__ import annotations

import dataclasses
import fnmatch


@dataclasses.dataclass(frozen=True)
class Difference:
    """Examples that may come back otherwise.

    Attributes:
      test: pattern of `Class.method`.
      reason: why.
      reader: `export`, `verify`, `tfds.load`, `stock`, `data_source`, `as_torch`, or a pattern of these.
      format: or a pattern.
      text: a part of what is said of the difference.
    """

    test: str
    reason: str
    reader: str = "*"
    format: str = "*"
    text: str = ""

    def covers(self, test: str, format: str, reader: str, text: str) -> bool:
        """Whether a difference that was met is one of these."""
        patterns = ((self.test, test), (self.format, format), (self.reader, reader))
        return all(fnmatch.fnmatchcase(value, pattern) for pattern, value in patterns) and self.text in text


DIFFERENCES: tuple[Difference, ...] = ()
