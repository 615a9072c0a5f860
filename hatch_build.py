"""Builds the console into the package. hatchling calls it for wheels and source distributions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuild(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """A wheel without the console is refused. An editable install needs none, and no Node."""
        if version == "editable":
            return
        script = Path(self.root, "scripts", "console.py")
        spec = importlib.util.spec_from_file_location("console", script)
        assert spec is not None
        assert spec.loader is not None
        console = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(console)
        console.build()
