"""The web console: files of the package, under /ui/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER: Final = Path(__file__).parent / "static"
_PAGE: Final = "index.html"
# The build gives these files names that change with their content.
_ASSETS: Final = "assets/"


class Console(StaticFiles):
    """A path that is no file is a page of the console, which finds its way by itself."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            answer = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or path.startswith(_ASSETS):
                raise
            path = _PAGE
            answer = await super().get_response(path, scope)
        forever = path.startswith(_ASSETS)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if forever else "no-cache"
        return answer
