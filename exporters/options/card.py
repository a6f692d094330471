"""What a person should know about a dataset."""

from __future__ import annotations

import dataclasses

from exporters import wording
from exporters.errors import ArgumentError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What a person should know about a dataset; ends up in `tfds.core.DatasetInfo`.

    None of it depends on the version: what is left out is as the version before has it.

    Attributes:
      description: what it is.
      homepage: a URL.
      citation: BibTeX.
      license: its licence; also written to a LICENSE file beside the data, as TFDS does.
    """

    description: str = ""
    homepage: str = ""
    citation: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) or value != value.encode(errors="replace").decode():
                name = wording.either(f"card {field.name!r}", wording.called(field.name))
                raise ArgumentError(f"{name} must be str, and valid Unicode (got {value!r:.80})")
