"""What a change is made against: the files of a tree, read by path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BaseEntry:
    """A regular file as it stands: its bytes and permission bits."""

    content: bytes
    mode: int


class BaseReader(Protocol):
    """Anything that can say what stands at a path."""

    def read(self, path: str) -> BaseEntry | None:
        """The regular file at a canonical path; None when nothing stands there.

        Raises UnsafePath when something else stands there, or the way leads through a symbolic link.
        """
        ...
