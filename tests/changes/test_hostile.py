"""The hostile corpus: every input is refused with the stated reason, or read so that the gate refuses it."""

from collections.abc import Callable

import pytest

from changes.hostile_changesets import CASES as CHANGESETS
from changes.hostile_patches import BASE, PROTECTED, Hostile
from changes.hostile_patches import CASES as PATCHES
from executor.changes.document import read_changeset
from executor.changes.patch import read_patch
from executor.changes.paths import is_protected
from executor.errors import BaseChanged, InvalidChange
from executor.models.change import FileChange
from support.patches import MemoryTree

Reader = Callable[[bytes, MemoryTree], tuple[FileChange, ...]]


def check(case: Hostile, read: Reader) -> None:
    if case.outcome == PROTECTED:
        reasons = [is_protected(change.path) for change in read(case.patch, MemoryTree(BASE))]
        assert case.says in " ".join(reason or "" for reason in reasons)
        assert any(reasons)
        return
    with pytest.raises((InvalidChange, BaseChanged)) as refused:
        read(case.patch, MemoryTree(BASE))

    assert case.outcome == type(refused.value).__name__
    assert case.says in str(refused.value)
    if case.line:
        assert isinstance(refused.value, InvalidChange)
        assert case.line == refused.value.line


@pytest.mark.parametrize("case", PATCHES, ids=lambda case: case.id)
def test_a_hostile_patch_is_refused_with_its_reason(case: Hostile) -> None:
    check(case, read_patch)


@pytest.mark.parametrize("case", CHANGESETS, ids=lambda case: case.id)
def test_a_hostile_changeset_is_refused_with_its_reason(case: Hostile) -> None:
    check(case, read_changeset)


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    assert len(PATCHES) >= 110
    for cases in (PATCHES, CHANGESETS):
        assert len(cases) == len({case.id for case in cases})
