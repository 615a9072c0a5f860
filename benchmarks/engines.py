"""The engines by name."""

from collections.abc import Mapping
from typing import Final

from benchmarks.engine import Engine
from benchmarks.postgresql import PostgresqlEngine
from benchmarks.sqlite import SqliteEngine

ENGINES: Final[Mapping[str, Engine]] = {
    engine.name: engine for engine in (SqliteEngine(), PostgresqlEngine())
}
