"""The sdist without .gitignore: hatchling puts it into every one."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WithoutGitignore(BuildHookInterface):
    """Takes .gitignore out of what hatchling adds by itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build with what it is about to do."""
        added = build_data["force_include"]
        for source in [source for source, target in added.items() if target == ".gitignore"]:
            del added[source]
