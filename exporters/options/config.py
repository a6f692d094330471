"""One of several configurations of a dataset, and what changed from version to version."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from exporters import wording
from exporters.errors import ArgumentError
from tfds_builder.aliases import JsonObject
from tfds_builder.contract.untrusted import CONFIG, VERSION

_NAME_CHARACTERS = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """One of several configurations of a dataset: `tfds.load("name/config")`. TFDS calls it a BuilderConfig.

    Attributes:
      name: letters, digits, `_`, `-` and `.`.
      description: what sets it apart.
    """

    name: str
    description: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not CONFIG.fullmatch(self.name) or len(self.name) > _NAME_CHARACTERS:
            raise ArgumentError(
                f"{wording.either('config name', '--config')} must begin with a letter or digit, hold no more than these and "
                f"'_', '-', '.', be at most {_NAME_CHARACTERS} long, "
                f"and neither begin like a version nor end in '.py' (got {self.name!r:.120})"
            )
        if not _is_text(self.description):
            name = wording.either("config description", "--config-description")
            raise ArgumentError(f"{name} must be str, and valid Unicode (got {self.description!r:.80})")


def config_facts(config: object, release_notes: object) -> JsonObject:
    """What `export` was given, as the plan and the manifest have it: `config_name`, `config_description`, `release_notes`.

    Raises:
      ArgumentError: it is no config, or no release notes.
    """
    if config is not None and not isinstance(config, str | Config):
        raise ArgumentError(
            f'{wording.argument("config")} must be a name, such as "small", or an exporters.Config (got {config!r:.80})'
        )
    if isinstance(config, str):
        config = Config(config)
    return {
        "config_name": config.name if config else "",
        "config_description": config.description if config else "",
        "release_notes": _check_release_notes(release_notes),
    }


def _check_release_notes(notes: object) -> dict[str, str]:
    if notes is None:
        return {}
    if not isinstance(notes, Mapping):
        raise ArgumentError(
            f'{wording.argument("release_notes")} must be a mapping of version to text, {{"1.0.0": "..."}} (got {notes!r:.80})'
        )
    for version, text in notes.items():
        if not isinstance(version, str) or not VERSION.fullmatch(version) or len(version) > _NAME_CHARACTERS:
            raise ArgumentError(f'{wording.argument("release_notes")} has {version!r:.80}, which is no version "x.y.z"')
        if not _is_text(text):
            raise ArgumentError(
                f"{wording.argument('release_notes')} of {version} must be str, and valid Unicode (got {text!r:.80})"
            )
    return dict(notes)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode(errors="replace").decode()
