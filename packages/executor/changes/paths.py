"""Which paths may be changed: one spelling per file, inside the workspace, the same on every file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from typing import Final

from executor.errors import InvalidChange, UnsafePath

MAX_COMPONENT_BYTES: Final = 255
MAX_PATH_BYTES: Final = 4096

# Windows opens a device whatever the extension or the case is; the superscript digits count as digits there.
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:[.:].*)?",
    re.IGNORECASE | re.DOTALL,
)
_DRIVE: Final = re.compile(r"[A-Za-z]:")
# Cc control, Cf format (bidi marks, joiners, everything HFS+ ignores), Cs surrogates, Zl and Zp line ends.
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_GIT: Final = re.compile(r"\.git|git~[0-9]+")
_STATE: Final = re.compile(r"\.executor|execut~[0-9]+")
_SHOWN: Final = 200


def canonical_path(raw: str | bytes, *, line: int | None = None) -> str:
    """Returns `raw` as text when it is canonical: relative, `/` between components, NFC.

    Nothing is repaired: a path that is not canonical raises UnsafePath with the reason, because the file
    meant and the file changed could be two. Bytes are read as UTF-8.
    """
    if isinstance(raw, bytes):
        try:
            path = raw.decode()
        except UnicodeDecodeError:
            shown = raw.decode("utf-8", "backslashreplace")
            raise UnsafePath(shown[:_SHOWN], "it is not valid UTF-8", line=line) from None
    else:
        path = raw
    reason = _fault(path)
    if reason is not None:
        raise UnsafePath(path[:_SHOWN], reason, line=line)
    return path


def _fault(path: str) -> str | None:
    if not path:
        return "it is empty"
    # Four bytes a character at most: whatever is longer is not worth encoding.
    if len(path) > MAX_PATH_BYTES or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    fault = _character_fault(path)
    if fault is not None:
        return fault
    if path.startswith("/"):
        return "it is absolute"
    if _DRIVE.match(path):
        return "it names a drive"
    for component in path.split("/"):
        fault = _component_fault(component)
        if fault is not None:
            return fault
    return None


def _character_fault(path: str) -> str | None:
    if path.isascii() and path.isprintable():
        return "it contains a backslash" if "\\" in path else None
    for character in path:
        if character == "\0":
            return "it contains a NUL"
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
            return f"it contains the control or format character U+{ord(character):04X}"
        if ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
            return f"it contains the noncharacter U+{ord(character):04X}"
    if "\\" in path:
        return "it contains a backslash"
    if not unicodedata.is_normalized("NFC", path):
        return "it is not in Unicode normal form C"
    return None


@lru_cache(maxsize=4096)
def _component_fault(component: str) -> str | None:
    if not component:
        return "it has an empty component"
    if component == "..":
        return "it climbs with '..'"
    if component == ".":
        return "it has a '.' component"
    if component.endswith((" ", ".")):
        return "a component ends with a space or dot, which some file systems drop"
    if len(component.encode()) > MAX_COMPONENT_BYTES:
        return f"a component is longer than {MAX_COMPONENT_BYTES} bytes"
    if _DEVICE.fullmatch(component):
        return f"{component!r} is a reserved device name"
    return None


def is_protected(path: str) -> str | None:
    """Why `path` must never be changed: it is in a git directory or the state directory; None when it is not.

    Judges every component in every spelling some file system takes for the same name, so it also answers
    for paths `canonical_path` refuses.
    """
    for component in path.replace("\\", "/").split("/"):
        reason = _protection(component)
        if reason is not None:
            return reason
    return None


# Paths share most of their components, and some have thousands.
@lru_cache(maxsize=4096)
def _protection(component: str) -> str | None:
    name = _folded_name(component)
    if _GIT.fullmatch(name):
        return "it is inside a .git directory"
    if _STATE.fullmatch(name):
        return "it is inside the state directory .executor"
    return None


def _folded_name(component: str) -> str:
    visible = "".join(c for c in component if unicodedata.category(c) not in _FORBIDDEN_CATEGORIES)
    name = unicodedata.normalize("NFKC", visible).casefold()
    # NTFS: `name:stream:type` opens `name`; trailing dots and spaces are dropped.
    return name.partition(":")[0].rstrip(" .")


def _fold(path: str) -> str:
    """Equal for paths that a case-insensitive or normalising file system holds for one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def check_collisions(
    written: Iterable[str], *, removed: Iterable[str] = (), existing: Iterable[str] = ()
) -> None:
    """Raises when the paths cannot all be files of one tree.

    `written` are the files that are created or updated, `removed` those that go away, `existing` those that
    are there and stay unless removed. One path written twice is InvalidChange; two paths that differ only
    in case or normalisation, or a file that would also be a directory, are UnsafePath.
    """
    gone = set(removed)
    spelled: dict[str, str] = {}
    for path in existing:
        if path not in gone:
            spelled[_fold(path)] = path
    new: set[str] = set()
    for path in written:
        if path in new:
            raise InvalidChange(f"{path!r} is changed twice", path=path)
        new.add(path)
        other = spelled.setdefault(_fold(path), path)
        if other != path:
            raise UnsafePath(path, f"it differs from {other!r} only in case or normalisation")
    _check_directories(spelled, new)


def _check_directories(spelled: Mapping[str, str], new: Set[str]) -> None:
    """`spelled` maps folded paths to paths. Files that stand side by side already are no concern."""
    above: list[tuple[str, str]] = []
    # With the separator smallest, everything below a path comes directly behind it.
    for folded, path in sorted((folded.replace("/", "\0"), path) for folded, path in spelled.items()):
        while above and not folded.startswith(above[-1][0]):
            above.pop()
        for _, file in above:
            if file in new or path in new:
                raise UnsafePath(path, f"{file!r} would be both a file and a directory")
        above.append((folded + "\0", path))
