"""What programs and the console identify themselves with to a server."""

from alembic.operations import Operations
from sqlalchemy import Column

from executor.migrations.operations import add_table, drop_tables
from executor.schema import KEY


def up(op: Operations) -> None:
    add_table(
        op,
        "tokens",
        Column("token_id", KEY, primary_key=True),
        Column("kind", KEY, nullable=False),
        Column("name", KEY, nullable=False),
        Column("scopes", KEY, nullable=False),
        Column("secret_sha256", KEY, nullable=False),
        Column("created_at", KEY, nullable=False),
        Column("valid_until", KEY),
        Column("revoked_at", KEY),
    )


def down(op: Operations) -> None:
    drop_tables(op, "tokens")
