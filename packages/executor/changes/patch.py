"""Patches: git's diffs and plain unified diffs become the canonical change list."""

from __future__ import annotations

from executor.changes.base import BaseEntry, BaseReader
from executor.changes.binary import BinaryPatch, blob_id
from executor.changes.changelist import ChangeList, Claim, Place, is_executable
from executor.changes.grammar import parse_patch
from executor.changes.hunks import SearchBudget, apply_hunks
from executor.changes.limits import DEFAULT_LIMITS, ChangeLimits
from executor.changes.section import Kind, Section
from executor.errors import BaseChanged, InvalidChange
from executor.models.change import FileChange

# As many digits as git prints at the least; fewer say too little about a file.
_MIN_DIGITS = 7
_FULL_DIGITS = (40, 64)
_NOTHING = BaseEntry(b"", 0)


def read_patch(
    data: bytes, base: BaseReader, *, limits: ChangeLimits = DEFAULT_LIMITS
) -> tuple[FileChange, ...]:
    """What a patch does to the tree behind `base`, sorted by path.

    Raises InvalidChange for a patch that cannot be understood, contradicts itself, exceeds a limit or
    changes nothing; UnsafePath for a path that may not be changed; BaseChanged, with every such file, when
    the patch was made for other content than the tree has. What `base` raises passes through.
    """
    sections = parse_patch(data, limits)
    claims = [_claim(section) for section in sections]
    reading = _Reading(ChangeList(claims, base, limits), base, limits)
    for section, claim in zip(sections, claims, strict=True):
        reading.add(section, claim)
        reading.changes.check_conflicts()
    return reading.changes.finish()


def _claim(section: Section) -> Claim:
    return Claim(
        path=section.path,
        place=Place(line=section.line),
        writes=section.kind is not Kind.DELETE,
        fresh=section.kind in (Kind.CREATE, Kind.RENAME, Kind.COPY),
        source=section.source if section.kind in (Kind.RENAME, Kind.COPY) else None,
        moves=section.kind is Kind.RENAME,
    )


class _Reading:
    """The sections of one patch being applied to the old files, in memory."""

    def __init__(self, changes: ChangeList, base: BaseReader, limits: ChangeLimits) -> None:
        self.changes, self.base, self.limits = changes, base, limits
        self.budget = SearchBudget()

    def add(self, section: Section, claim: Claim) -> None:
        try:
            self._add(section, claim)
        except BaseChanged as conflict:
            for path, found in conflict.paths:
                self.changes.conflict(path, found)

    def _add(self, section: Section, claim: Claim) -> None:
        if section.kind is Kind.UPDATE_OR_CREATE and self.base.read(section.path) is None:
            section.source = None
        executable = None if section.new_mode is None else is_executable(section.new_mode)
        if section.source is None:
            self.changes.write(claim, self._result(section, _NOTHING), None, executable=executable)
            return
        entry = self.changes.old(claim)
        if entry is None:
            return
        self._check_mode(section, section.source, entry)
        content = self._result(section, entry)
        if section.kind is Kind.DELETE:
            self.changes.delete(claim, entry)
        else:
            self.changes.write(claim, content, entry, executable=executable)

    @staticmethod
    def _check_mode(section: Section, path: str, entry: BaseEntry) -> None:
        if section.kind is Kind.DELETE or section.old_mode is None:
            return
        if is_executable(section.old_mode) != is_executable(entry.mode):
            raise BaseChanged([(path, f"has mode {entry.mode:o}, the patch is for {section.old_mode:o}")])

    def _result(self, section: Section, entry: BaseEntry) -> bytes:
        """The new content; for a delete, empty once the patch has shown that it means this content."""
        path = section.source or section.path
        proof = None if section.source is None else _same_blob(section.old_id, entry.content)
        if section.binary is not None:
            return self._binary_result(section, section.binary, entry.content, proof)
        content = apply_hunks(
            entry.content,
            section.hunks,
            path,
            proven=proof is True,
            limits=self.limits,
            budget=self.budget,
        )
        if section.kind is Kind.DELETE and content and not (proof and not section.hunks):
            raise BaseChanged([(path, "has other content than the patch deletes")])
        return content

    def _binary_result(self, section: Section, binary: BinaryPatch, old: bytes, proof: bool | None) -> bytes:
        path, limit = section.source or section.path, self.limits.file_bytes
        if proof is False:
            raise BaseChanged([(path, "is another binary file than the patch is for")])
        if binary.forward.delta and section.source is None:
            raise InvalidChange("a new file cannot be a delta", path=path, line=binary.forward.line)
        new = binary.forward.apply(old, limit)
        if section.kind is not Kind.DELETE and _same_blob(section.new_id, new) is False:
            raise InvalidChange(
                "the binary payload does not give the file its index line names", path=path, line=section.line
            )
        if section.kind is Kind.DELETE and new:
            raise InvalidChange("a deleted file keeps content", path=path, line=binary.forward.line)
        if section.source is not None and not (proof and len(section.old_id or "") in _FULL_DIGITS):
            self._check_reverse(section, binary, old, new)
        return new

    def _check_reverse(self, section: Section, binary: BinaryPatch, old: bytes, new: bytes) -> None:
        """Without a full id, only the way back tells which file a binary patch was made for."""
        path, reverse = section.source or section.path, binary.reverse
        if reverse is None:
            raise InvalidChange(
                "nothing says which binary file this is for; make the patch with git diff --binary",
                path=path,
                line=section.line,
            )
        if (not reverse.delta and reverse.size != len(old)) or reverse.apply(
            new, self.limits.file_bytes
        ) != old:
            raise BaseChanged([(path, "is another binary file than the patch is for")])


def _same_blob(stated: str | None, content: bytes) -> bool | None:
    """Whether an id of an index line, mostly shortened, is that of a content; None when it says too little."""
    if stated is None or len(stated) < _MIN_DIGITS:
        return None
    return blob_id(content, len(stated)).startswith(stated)
