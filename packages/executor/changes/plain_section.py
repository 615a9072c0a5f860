"""Sections of plain unified diffs: `---`, `+++` and hunks, as `diff -u` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from executor.changes.cursor import PatchCursor
from executor.changes.hunks import Hunk
from executor.changes.paths import canonical_path
from executor.changes.section import (
    FileLine,
    Kind,
    Section,
    check_hunks,
    common_name,
    read_file_lines,
    read_hunks,
)
from executor.errors import InvalidChange

_BACKUPS: Final = (b".orig", b".bak", b".old", b"~")


@dataclass(frozen=True, slots=True)
class PlainSection:
    """A plain diff of one file. When one side is /dev/null, only other sections tell whether the name of
    the other carries a prefix.
    """

    old: FileLine
    new: FileLine
    hunks: list[Hunk]

    @property
    def without_prefix(self) -> bool:
        return self.old.name == self.new.name

    def section(self, *, without_prefix: bool) -> Section:
        """`without_prefix`: what other sections tell. Raises InvalidChange."""
        kind = self._kind()
        check_hunks(kind, self.hunks)
        path = canonical_path(self._name(without_prefix=without_prefix), line=self.old.line)
        source = None if kind is Kind.CREATE else path
        return Section(line=self.old.line, kind=kind, path=path, source=source, hunks=self.hunks)

    def _kind(self) -> Kind:
        only = self.hunks[0] if len(self.hunks) == 1 else None
        empty_before = only is not None and not only.old_length and not only.old_start
        if self.old.name is None or (self.old.epoch and empty_before):
            return Kind.CREATE
        if self.new.name is None or (self.new.epoch and only is not None and not only.new):
            return Kind.DELETE
        return Kind.UPDATE_OR_CREATE if empty_before else Kind.UPDATE

    def _name(self, *, without_prefix: bool) -> bytes:
        old, new = self.old.name, self.new.name
        if old is None or new is None:
            name, prefix = (old, b"a/") if old is not None else (new or b"", b"b/")
            return name if without_prefix else name.removeprefix(prefix)
        if old.startswith(new) and old[len(new) :] in _BACKUPS:
            return new
        common = common_name(old, new)
        if common is None:
            raise InvalidChange("'---' and '+++' name two files", line=self.old.line)
        return common


def read_plain_section(cursor: PatchCursor) -> PlainSection:
    """The section that begins at the `---` line at the cursor. Raises InvalidChange."""
    old, new = read_file_lines(cursor)
    return PlainSection(old, new, read_hunks(cursor))
