"""Patches that are wrong, dangerous or damaged, and what has to come of each.

`BASE` is the tree they are read against. An outcome is the name of the error, or `PROTECTED`: the patch can be
read, and the gate has to refuse a path of it.
"""

from typing import Final, NamedTuple

from support.patches import payload, raw_payload, varint

INVALID: Final = "InvalidChange"
UNSAFE: Final = "UnsafePath"
CONFLICT: Final = "BaseChanged"
PROTECTED: Final = "protected"

BASE: Final[dict[str, bytes]] = {
    "a": b"1\n2\n3\n4\n5\n",
    "b": b"b\n",
    "bin": b"\0\1\2\3",
    "crlf": b"1\r\n2\r\n3\r\n",
    "dir/f": b"f\n",
    "empty": b"",
    "noend": b"1\n2",
    "same": b"x\n" * 20,
    ".git/config": b"[core]\n",
    ".git/hooks/pre-commit": b"#!/bin/sh\n",
    ".executor/policy.yaml": b"version: 1\n",
}


class Hostile(NamedTuple):
    """`says` is part of the message; `line` the line of the patch an InvalidChange names, 0 for any."""

    id: str
    patch: bytes
    outcome: str
    says: str
    line: int = 0


BODY = b"@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"


def diff(old: bytes, new: bytes | None = None, body: bytes = BODY, headers: bytes = b"") -> bytes:
    """A git diff with the names exactly as given, prefixes included."""
    new = old.replace(b"a/", b"b/", 1) if new is None else new
    return b"diff --git %s %s\n%s--- %s\n+++ %s\n%s" % (old, new, headers, old, new, body)


def plain(old: bytes, new: bytes, body: bytes = BODY) -> bytes:
    return b"--- %s\n+++ %s\n%s" % (old, new, body)


def create(name: bytes, mode: bytes = b"100644") -> bytes:
    """A new file; `name` is put behind the prefixes as it is."""
    return (
        b"diff --git a/%s b/%s\nnew file mode %s\nindex 0000000..8ab686e\n--- /dev/null\n+++ b/%s\n"
        b"@@ -0,0 +1 @@\n+Hello\n" % (name, name, mode, name)
    )


def create_quoted(name: bytes) -> bytes:
    return (
        b'diff --git "a/%s" "b/%s"\nnew file mode 100644\n--- /dev/null\n+++ "b/%s"\n@@ -0,0 +1 @@\n+Hello\n'
        % (name, name, name)
    )


def moved(verb: bytes, source: bytes, target: bytes, title: bytes | None = None) -> bytes:
    title = title if title is not None else b"a/%s b/%s" % (source, target)
    return b"diff --git %s\nsimilarity index 100%%\n%s from %s\n%s to %s\n" % (
        title,
        verb,
        source,
        verb,
        target,
    )


def binary(name: bytes, body: bytes, index: bytes = b"") -> bytes:
    return b"diff --git a/%s b/%s\n%sGIT binary patch\n%s" % (name, name, index, body)


def delta(source: int, target: int, commands: bytes) -> bytes:
    return payload(varint(source) + varint(target) + commands, "delta")


NEW_BINARY = b"new file mode 100644\nindex " + b"0" * 40 + b"..%s\n"
BIN_ID = b"eaf36c1daccfdf325514461cd1a2ffbc139b5464"


def hunk(header: bytes, *lines: bytes) -> bytes:
    return diff(b"a/a", body=b"@@ " + header + b" @@\n" + b"".join(line + b"\n" for line in lines))


_TRAVERSAL = [
    Hostile("up", create(b"../x"), UNSAFE, "climbs"),
    Hostile("up-twice", create(b"../../etc/passwd"), UNSAFE, "climbs"),
    Hostile("up-inside", create(b"dir/../../x"), UNSAFE, "climbs"),
    Hostile("up-and-back", create(b"dir/../a"), UNSAFE, "climbs"),
    Hostile("up-at-the-end", create(b"dir/.."), UNSAFE, "climbs"),
    Hostile("up-quoted", create_quoted(b"../x"), UNSAFE, "climbs"),
    Hostile("up-octal", create_quoted(b"\\056\\056/x"), UNSAFE, "climbs"),
    Hostile("up-octal-slash", create_quoted(b"..\\057x"), UNSAFE, "climbs"),
    Hostile("up-in-an-update", diff(b"a/../x"), UNSAFE, "climbs"),
    Hostile("up-without-prefix", diff(b"../x", b"../x"), UNSAFE, "climbs"),
    Hostile("up-as-prefix", diff(b"../a", b"./a"), INVALID, "do not name the same file", 1),
    Hostile("up-as-one-prefix", diff(b"../a", b"b/a"), INVALID, "do not name the same file", 1),
    Hostile("up-plain", plain(b"a/../x", b"b/../x"), UNSAFE, "climbs"),
    Hostile("up-plain-new", plain(b"/dev/null", b"b/../x", b"@@ -0,0 +1 @@\n+x\n"), UNSAFE, "climbs"),
    Hostile("up-plain-old", plain(b"../../x", b"/dev/null", b"@@ -1 +0,0 @@\n-x\n"), UNSAFE, "climbs"),
    Hostile("up-rename-to", moved(b"rename", b"a", b"../a"), UNSAFE, "climbs"),
    Hostile("up-rename-from", moved(b"rename", b"../a", b"c"), UNSAFE, "climbs"),
    Hostile("up-copy-to", moved(b"copy", b"a", b"../../a"), UNSAFE, "climbs"),
    Hostile("up-copy-from", moved(b"copy", b"../../../etc/passwd", b"c"), UNSAFE, "climbs"),
    Hostile("up-mode", b"diff --git a/../x b/../x\nold mode 100644\nnew mode 100755\n", UNSAFE, "climbs"),
    Hostile("absolute", create(b"/etc/cron.d/x"), UNSAFE, "absolute"),
    Hostile("absolute-plain", plain(b"/etc/passwd", b"/etc/passwd"), UNSAFE, "absolute"),
    Hostile("absolute-plain-new", plain(b"/dev/null", b"/tmp/x", b"@@ -0,0 +1 @@\n+x\n"), UNSAFE, "absolute"),
    Hostile("absolute-two-roots", plain(b"/tmp/one/x", b"/tmp/two/x"), INVALID, "name two files", 1),
    Hostile("absolute-copy-from", moved(b"copy", b"/etc/passwd", b"c"), UNSAFE, "absolute"),
    Hostile("absolute-rename-to", moved(b"rename", b"a", b"/tmp/a"), UNSAFE, "absolute"),
    Hostile("dot", create(b"./x"), UNSAFE, "'.' component"),
    Hostile("double-slash", create(b"dir//x"), UNSAFE, "empty component"),
    Hostile("trailing-slash", create(b"dir/"), UNSAFE, "empty component"),
    Hostile("drive", create(b"C:/x"), UNSAFE, "drive"),
    Hostile("drive-relative", create(b"c:x"), UNSAFE, "drive"),
    Hostile("backslash", create_quoted(b"dir\\\\..\\\\..\\\\x"), UNSAFE, "backslash"),
    Hostile("backslash-unquoted", create(b"..\\x"), UNSAFE, "backslash"),
    Hostile("backslash-not-ascii", create("é\\x".encode()), UNSAFE, "backslash"),
    Hostile("unc", create_quoted(b"\\\\\\\\host\\\\share\\\\x"), UNSAFE, "backslash"),
]

_NAMES = [
    Hostile("nul", create_quoted(b"x\\000y"), UNSAFE, "NUL"),
    Hostile("nul-raw", create(b"x\0y"), UNSAFE, "NUL"),
    Hostile("newline", create_quoted(b"x\\ny"), UNSAFE, "U+000A"),
    Hostile("carriage-return", create_quoted(b"x\\r"), UNSAFE, "U+000D"),
    Hostile("escape", create_quoted(b"\\033[2J"), UNSAFE, "U+001B"),
    Hostile("bell", create_quoted(b"\\a"), UNSAFE, "U+0007"),
    Hostile("c1-control", create("x\x9by".encode()), UNSAFE, "U+009B"),
    Hostile("bidi-override", create("x\u202etxt.exe".encode()), UNSAFE, "U+202E"),
    Hostile("bidi-isolate", create("x\u2066y".encode()), UNSAFE, "U+2066"),
    Hostile("zero-width", create("x\u200by".encode()), UNSAFE, "U+200B"),
    Hostile("soft-hyphen", create("x\u00ady".encode()), UNSAFE, "U+00AD"),
    Hostile("bom", create("\ufeffx".encode()), UNSAFE, "U+FEFF"),
    Hostile("line-separator", create("x\u2028y".encode()), UNSAFE, "U+2028"),
    Hostile("noncharacter", create("x\ufffe".encode()), UNSAFE, "noncharacter"),
    Hostile("decomposed", create("e\u0301".encode()), UNSAFE, "normal form C"),
    Hostile("latin-1-name", create(b"\xe9t\xe9"), UNSAFE, "UTF-8"),
    Hostile("overlong-slash", create_quoted(b"..\\300\\257x"), UNSAFE, "UTF-8"),
    Hostile("surrogate", create_quoted(b"\\355\\240\\200"), UNSAFE, "UTF-8"),
    Hostile("device", create(b"NUL"), UNSAFE, "device"),
    Hostile("device-extension", create(b"dir/con.txt"), UNSAFE, "device"),
    Hostile("device-directory", create(b"aux/x"), UNSAFE, "device"),
    Hostile("device-digit", create("com\u00b9".encode()), UNSAFE, "device"),
    Hostile("trailing-dot", create(b"x."), UNSAFE, "space or dot"),
    Hostile("three-dots", create(b"..."), UNSAFE, "space or dot"),
    Hostile("trailing-space", create_quoted(b"x "), UNSAFE, "space or dot"),
    Hostile("long-component", create(b"x" * 256), UNSAFE, "longer than 255"),
    Hostile("long-path", create(b"x/" * 2100 + b"x"), UNSAFE, "longer than 4096"),
    Hostile("absurd-path", create(b"x" * 1_000_000), INVALID, "too long", 1),
    Hostile("no-name", create_quoted(b""), INVALID, "same file", 1),
    Hostile("open-quote", b'diff --git "a/a "b/a\n' + BODY, INVALID, "", 1),
    Hostile("unclosed-quote", b'diff --git "a/a b/a\n' + BODY, INVALID, "closing quote", 1),
    Hostile("unknown-escape", create_quoted(b"\\q"), INVALID, "unknown escape", 4),
    Hostile("octal-too-large", create_quoted(b"\\777"), INVALID, "unknown escape", 4),
    Hostile("text-behind-quote", b'diff --git "a/x" "b/x"y\n' + BODY, INVALID, "follows a quoted name", 1),
]

_PROTECTED = [
    Hostile("git-hook", create(b".git/hooks/post-checkout"), PROTECTED, ".git"),
    Hostile("git-hook-executable", create(b".git/hooks/x", b"100755"), PROTECTED, ".git"),
    Hostile("git-case", create(b".GIT/hooks/x"), PROTECTED, ".git"),
    Hostile("git-mixed-case", create(b".giT/config2"), PROTECTED, ".git"),
    Hostile("git-nested", create(b"sub/.git/hooks/x"), PROTECTED, ".git"),
    Hostile("git-file", create(b".git"), PROTECTED, ".git"),
    Hostile("git-nested-file", create(b"sub/.git"), PROTECTED, ".git"),
    Hostile("git-short-name", create(b"GIT~1/hooks/x"), PROTECTED, ".git"),
    Hostile("git-short-name-2", create(b"git~2/x"), PROTECTED, ".git"),
    Hostile("git-stream", create(b".git::$INDEX_ALLOCATION/x"), PROTECTED, ".git"),
    Hostile("git-stream-named", create(b".git:x/y"), PROTECTED, ".git"),
    Hostile("git-trailing-space", create(b".git /x"), UNSAFE, "space or dot"),
    Hostile("git-trailing-dot", create(b".git./x"), UNSAFE, "space or dot"),
    Hostile("git-joiner", create(".g\u200cit/x".encode()), UNSAFE, "U+200C"),
    Hostile("git-joiner-quoted", create_quoted(b".g\\342\\200\\214it/x"), UNSAFE, "U+200C"),
    Hostile("git-bom", create(".git\ufeff/x".encode()), UNSAFE, "U+FEFF"),
    Hostile("git-octal", create_quoted(b"\\056git/hooks/x"), PROTECTED, ".git"),
    Hostile("git-backslash", create(b".git\\hooks\\x"), UNSAFE, "backslash"),
    Hostile("git-update", diff(b"a/.git/config", body=b"@@ -1 +1,2 @@\n [core]\n+x\n"), PROTECTED, ".git"),
    Hostile(
        "git-delete",
        b"diff --git a/.git/config b/.git/config\ndeleted file mode 100644\n--- a/.git/config\n+++ /dev/null\n"
        b"@@ -1 +0,0 @@\n-[core]\n",
        PROTECTED,
        ".git",
    ),
    Hostile(
        "git-mode",
        b"diff --git a/.git/hooks/pre-commit b/.git/hooks/pre-commit\nold mode 100644\nnew mode 100755\n",
        PROTECTED,
        ".git",
    ),
    Hostile(
        "git-plain", plain(b".git/config", b".git/config", b"@@ -1 +1,2 @@\n [core]\n+x\n"), PROTECTED, ""
    ),
    Hostile("git-rename-to", moved(b"rename", b"a", b".git/hooks/x"), PROTECTED, ".git"),
    Hostile("git-rename-from", moved(b"rename", b".git/config", b"c"), UNSAFE, "nothing is taken from there"),
    Hostile("git-copy-from", moved(b"copy", b".git/config", b"c"), UNSAFE, "nothing is taken from there"),
    Hostile("git-copy-to", moved(b"copy", b"a", b".git/objects/x"), PROTECTED, ".git"),
    Hostile("git-missing", diff(b"a/.git/absent"), UNSAFE, ".git"),
    Hostile("state-directory", create(b".executor/config.toml"), PROTECTED, ".executor"),
    Hostile("state-case", create(b".Executor/executor.db"), PROTECTED, ".executor"),
    Hostile("state-short-name", create(b"EXECUT~1/x"), PROTECTED, ".executor"),
    Hostile(
        "state-policy",
        diff(b"a/.executor/policy.yaml", body=b"@@ -1 +1 @@\n-version: 1\n+version: 2\n"),
        PROTECTED,
        ".executor",
    ),
]

_HEADERS = [
    Hostile("title-mismatch", b"diff --git a/a b/b\n" + BODY, INVALID, "same file", 1),
    Hostile(
        "title-other-names", diff(b"a/a").replace(b"git a/a b/a", b"git a/b b/b"), INVALID, "same file", 1
    ),
    Hostile("old-name-mismatch", diff(b"a/a").replace(b"--- a/a", b"--- a/b"), INVALID, "same file", 1),
    Hostile("new-name-mismatch", diff(b"a/a").replace(b"+++ b/a", b"+++ b/b"), INVALID, "same file", 1),
    Hostile("two-names", plain(b"a/a", b"b/b"), INVALID, "name two files", 1),
    Hostile("rename-title-mismatch", moved(b"rename", b"a", b"c", b"a/a b/d"), INVALID, "other files", 1),
    Hostile("rename-title-source", moved(b"rename", b"a", b"c", b"a/b b/c"), INVALID, "other files", 1),
    Hostile("copy-title-mismatch", moved(b"copy", b"b", b"c", b"a/a b/c"), INVALID, "other files", 1),
    Hostile(
        "rename-file-names",
        b"diff --git a/a b/c\nsimilarity index 80%\nrename from a\nrename to c\n--- a/b\n+++ b/c\n" + BODY,
        INVALID,
        "other files than the rename",
        1,
    ),
    Hostile("rename-half", b"diff --git a/a b/c\nrename from a\n", INVALID, "needs both", 1),
    Hostile("rename-other-half", b"diff --git a/a b/c\nrename to c\n", INVALID, "needs both", 1),
    Hostile("rename-to-itself", moved(b"rename", b"a", b"a"), INVALID, "to itself", 1),
    Hostile("copy-to-itself", moved(b"copy", b"a", b"a"), INVALID, "to itself", 1),
    Hostile(
        "rename-and-copy",
        b"diff --git a/a b/c\nrename from a\nrename to c\ncopy from a\ncopy to c\n",
        INVALID,
        "contradict",
        1,
    ),
    Hostile(
        "rename-and-new",
        b"diff --git a/a b/c\nnew file mode 100644\nrename from a\nrename to c\n",
        INVALID,
        "contradict",
        1,
    ),
    Hostile("rename-stated-twice", moved(b"rename", b"a", b"c") + b"rename to d\n", INVALID, "twice", 5),
    Hostile(
        "new-and-deleted",
        b"diff --git a/c b/c\nnew file mode 100644\ndeleted file mode 100644\n",
        INVALID,
        "contradict",
        1,
    ),
    Hostile(
        "new-with-mode-change",
        b"diff --git a/c b/c\nold mode 100644\nnew mode 100755\nnew file mode 100644\n",
        INVALID,
        "contradict",
        1,
    ),
    Hostile("new-but-old-named", diff(b"a/a", headers=b"new file mode 100644\n"), INVALID, "contradict", 3),
    Hostile(
        "deleted-but-kept", diff(b"a/a", headers=b"deleted file mode 100644\n"), INVALID, "contradict", 3
    ),
    Hostile(
        "new-with-old-lines",
        create(b"c").replace(b"-0,0 +1 @@\n", b"-1 +1 @@\n-x\n"),
        INVALID,
        "old lines",
        6,
    ),
    Hostile(
        "deleted-with-new-lines",
        b"diff --git a/b b/b\ndeleted file mode 100644\n--- a/b\n+++ /dev/null\n@@ -1 +1 @@\n-b\n+c\n",
        INVALID,
        "remaining lines",
        5,
    ),
    Hostile("half-a-mode-change", b"diff --git a/a b/a\nnew mode 100755\n", INVALID, "belong together", 1),
    Hostile("both-dev-null", plain(b"/dev/null", b"/dev/null"), INVALID, "both sides", 1),
    Hostile("only-old-name", b"diff --git a/a b/a\n--- a/a\n" + BODY, INVALID, "belong together", 2),
    Hostile("only-new-name", b"diff --git a/a b/a\n+++ b/a\n" + BODY, INVALID, "belong together", 2),
    Hostile("no-names", b"diff --git \n" + BODY, INVALID, "same file", 1),
    Hostile("one-name", b"diff --git a/a\n" + BODY, INVALID, "same file", 1),
    Hostile("bad-mode", create(b"c", b"10064x"), INVALID, "no file mode", 2),
    Hostile("bad-index", diff(b"a/a", headers=b"index xyz..abc 100644\n"), INVALID, "'index' line", 2),
    Hostile(
        "bad-similarity",
        b"diff --git a/a b/c\nsimilarity index x\nrename from a\nrename to c\n",
        INVALID,
        "",
        2,
    ),
    Hostile("two-diffs-of-one-file", diff(b"a/a") + diff(b"a/a"), INVALID, "changed twice", 9),
    Hostile("created-twice", create(b"c") + create(b"c"), INVALID, "changed twice", 8),
    Hostile("two-dialects-of-one-file", diff(b"a/a") + plain(b"a/a", b"b/a"), INVALID, "changed twice", 9),
    Hostile(
        "renamed-twice", moved(b"rename", b"a", b"c") + moved(b"rename", b"a", b"d"), INVALID, "twice", 5
    ),
    Hostile(
        "renamed-and-changed", moved(b"rename", b"a", b"c") + diff(b"a/a"), INVALID, "changed or deleted", 5
    ),
    Hostile("two-onto-one", moved(b"rename", b"a", b"c") + moved(b"rename", b"b", b"c"), INVALID, "twice", 5),
]

_TYPES = [
    Hostile("symlink", create(b"link", b"120000"), UNSAFE, "symbolic link"),
    Hostile(
        "symlink-update", diff(b"a/a", headers=b"index 94ebaf9..8b13789 120000\n"), UNSAFE, "symbolic link"
    ),
    Hostile(
        "symlink-from-file", b"diff --git a/a b/a\nold mode 100644\nnew mode 120000\n", UNSAFE, "symbolic"
    ),
    Hostile("symlink-to-file", b"diff --git a/a b/a\nold mode 120000\nnew mode 100644\n", UNSAFE, "symbolic"),
    Hostile(
        "symlink-then-through-it",
        create(b"out", b"120000").replace(b"Hello", b"/tmp") + create(b"out/x"),
        UNSAFE,
        "symbolic link",
    ),
    Hostile("submodule", create(b"sub", b"160000"), UNSAFE, "submodule"),
    Hostile("directory", create(b"sub", b"040000"), UNSAFE, "regular file"),
    Hostile("character-device", create(b"tty", b"020666"), UNSAFE, "regular file"),
    Hostile("fifo", create(b"pipe", b"010644"), UNSAFE, "regular file"),
    Hostile("socket", create(b"sock", b"140755"), UNSAFE, "regular file"),
]

_COLLISIONS = [
    Hostile("case", create(b"Readme") + create(b"README"), UNSAFE, "only in case"),
    Hostile("case-folding", create("straße".encode()) + create(b"strasse"), UNSAFE, "only in case"),
    Hostile("case-of-a-directory", create(b"x") + create(b"X/y"), UNSAFE, "both a file and a directory"),
    Hostile("file-and-directory", create(b"x") + create(b"x/y"), UNSAFE, "both a file and a directory"),
    Hostile(
        "deep-file-and-directory", create(b"x/y/z") + create(b"x"), UNSAFE, "both a file and a directory"
    ),
    Hostile("updated-and-directory", diff(b"a/a") + create(b"a/x"), UNSAFE, "both a file and a directory"),
    Hostile("kelvin", create("\u212a".encode()) + create(b"k"), UNSAFE, "normal form C"),
]

_HUNKS = [
    Hostile("empty", b"", INVALID, "empty"),
    Hostile("blank", b"\n\n  \n", INVALID, "empty"),
    Hostile("only-bom", b"\xef\xbb\xbf\n", INVALID, "empty"),
    Hostile("prose", b"Please change line 2 of a.\n", INVALID, "no diff"),
    Hostile(
        "utf-16",
        "\ufeff".encode("utf-16-le") + diff(b"a/a").decode().encode("utf-16-le"),
        INVALID,
        "UTF-16",
        1,
    ),
    Hostile("colours", b"\x1b[1m" + diff(b"a/a").replace(b"\n", b"\x1b[m\n\x1b[1m"), INVALID, "--no-color"),
    Hostile("left-out-first", b"Only in b: c\n" + plain(b"a/a", b"b/a"), INVALID, "-N", 1),
    Hostile("hunk-without-file", BODY, INVALID, "without the names", 1),
    Hostile(
        "combined", b"diff --cc a\nindex 1,2..3\n--- a/a\n+++ b/a\n@@@ -1 -1 +1 @@@\n", INVALID, "merge", 1
    ),
    Hostile("combined-hunk", diff(b"a/a", body=b"@@@ -1 -1 +1 @@@\n  1\n"), INVALID, "no hunk follows", 4),
    Hostile("no-hunk", diff(b"a/a", body=b""), INVALID, "no hunk follows", 4),
    Hostile("title-alone", b"diff --git a/a b/a\n", INVALID, "no content", 1),
    Hostile("index-alone", b"diff --git a/a b/a\nindex 94ebaf9..8b13789 100644\n", INVALID, "no content", 1),
    Hostile(
        "lost-content",
        b"diff --git a/c b/c\nnew file mode 100644\nindex 0000000..8ab686e\n",
        INVALID,
        "no content",
        1,
    ),
    Hostile(
        "lost-edits-of-a-rename",
        b"diff --git a/a b/c\nsimilarity index 60%\nrename from a\nrename to c\n",
        INVALID,
        "no content",
        1,
    ),
    Hostile("no-numbers", hunk(b"-x +y", b" 1", b"-2"), INVALID, "hunk header", 4),
    Hostile("negative", hunk(b"--1 +1", b"-1"), INVALID, "hunk header", 4),
    Hostile("huge-start", hunk(b"-99999999999999999999 +1", b"-1"), INVALID, "hunk header", 4),
    Hostile("huge-length", hunk(b"-1,999999999 +1,2", b" 1", b"-2"), INVALID, "cut off", 7),
    Hostile("unicode-digits", hunk("-١ +١".encode(), b"-1", b"+x"), INVALID, "hunk header", 4),
    Hostile(
        "too-short", hunk(b"-1,4 +1,4", b" 1", b"-2", b"+two", b" 3") + create(b"c"), INVALID, "shorter", 9
    ),
    Hostile("too-long", hunk(b"-1,2 +1,2", b" 1", b"-2", b"+two", b" 3"), INVALID, "longer", 8),
    Hostile("too-many-old", hunk(b"-1,1 +1,3", b"-1", b"-2", b"+x"), INVALID, "longer", 6),
    Hostile("too-many-new", hunk(b"-1,3 +1,1", b"+1", b"+2", b"-1"), INVALID, "longer", 6),
    Hostile("added-behind", diff(b"a/a") + b"+more\n", INVALID, "longer", 9),
    Hostile("context-behind-blank", diff(b"a/a") + b"\n 4\n", INVALID, "behind the end", 10),
    Hostile("garbage-behind", diff(b"a/a") + b"```\n", INVALID, "neither part", 9),
    Hostile("garbage-in-header", b"diff --git a/a b/a\nfoo bar\n--- a/a\n+++ b/a\n" + BODY, INVALID, "", 0),
    Hostile("damaged-line", hunk(b"-1,3 +1,3", b" 1", b"?2", b"+two", b" 3"), INVALID, "damaged", 6),
    Hostile("changes-nothing", hunk(b"-1,3 +1,3", b" 1", b" 2", b" 3"), INVALID, "changes nothing", 4),
    Hostile("no-lines", hunk(b"-1,0 +1,0"), INVALID, "changes nothing", 4),
    Hostile("same-again", hunk(b"-1,3 +1,3", b" 1", b"-2", b"+2", b" 3"), INVALID, "changes nothing"),
    Hostile("cut-in-a-line", diff(b"a/a")[:-2], INVALID, "inside a line", 8),
    Hostile("cut-in-a-hunk", diff(b"a/a")[:-3], INVALID, "inside a hunk", 8),
    Hostile("lost-last-newline", diff(b"a/a")[:-1], INVALID, "last newline was lost", 8),
    Hostile(
        "mark-first",
        hunk(b"-1,2 +1,2", b"\\ No newline at end of file", b" 1"),
        INVALID,
        "follows no line",
        5,
    ),
    Hostile(
        "mark-twice",
        hunk(b"-1 +1", b"-1", b"+x", b"\\ No newline at end of file", b"\\ No newline at end of file"),
        INVALID,
        "follows no line",
        8,
    ),
    Hostile(
        "mark-in-the-middle",
        hunk(b"-1,2 +1,2", b" 1", b"\\ No newline at end of file", b"-2", b"+x"),
        INVALID,
        "having no newline",
        7,
    ),
    Hostile("overlap", hunk(b"-1,3 +1,3", b" 1", b"-2", b"+two", b" 3") + BODY, INVALID, "out of order", 9),
    Hostile(
        "out-of-order",
        hunk(b"-3,3 +3,3", b" 3", b"-4", b"+four", b" 5") + b"@@ -1,2 +1,2 @@\n-1\n+one\n 2\n",
        INVALID,
        "out of order",
        9,
    ),
    Hostile(
        "behind-the-end",
        diff(b"a/noend", body=b"@@ -2 +2 @@\n-2\n\\ No newline at end of file\n+3\n@@ -9,2 +9 @@\n 9\n-8\n"),
        INVALID,
        "ends the file",
        8,
    ),
    Hostile(
        "binary-without-content",
        b"diff --git a/bin b/bin\nindex 1234..5678 100644\nBinary files a/bin and b/bin differ\n",
        INVALID,
        "--binary",
        3,
    ),
    Hostile(
        "plain-binary",
        plain(b"a/a", b"b/a") + b"diff -ru a/bin b/bin\nBinary files a/bin and b/bin differ\n",
        INVALID,
        "--binary",
        9,
    ),
    Hostile("left-out", plain(b"a/a", b"b/a") + b"Only in b: c\n", INVALID, "-N", 8),
    Hostile("deleted-mode-behind", diff(b"a/a") + b"deleted file mode 100644\n", INVALID, "neither part", 9),
]

_CONFLICTS = [
    Hostile("absent", diff(b"a/absent"), CONFLICT, "absent: does not exist"),
    Hostile("other-content", hunk(b"-1,3 +1,3", b" 1", b"-zwei", b"+two", b" 3"), CONFLICT, "does not match"),
    Hostile("other-context", hunk(b"-1,3 +1,3", b" eins", b"-2", b"+two", b" 3"), CONFLICT, "does not match"),
    Hostile("not-at-the-beginning", hunk(b"-1,2 +1,2", b"-2", b"+two", b" 3"), CONFLICT, "cannot belong"),
    Hostile("not-at-the-end", hunk(b"-2,2 +2,2", b" 2", b"-3", b"+three"), CONFLICT, "cannot belong"),
    Hostile("no-context", hunk(b"-3 +3", b"-3", b"+three"), CONFLICT, "no context"),
    Hostile("no-context-insertion", hunk(b"-3,0 +4", b"+new"), CONFLICT, "no context"),
    Hostile("insertion-at-the-end", hunk(b"-5,0 +6", b"+new"), CONFLICT, "no context"),
    Hostile("line-ends", diff(b"a/crlf"), CONFLICT, "line ends"),
    Hostile("other-line-ends", diff(b"a/a").replace(b"\n", b"\r\n"), CONFLICT, "line ends"),
    Hostile(
        "newline-mark",
        hunk(b"-4,2 +4,2", b" 4", b"-5", b"\\ No newline at end of file", b"+x"),
        CONFLICT,
        "match",
    ),
    Hostile(
        "lost-newline-in-the-middle",
        hunk(b"-1,2 +1,2", b" 1", b"-2", b"+x", b"\\ No newline at end of file"),
        CONFLICT,
        "cannot belong",
    ),
    Hostile("exists", create(b"a"), CONFLICT, "a: exists already"),
    Hostile(
        "exists-empty",
        b"diff --git a/b b/b\nnew file mode 100644\nindex 0000000..e69de29\n",
        CONFLICT,
        "exists already",
    ),
    Hostile("cut-before-content", b"diff --git a/c b/c\nnew file mode 100644\n", INVALID, "no content", 1),
    Hostile("plain-exists", plain(b"a/b", b"b/b", b"@@ -0,0 +1 @@\n+x\n"), CONFLICT, "does not match"),
    Hostile("rename-absent", moved(b"rename", b"absent", b"c"), CONFLICT, "absent: does not exist"),
    Hostile("copy-absent", moved(b"copy", b"absent", b"c"), CONFLICT, "absent: does not exist"),
    Hostile("rename-onto", moved(b"rename", b"a", b"b"), CONFLICT, "b: exists already"),
    Hostile("copy-onto", moved(b"copy", b"a", b"b"), CONFLICT, "b: exists already"),
    Hostile("chain-onto", moved(b"rename", b"a", b"c") + moved(b"rename", b"b", b"dir/f"), CONFLICT, "dir/f"),
    Hostile(
        "chain-from-new", moved(b"rename", b"a", b"c") + moved(b"rename", b"c", b"d"), CONFLICT, "c: does not"
    ),
    Hostile(
        "delete-other",
        b"diff --git a/a b/a\ndeleted file mode 100644\n--- a/a\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\n-2\n",
        CONFLICT,
        "a: ",
    ),
    Hostile(
        "delete-changed",
        b"diff --git a/b b/b\ndeleted file mode 100644\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-c\n",
        CONFLICT,
        "b: ",
    ),
    Hostile("delete-unseen", b"diff --git a/a b/a\ndeleted file mode 100644\n", CONFLICT, "other content"),
    Hostile(
        "delete-other-id",
        b"diff --git a/a b/a\ndeleted file mode 100644\nindex 8b13789..0000000\n",
        CONFLICT,
        "other content",
    ),
    Hostile(
        "delete-absent", plain(b"a/absent", b"/dev/null", b"@@ -1 +0,0 @@\n-x\n"), CONFLICT, "does not exist"
    ),
    Hostile("mode-is-other", b"diff --git a/a b/a\nold mode 100755\nnew mode 100644\n", CONFLICT, "has mode"),
    Hostile(
        "rename-and-edit-other",
        b"diff --git a/b b/c\nsimilarity index 60%\nrename from b\nrename to c\n--- a/b\n+++ b/c\n" + BODY,
        CONFLICT,
        "b: the hunk",
    ),
]

_BINARIES = [
    Hostile(
        "literal-not-base85", binary(b"c", b"literal 3\nC!!\n\n", NEW_BINARY % BIN_ID), INVALID, "length", 6
    ),
    Hostile(
        "literal-bad-digit", binary(b"c", b'literal 3\nC"""""\n\n', NEW_BINARY % BIN_ID), INVALID, "85", 6
    ),
    Hostile(
        "literal-bad-letter",
        binary(b"c", b"literal 3\n0abcde\n\n", NEW_BINARY % BIN_ID),
        INVALID,
        "length",
        6,
    ),
    Hostile(
        "literal-overflow", binary(b"c", b"literal 4\nD~~~~~\n\n", NEW_BINARY % BIN_ID), INVALID, "85", 6
    ),
    Hostile(
        "literal-not-zlib",
        binary(b"c", raw_payload("literal", 9, b"not zlib!"), NEW_BINARY % BIN_ID),
        INVALID,
        "zlib",
        5,
    ),
    Hostile(
        "literal-too-large",
        binary(b"c", payload(b"x" * 9).replace(b"9", b"8", 1), NEW_BINARY % BIN_ID),
        INVALID,
        "inflate",
        5,
    ),
    Hostile(
        "literal-too-small",
        binary(b"c", payload(b"x" * 8).replace(b"8", b"9", 1), NEW_BINARY % BIN_ID),
        INVALID,
        "inflate",
        5,
    ),
    Hostile(
        "literal-trailing-data",
        binary(b"c", raw_payload("literal", 0, b"x\x9c\x03\0\0\0\0\x01more"), NEW_BINARY % BIN_ID),
        INVALID,
        "inflate",
        5,
    ),
    Hostile("literal-other-id", binary(b"c", payload(b"\0"), NEW_BINARY % BIN_ID), INVALID, "index line", 1),
    Hostile(
        "literal-cut", binary(b"c", payload(b"\0")[:-1], NEW_BINARY % BIN_ID), INVALID, "inside a binary", 7
    ),
    Hostile(
        "literal-huge",
        binary(b"c", b"literal 99999999999\n\n", NEW_BINARY % BIN_ID),
        INVALID,
        "file_bytes",
        5,
    ),
    Hostile(
        "literal-absurd",
        binary(b"c", b"literal 9999999999999999999999\n\n", NEW_BINARY % BIN_ID),
        INVALID,
        "begins with",
        5,
    ),
    Hostile(
        "literal-negative", binary(b"c", b"literal -1\n\n", NEW_BINARY % BIN_ID), INVALID, "begins with", 5
    ),
    Hostile("payload-missing", binary(b"c", b"", NEW_BINARY % BIN_ID), INVALID, "begins with", 5),
    Hostile("payload-of-nothing", b"GIT binary patch\n" + payload(b"x"), INVALID, "without the names", 1),
    Hostile(
        "new-file-by-delta",
        binary(b"c", delta(0, 1, b"\1x"), NEW_BINARY % BIN_ID),
        INVALID,
        "cannot be a delta",
        5,
    ),
    Hostile("update-unproven", binary(b"bin", payload(b"\0x")), INVALID, "which binary file", 1),
    Hostile(
        "update-short-id",
        binary(b"bin", payload(b"\0x"), b"index eaf36c1..1234\n"),
        INVALID,
        "which binary",
        1,
    ),
    Hostile(
        "update-other-id",
        binary(b"bin", payload(b"\0x"), b"index " + b"1" * 40 + b".." + b"2" * 40 + b"\n"),
        CONFLICT,
        "another binary",
    ),
    Hostile(
        "update-other-reverse",
        binary(b"bin", payload(b"\0x") + payload(b"\0\1\2\4")),
        CONFLICT,
        "another binary",
    ),
    Hostile(
        "delta-other-source",
        binary(b"bin", delta(5, 1, b"\1x"), b"index " + BIN_ID + b".." + b"2" * 40 + b"\n"),
        INVALID,
        "for a file of 5 bytes",
        4,
    ),
    *[
        Hostile(
            f"delta-{name}",
            binary(b"bin", body, b"index " + BIN_ID + b".." + b"2" * 40 + b"\n"),
            INVALID,
            says,
            4,
        )
        for name, body, says in [
            ("huge-target", delta(4, 1 << 40, b""), "file_bytes"),
            ("huge-copy", delta(4, 4, b"\xff\xff\xff\xff\xff\xff\xff\xff"), "outside the old file"),
            ("copy-behind-the-end", delta(4, 4, b"\x91\x02\x04"), "outside the old file"),
            ("default-copy-size", delta(4, 4, b"\x80"), "outside the old file"),
            ("reserved", delta(4, 1, b"\0"), "reserved"),
            ("cut-copy", delta(4, 4, b"\x91\x01"), "ends inside"),
            ("cut-insert", delta(4, 4, b"\x04ab"), "ends inside"),
            ("too-much", delta(4, 1, b"\x02ab"), "more than the 1 bytes"),
            ("too-little", delta(4, 3, b"\x02ab"), "not the 3"),
            ("no-sizes", payload(b"", "delta"), "no readable sizes"),
            ("endless-size", payload(b"\xff" * 20, "delta"), "no readable sizes"),
            ("one-size", payload(b"\x04", "delta"), "no readable sizes"),
        ]
    ],
    Hostile(
        "delete-keeps-content",
        binary(
            b"bin", payload(b"x"), b"deleted file mode 100644\nindex " + BIN_ID + b".." + b"0" * 40 + b"\n"
        ),
        INVALID,
        "keeps content",
        5,
    ),
    Hostile("reverse-cut", binary(b"bin", payload(b"\0x") + b"literal 4\nC"), INVALID, "wrong length", 7),
    Hostile(
        "third-payload",
        binary(b"bin", payload(b"\0x") + payload(BASE["bin"]) + payload(b"z")),
        INVALID,
        "neither part",
        9,
    ),
]

CASES: Final[list[Hostile]] = [
    *_TRAVERSAL,
    *_NAMES,
    *_PROTECTED,
    *_HEADERS,
    *_TYPES,
    *_COLLISIONS,
    *_HUNKS,
    *_CONFLICTS,
    *_BINARIES,
]
