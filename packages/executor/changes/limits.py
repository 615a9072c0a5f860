"""How large an input and what it does to a workspace may be."""

from __future__ import annotations

from typing import Final

import msgspec

from executor.errors import InvalidChange

_MIB = 1024 * 1024


class ChangeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds; what exceeds one is refused with the name of the limit and the value found.

    `files` counts changed files, `file_bytes` and `total_bytes` the content after the change (also what a
    binary payload says it will inflate to), `input_bytes` and `input_lines` the patch or document itself.
    """

    files: int = 10_000
    file_bytes: int = 10 * _MIB
    total_bytes: int = 50 * _MIB
    input_bytes: int = 150 * _MIB
    input_lines: int = 2_000_000

    def check(self, name: str, value: int, *, path: str | None = None, line: int | None = None) -> None:
        """Raises InvalidChange when `value` exceeds the limit called `name`."""
        limit: int = getattr(self, name)
        if value > limit:
            whose = f"{path!r} has " if path is not None else ""
            unit = name.rpartition("_")[2]
            raise InvalidChange(
                f"{whose}{value:,} {unit}, more than the limit {name} = {limit:,}", path=path, line=line
            )


DEFAULT_LIMITS: Final = ChangeLimits()
