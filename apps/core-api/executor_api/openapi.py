"""Makes the committed OpenAPI document; `--check` only says whether it is current."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from executor_api.app import create_app
from executor_api.settings import Settings

FILE: Final = Path(__file__).resolve().parent.parent / "openapi.json"


def document() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as nowhere:
        # The document does not depend on what is served.
        app = create_app(Settings(workspaces=(Path(nowhere),), environ={}))
        return app.openapi()


def text() -> str:
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def main(arguments: Sequence[str]) -> int:
    current = text()
    if arguments == ["--write"]:
        FILE.write_text(current)
        return 0
    if arguments == ["--check"]:
        return 0 if FILE.exists() and FILE.read_text() == current else 1
    sys.stderr.write("usage: python -m executor_api.openapi --write | --check\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
