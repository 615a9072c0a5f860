"""JSON changesets that are wrong or dangerous, read against the tree of `hostile_patches`."""

import json
from typing import Any, Final

from changes.hostile_patches import CONFLICT, INVALID, PROTECTED, UNSAFE, Hostile

SHA_OF_NOTHING: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def document(*changes: Any, **more: Any) -> bytes:
    return json.dumps({"version": 1, "changes": list(changes), **more}).encode()


def create(path: str, content: str = "x\n", **more: Any) -> dict[str, Any]:
    return {"operation": "create", "path": path, "content": content, **more}


def update(path: str, content: str = "x\n", **more: Any) -> dict[str, Any]:
    return {"operation": "update", "path": path, "content": content, **more}


def delete(path: str, **more: Any) -> dict[str, Any]:
    return {"operation": "delete", "path": path, **more}


def rename(source: str, path: str, **more: Any) -> dict[str, Any]:
    return {"operation": "rename", "from": source, "path": path, **more}


def chmod(path: str, mode: str, **more: Any) -> dict[str, Any]:
    return {"operation": "chmod", "path": path, "mode": mode, **more}


_FORM = [
    Hostile("empty", b"", INVALID, "truncated"),
    Hostile("not-json", b"diff --git a/a b/a\n", INVALID, "malformed", 1),
    Hostile("not-json-line-3", b'{"version": 1,\n"changes":\n[}', INVALID, "malformed", 3),
    Hostile("cut", document(create("c"))[:-2], INVALID, "truncated"),
    Hostile("trailing", document(create("c")) + b"\n{}", INVALID, "trailing"),
    Hostile("bom", b"\xef\xbb\xbf" + document(create("c")), INVALID, "malformed"),
    Hostile("utf-16", document(create("c")).decode().encode("utf-16"), INVALID, "malformed"),
    Hostile("latin-1", b'{"version":1,"title":"\xe9","changes":[]}', INVALID, "UTF-8"),
    Hostile("array", b"[]", INVALID, "Expected `object`"),
    Hostile("null", b"null", INVALID, "Expected `object`"),
    Hostile("no-version", b'{"changes":[{"operation":"delete","path":"a"}]}', INVALID, "`version`"),
    Hostile("no-changes", b'{"version":1}', INVALID, "`changes`"),
    Hostile("empty-changes", document(), INVALID, "(at `$.changes`)"),
    Hostile("other-version", document(create("c"), version=2), INVALID, "(at `$.version`)"),
    Hostile("version-as-text", document(create("c"), version="1"), INVALID, "(at `$.version`)"),
    Hostile("version-as-bool", document(create("c"), version=True), INVALID, "(at `$.version`)"),
    Hostile("unknown-key", document(create("c"), verify=["true"]), INVALID, "unknown field `verify`"),
    Hostile("long-title", document(create("c"), title="x" * 501), INVALID, "(at `$.title`)"),
    Hostile("title-as-list", document(create("c"), title=[]), INVALID, "(at `$.title`)"),
    Hostile("change-as-text", document("create"), INVALID, "(at `$.changes[0]`)"),
    Hostile("deep", b'{"version":1,"changes":' + b"[" * 200_000, INVALID, "(at `$.changes[0]`)"),
    Hostile("deep-unknown", b'{"version":1,"x":' + b'{"y":' * 200_000, INVALID, "unknown field `x`"),
    Hostile("deep-alone", b"[" * 1_000_000, INVALID, "Expected `object`"),
    Hostile(
        "unknown-operation", document({"operation": "exec", "path": "c"}), INVALID, "changes[0].operation"
    ),
    Hostile("no-operation", document({"path": "c", "content": ""}), INVALID, "`operation`"),
    Hostile("no-path", document({"operation": "delete"}), INVALID, "`path`"),
    Hostile("path-as-list", document(delete(["a"])), INVALID, "(at `$.changes[0].path`)"),  # type: ignore[arg-type]
    Hostile(
        "unknown-change-key", document(create("c"), create("d", force=True)), INVALID, "(at `$.changes[1]`)"
    ),
    Hostile(
        "repeated-key",
        b'{"version":1,"changes":[{"operation":"delete","path":"a","path":"b"}]}',
        INVALID,
        "'path' twice",
    ),
    Hostile(
        "repeated-key-escaped",
        b'{"version":1,"changes":[{"operation":"delete","path":"a","p\\u0061th":"b"}]}',
        INVALID,
        "'path' twice",
    ),
    Hostile(
        "repeated-changes",
        document(create("c"))[:-1] + b',"changes":[{"operation":"delete","path":"a"}]}',
        INVALID,
        "'changes' twice",
    ),
    Hostile(
        "no-content",
        document({"operation": "create", "path": "c"}),
        INVALID,
        "is missing (at `$.changes[0]`)",
    ),
    Hostile(
        "both-contents", document(update("a", content_base64="")), INVALID, "both given (at `$.changes[0]`)"
    ),
    Hostile(
        "bad-base64",
        document({"operation": "create", "path": "c", "content_base64": "x"}),
        INVALID,
        "base 64",
    ),
    Hostile(
        "base64-newline",
        document({"operation": "create", "path": "c", "content_base64": "eA==\n"}),
        INVALID,
        "base 64",
    ),
    Hostile(
        "base64-not-ascii",
        document({"operation": "create", "path": "c", "content_base64": "é"}),
        INVALID,
        "base 64",
    ),
    Hostile("content-of-a-delete", document(delete("a", content="")), INVALID, "unknown field `content`"),
    Hostile(
        "content-of-a-chmod", document(chmod("a", "0755", content="")), INVALID, "unknown field `content`"
    ),
    Hostile("from-of-a-create", document(create("c", **{"from": "a"})), INVALID, "unknown field `from`"),
    Hostile("hash-of-a-create", document(create("c", old_sha256=SHA_OF_NOTHING)), INVALID, "unknown field"),
    Hostile("rename-from-nowhere", document({"operation": "rename", "path": "c"}), INVALID, "`from`"),
    Hostile("chmod-without-mode", document({"operation": "chmod", "path": "a"}), INVALID, "`mode`"),
    Hostile("setuid", document(chmod("a", "4755")), INVALID, "(at `$.changes[0].mode`)"),
    Hostile("world-writable", document(create("c", mode="0777")), INVALID, "(at `$.changes[0].mode`)"),
    Hostile("mode-as-number", document(create("c", mode=493)), INVALID, "(at `$.changes[0].mode`)"),
    Hostile("short-hash", document(delete("a", old_sha256="abc")), INVALID, "(at `$.changes[0].old_sha256`)"),
    Hostile("upper-hash", document(delete("a", old_sha256=SHA_OF_NOTHING.upper())), INVALID, "old_sha256`)"),
    Hostile(
        "lone-surrogate",
        b'{"version":1,"changes":[{"operation":"create","path":"c","content":"\\ud800"}]}',
        INVALID,
        "",
    ),
    Hostile("nothing-changes", document(update("b", "b\n")), INVALID, "changes nothing"),
    Hostile("mode-stays", document(chmod("b", "0644")), INVALID, "changes nothing"),
]

_PATHS = [
    Hostile("up", document(create("../x")), UNSAFE, "climbs with '..' (at `$.changes[0].path`)"),
    Hostile("absolute", document(create("c"), delete("/etc/passwd")), UNSAFE, "(at `$.changes[1].path`)"),
    Hostile(
        "rename-from-outside", document(rename("../../etc/passwd", "c")), UNSAFE, "(at `$.changes[0].from`)"
    ),
    Hostile("rename-to-outside", document(rename("a", "/tmp/a")), UNSAFE, "absolute"),
    Hostile("empty-path", document(create("")), INVALID, "(at `$.changes[0].path`)"),
    Hostile("long-path", document(create("x" * 5000)), INVALID, "(at `$.changes[0].path`)"),
    Hostile("wide-path", document(create("é" * 3000)), UNSAFE, "longer than 4096"),
    Hostile("nul", document(create("x\0y")), UNSAFE, "NUL"),
    Hostile("bidi", document(create("x\u202ey")), UNSAFE, "U+202E"),
    Hostile("decomposed", document(create("e\u0301")), UNSAFE, "normal form C"),
    Hostile("backslash", document(create("..\\x")), UNSAFE, "backslash"),
    Hostile("device", document(create("dir/prn.txt")), UNSAFE, "device"),
    Hostile("git", document(create(".git/hooks/x", mode="0755")), PROTECTED, ".git"),
    Hostile("git-case", document(create("sub/.Git/x")), PROTECTED, ".git"),
    Hostile("git-update", document(update(".git/config")), PROTECTED, ".git"),
    Hostile("git-delete", document(delete(".git/config")), PROTECTED, ".git"),
    Hostile("git-chmod", document(chmod(".git/hooks/pre-commit", "0755")), PROTECTED, ".git"),
    Hostile("git-rename-from", document(rename(".git/config", "c")), UNSAFE, "nothing is taken"),
    Hostile("git-rename-to", document(rename("a", ".git/x")), PROTECTED, ".git"),
    Hostile("state", document(update(".executor/policy.yaml")), PROTECTED, ".executor"),
    Hostile(
        "twice",
        document(update("a"), delete("a")),
        INVALID,
        "changed twice; put it into one change (at `$.changes[1]`)",
    ),
    Hostile("case", document(create("C"), create("c")), UNSAFE, "only in case"),
    Hostile("file-and-directory", document(create("c"), create("c/d")), UNSAFE, "both a file"),
    Hostile("rename-to-itself", document(rename("a", "a")), INVALID, "to itself"),
    Hostile("renamed-twice", document(rename("a", "c"), rename("a", "d")), INVALID, "renamed twice"),
    Hostile("renamed-and-deleted", document(rename("a", "c"), delete("a")), INVALID, "changed or deleted"),
]

_CONFLICTS = [
    Hostile("absent", document(update("absent")), CONFLICT, "absent: does not exist"),
    Hostile("delete-absent", document(delete("absent")), CONFLICT, "absent: does not exist"),
    Hostile("chmod-absent", document(chmod("absent", "0755")), CONFLICT, "absent: does not exist"),
    Hostile("rename-absent", document(rename("absent", "c")), CONFLICT, "absent: does not exist"),
    Hostile("exists", document(create("a")), CONFLICT, "a: exists already"),
    Hostile("exists-equal", document(create("b", "b\n")), CONFLICT, "b: exists already"),
    Hostile("rename-onto", document(rename("a", "b")), CONFLICT, "b: exists already"),
    Hostile("other-hash", document(update("a", old_sha256=SHA_OF_NOTHING)), CONFLICT, "another hash"),
    Hostile("delete-other-hash", document(delete("a", old_sha256=SHA_OF_NOTHING)), CONFLICT, "another hash"),
    Hostile(
        "chmod-other-hash", document(chmod("a", "0755", old_sha256=SHA_OF_NOTHING)), CONFLICT, "another hash"
    ),
    Hostile(
        "rename-other-hash", document(rename("a", "c", old_sha256=SHA_OF_NOTHING)), CONFLICT, "a: has another"
    ),
    Hostile(
        "several",
        document(update("x"), update("y"), create("a")),
        CONFLICT,
        "x: does not exist; y: does not exist; a: exists",
    ),
]

CASES: Final[list[Hostile]] = [*_FORM, *_PATHS, *_CONFLICTS]
