"""The grammar of patches: bytes become one `Section` for each file, without looking at any file.

Text before the first diff and between the mails of a series is skipped; what could be a damaged piece of a
diff is refused with its line, because skipping it would apply half of what was meant.
"""

from __future__ import annotations

import re
from typing import Final

from executor.changes.cursor import PatchCursor, shown
from executor.changes.git_section import read_git_section, refuse_missing_content
from executor.changes.limits import ChangeLimits
from executor.changes.plain_section import PlainSection, read_plain_section
from executor.changes.section import Section, at_file_lines
from executor.errors import InvalidChange

_BOM: Final = b"\xef\xbb\xbf"
# What may stand directly behind the diff of a file: another diff, the next mail or commit.
_FOLLOWERS: Final = (b"diff ", b"Index: ", b"From ", b"commit ")
# What diff -r writes in place of the diff of a file that one side lacks.
_ONLY_IN: Final = re.compile(rb"Only in [^:]+: [^ ]")


def parse_patch(data: bytes, limits: ChangeLimits) -> list[Section]:
    """All sections of a patch, in its order. Raises InvalidChange (UnsafePath for a name)."""
    limits.check("input_bytes", len(data))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidChange("the patch is UTF-16; write it unconverted (git diff --output=FILE)", line=1)
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise InvalidChange("the patch is empty")
    limits.check("input_lines", data.count(b"\n"))
    cursor = PatchCursor(data)
    found: list[Section | PlainSection] = []
    while (text := cursor.peek()) is not None:
        if text.startswith(b"diff --git "):
            found.append(read_git_section(cursor, limits))
        elif at_file_lines(cursor):
            found.append(read_plain_section(cursor))
        else:
            _skip_text(cursor, text)
            continue
        limits.check("files", len(found), line=cursor.line)
        _check_end(cursor)
    if not found:
        hint = "; it has colour codes, make it with --no-color" if b"\x1b[" in data else ""
        raise InvalidChange(f"there is no diff in the patch{hint}")
    bare = any(item.without_prefix for item in found if isinstance(item, PlainSection))
    return [item.section(without_prefix=bare) if isinstance(item, PlainSection) else item for item in found]


def _skip_text(cursor: PatchCursor, text: bytes) -> None:
    if text.startswith(b"@@ -"):
        raise InvalidChange("a hunk stands without the names of its file", line=cursor.line)
    if text.startswith((b"diff --cc ", b"diff --combined ", b"@@@ ")):
        raise InvalidChange("a combined diff of a merge cannot be applied", line=cursor.line)
    if text.startswith(b"GIT binary patch"):
        raise InvalidChange("a binary payload stands without the names of its file", line=cursor.line)
    if _ONLY_IN.match(text):
        raise InvalidChange("the diff leaves a file out; make it with diff -N", line=cursor.line)
    cursor.take()
    if text.startswith(b"diff "):
        following = cursor.peek()
        if following is None:
            raise InvalidChange("the patch ends where a diff begins: it is cut off", line=cursor.line - 1)
        refuse_missing_content(following, cursor.line)


def _check_end(cursor: PatchCursor) -> None:
    """What follows a section must not look like a lost piece of it."""
    text = cursor.peek()
    if text is None or text.startswith(_FOLLOWERS) or text in (b"--", b"-- ") or at_file_lines(cursor):
        return
    if _ONLY_IN.match(text):
        return
    refuse_missing_content(text, cursor.line)
    if not text.strip():
        following = cursor.peek(1) or b""
        if not following.startswith((b"+", b"-", b" ")) or following.startswith(b"--"):
            return
        raise InvalidChange("a line of a hunk stands behind the end of its hunk", line=cursor.line + 1)
    if text.startswith((b"+", b"-", b" ")):
        raise InvalidChange("the hunk is longer than its header says", line=cursor.line)
    raise InvalidChange(f"{shown(text)} is neither part of this diff nor of another", line=cursor.line)
