"""JSON changesets."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from changes.hostile_changesets import CASES, chmod, create, delete, document, rename, update
from changes.hostile_patches import INVALID
from executor.changes.document import changeset_schema, parse_changeset, read_changeset
from executor.changes.limits import ChangeLimits
from executor.errors import BaseChanged, InvalidChange
from executor.models.change import FileChange, Operation, sha256
from support.patches import File, MemoryTree

GUIDE = Path(__file__).parents[2] / "docs" / "changesets.md"


def result(data: bytes, files: dict[str, bytes | File]) -> dict[str, File]:
    tree = MemoryTree(files)
    return tree.after(read_changeset(data, tree))


def test_each_operation_does_what_it_is_called() -> None:
    before: dict[str, bytes | File] = {
        "old": b"1\n",
        "gone": b"2\n",
        "from": (b"3\n", 0o750),
        "script": (b"4\n", 0o640),
    }
    changes = document(
        create("sub/new", "ü\n", mode="0755"),
        update("old", "1\nmore\n"),
        delete("gone"),
        rename("from", "to", content="3\n3\n"),
        chmod("script", "0755"),
    )

    assert {
        "sub/new": ("ü\n".encode(), 0o755),
        "old": (b"1\nmore\n", 0o644),
        "to": (b"3\n3\n", 0o750),
        "script": (b"4\n", 0o750),
    } == result(changes, before)


def test_base_64_holds_what_is_no_text() -> None:
    content = bytes(range(256))
    change = {"operation": "create", "path": "f", "content_base64": base64.b64encode(content).decode()}

    assert {"f": (content, 0o644)} == result(document(change), {})


def test_an_empty_content_is_a_content() -> None:
    assert {"f": (b"", 0o644)} == result(document(update("f", "")), {"f": b"x\n"})
    assert {"f": (b"", 0o644)} == result(
        document({"operation": "update", "path": "f", "content_base64": ""}), {"f": b"x\n"}
    )


def test_a_stated_hash_is_that_of_the_old_file() -> None:
    old = sha256(b"x\n")
    for change in (
        update("f", "y\n", old_sha256=old),
        delete("f", old_sha256=old),
        rename("f", "g", old_sha256=old),
        chmod("f", "0755", old_sha256=old),
    ):
        (first, *_) = read_changeset(document(change), MemoryTree({"f": b"x\n"}))
        assert old == first.old_sha256
        with pytest.raises(BaseChanged, match="f: has another hash"):
            read_changeset(document(change), MemoryTree({"f": b"z\n"}))


def test_renames_are_resolved_against_the_old_tree() -> None:
    swap = document(rename("a", "b"), rename("b", "a"))

    assert {"a": (b"B", 0o644), "b": (b"A", 0o644)} == result(swap, {"a": b"A", "b": b"B"})


def test_the_list_is_sorted_and_counted() -> None:
    changes = read_changeset(
        document(update("z", "1\ntwo\n3\n"), delete("a"), create("m", "x\ny")),
        MemoryTree({"z": b"1\n2\n3\n", "a": b"1\n2\n"}),
    )

    assert [("a", 0, 2), ("m", 2, 0), ("z", 1, 1)] == [
        (c.path, c.lines_added, c.lines_removed) for c in changes
    ]


def test_a_title_comes_with_the_document() -> None:
    assert "Say hello" == parse_changeset(document(create("f"), title="Say hello")).title
    assert parse_changeset(document(create("f"))).title is None


def test_many_conflicts_stop_the_reading() -> None:
    with pytest.raises(BaseChanged) as refused:
        read_changeset(document(*(delete(f"f{n}") for n in range(60))), MemoryTree())

    assert 50 == len(refused.value.paths)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (ChangeLimits(input_bytes=10), "input_bytes = 10"),
        (ChangeLimits(files=1), "2 files, more than the limit files = 1"),
        (ChangeLimits(file_bytes=1), "'a' has 2 bytes, more than the limit file_bytes = 1"),
        (ChangeLimits(total_bytes=3), "4 bytes, more than the limit total_bytes = 3"),
    ],
)
def test_limits_are_named_with_what_was_found(limits: ChangeLimits, says: str) -> None:
    with pytest.raises(InvalidChange, match=says):
        read_changeset(document(create("a"), create("b")), MemoryTree(), limits=limits)


def accepts(schema: Any, value: Any, definitions: Any) -> bool:
    """As much of JSON Schema as the schema of changesets uses."""
    if "$ref" in schema:
        return accepts(definitions[schema["$ref"].rpartition("/")[2]], value, definitions)
    if "anyOf" in schema:
        return any(accepts(option, value, definitions) for option in schema["anyOf"])
    if "enum" in schema:
        return type(value) in {type(option) for option in schema["enum"]} and value in schema["enum"]
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "null": type(None)}
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, dict):
        known = schema["properties"]
        return (
            not schema.get("additionalProperties", True)
            and set(schema["required"]) <= set(value) <= set(known)
            and all(accepts(known[key], item, definitions) for key, item in value.items())
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            accepts(schema["items"], item, definitions) for item in value
        )
    return True


def test_the_schema_accepts_what_is_read_and_describes_it() -> None:
    schema = changeset_schema()
    good = document(
        create("c", mode="0755"),
        update("a", old_sha256=sha256(b"")),
        delete("d"),
        rename("e", "f"),
        chmod("b", "0644"),
    )

    assert accepts(schema, json.loads(good), schema["$defs"])
    assert json.loads(json.dumps(schema)) == schema
    assert {"create", "update", "delete", "rename", "chmod"} == {
        name
        for option in schema["$defs"].values()
        for name in option["properties"].get("operation", {}).get("enum", [])
    }


def test_the_schema_refuses_no_less_than_wrong_keys_and_types() -> None:
    """What it accepts of the hostile corpus is wrong by content, length or repetition, not by form."""
    schema = changeset_schema()
    accepted = set()
    for case in CASES:
        if case.outcome == INVALID:
            try:
                value = json.loads(case.patch.decode())
            except (ValueError, RecursionError):
                continue
            if accepts(schema, value, schema["$defs"]):
                accepted.add(case.id)

    assert {
        "repeated-key",
        "repeated-key-escaped",
        "repeated-changes",
        "no-content",
        "both-contents",
        "bad-base64",
        "base64-newline",
        "base64-not-ascii",
        "lone-surrogate",
        "nothing-changes",
        "mode-stays",
        "twice",
        "rename-to-itself",
        "renamed-twice",
        "renamed-and-deleted",
        # Bounds and patterns, which this reading of the schema does not look at.
        "long-title",
        "empty-path",
        "long-path",
        "short-hash",
        "upper-hash",
    } == accepted


def test_the_example_of_the_guide_is_read() -> None:
    text = GUIDE.read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    tree = MemoryTree({"src/app.py": b"x", "src/old.py": b"y", "notes.txt": b"z", "bin/tool": b"#!/bin/sh\n"})
    changes: tuple[FileChange, ...] = read_changeset(example.encode(), tree)

    assert {Operation.CREATE, Operation.UPDATE, Operation.DELETE} == {c.operation for c in changes}
    for operation in ("create", "update", "delete", "rename", "chmod"):
        assert f"`{operation}`" in text
