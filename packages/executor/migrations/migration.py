"""One step from a schema version to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.operations import Operations


@dataclass(frozen=True, slots=True)
class Migration:
    """`up` leads from the version before to `version`, `down` back.

    Both look before they add or drop: on a database where a part or all of it has been done they do the
    rest or nothing. They run inside the transaction of all pending steps and never end it.
    """

    version: int
    description: str
    up: Callable[[Operations], None]
    down: Callable[[Operations], None]


def step(version: int, description: str, module: str) -> Migration:
    """The migration in `executor.migrations.steps.<module>`, which is imported when it runs.

    The steps need SQLAlchemy and alembic, which take longer to import than most commands run.
    """
    name = f"executor.migrations.steps.{module}"

    def up(operations: Operations) -> None:
        import_module(name).up(operations)

    def down(operations: Operations) -> None:
        import_module(name).down(operations)

    return Migration(version, description, up, down)
