"""Executor over HTTP: `create_app(settings)` makes the application, `executor serve` runs it.

Names are imported on first use: the help of `executor serve` needs no web framework.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Settings", "create_app"]

if TYPE_CHECKING:
    from executor_api.app import create_app
    from executor_api.settings import Settings

_HOME = {"Settings": "executor_api.settings", "create_app": "executor_api.app"}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'executor_api' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
