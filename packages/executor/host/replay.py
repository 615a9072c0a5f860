"""The story of one execution from its artifacts alone, for when the database is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from executor.errors import AmbiguousId, ArtifactNotFound, ExecutionNotFound
from executor.host.artifacts import DROPPED, FOLDER, KEPT, STEP_LOGS, ArtifactFolder
from executor.host.presence import safe_name
from executor.models.execution import EventRecord, EventType

_DOCUMENTS: Final = ("execution.json", "plan.json", "decision.json", "changeset.json")
_EVENTS: Final = "events.jsonl"
_OWN_FIELDS: Final = ("event", "execution_id", "correlation_id", "seq", "timestamp")
_LAST: Final = "@last"
_LAST_FAILED: Final = "@last-failed"


@dataclass(frozen=True, slots=True)
class Replay:
    """What the artifacts tell. `gaps` says, one sentence each, what they cannot tell; empty when complete.

    A document that is missing or damaged is None. `reverts` is the execution that this one undoes, `reverted_by`
    the one that undid it, as far as artifacts of it are here too, and was not undone itself.
    """

    execution_id: str
    events: tuple[EventRecord, ...]
    documents: Mapping[str, Mapping[str, Any]]
    artifacts: tuple[str, ...]
    gaps: tuple[str, ...]
    folder: ArtifactFolder = field(repr=False)
    reverts: str | None = None
    reverted_by: str | None = None

    @property
    def complete(self) -> bool:
        return not self.gaps

    def document(self, name: str) -> Mapping[str, Any]:
        """A JSON artifact by its name without `.json`; empty when there is none."""
        return self.documents.get(f"{name}.json", {})

    def log(self, name: str) -> str:
        """The text of a listed log. Raises ArtifactNotFound."""
        return _read(self.folder, name).decode("utf-8", "replace")

    def failing_logs(self, lines: int) -> list[tuple[str, list[str]]]:
        """The last lines of the log of each step that failed, by the name of the log."""
        found = {}
        for event in self.events:
            if event.event != EventType.STEP_END or event.data.get("status") != "failed":
                continue
            ending = f"-{event.data.get('step_name')}.log"
            for name in self.artifacts:
                if name.startswith(f"{STEP_LOGS}/") and name.endswith(ending):
                    # One that went since it was listed is not there.
                    with suppress(ArtifactNotFound):
                        found[name] = self.log(name).splitlines()[-lines:]
        return list(found.items())

    def to_dict(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "complete": self.complete,
            "gaps": list(self.gaps),
            "reverts": self.reverts,
            "reverted_by": self.reverted_by,
            "execution": self.document("execution") or None,
            "plan": self.document("plan") or None,
            "decision": self.document("decision") or None,
            "events": [event.to_dict() for event in self.events],
            "artifacts": list(self.artifacts),
        }


def replay(state: Path, text: str) -> Replay:
    """The story of the execution meant: an id, its unique beginning or end, @last or @last-failed.

    Raises ExecutionNotFound and AmbiguousId.
    """
    return replay_folder(ArtifactFolder(state, _resolve(state, text)))


def replay_folder(folder: ArtifactFolder) -> Replay:
    """The story of one execution, as far as its folder tells it; all gaps when there is none.

    Who undid it is told by the folders beside it.
    """
    story = _told(folder)
    return replace(story, reverted_by=_standing_revert(folder.execution_id, _reverts(folder.path.parent)))


def _told(folder: ArtifactFolder) -> Replay:
    names = folder.names()
    gaps: list[str] = []
    documents = {}
    dropped = _read_dropped(folder, names)
    for name in _DOCUMENTS:
        if dropped is not None and name not in KEPT:
            continue
        found = _document(folder, name, names, gaps)
        if found is not None:
            documents[name] = found
    events = _events(folder, names, gaps)
    if dropped is not None:
        gaps.append(f"its logs and contents were dropped by gc on {dropped}")
    if not any(event.event == EventType.EXECUTION_END for event in events):
        gaps.append("no event says that it ended: it runs, waits, or was killed and not recovered yet")
    reverts = events[0].data.get("reverts") if events else None
    return Replay(
        folder.execution_id,
        tuple(events),
        documents,
        tuple(names),
        tuple(gaps),
        folder,
        reverts=reverts if isinstance(reverts, str) else None,
    )


def _reverts(root: Path) -> dict[str, list[str]]:
    """Completed executions that undid another, by the one they undid, in the order of their ids."""
    found: dict[str, list[str]] = {}
    for execution_id in sorted(_ids(root.parent)):
        folder = ArtifactFolder(root.parent, execution_id)
        undone = _first_event(folder).get("reverts")
        if isinstance(undone, str) and _told(folder).document("execution").get("status") == "completed":
            found.setdefault(undone, []).append(execution_id)
    return found


def _first_event(folder: ArtifactFolder) -> Mapping[str, Any]:
    """Its beginning; nothing where that cannot be read."""
    try:
        with os.fdopen(folder.open(_EVENTS), "rb") as file:
            return msgspec.json.decode(file.readline(), type=dict[str, Any])
    except (msgspec.DecodeError, ArtifactNotFound):
        return {}


def _standing_revert(execution_id: str, reverts: Mapping[str, list[str]]) -> str | None:
    """The last one that undid it and is not undone itself. Ids in folders may be anybody's: none is met twice."""

    def standing(undone: str, met: frozenset[str]) -> str | None:
        for other in reversed(reverts.get(undone, [])):
            if other not in met and standing(other, met | {other}) is None:
                return other
        return None

    return standing(execution_id, frozenset((execution_id,)))


def _document(
    folder: ArtifactFolder, name: str, names: list[str], gaps: list[str]
) -> Mapping[str, Any] | None:
    if name not in names:
        gaps.append(f"{name} is missing")
        return None
    try:
        return msgspec.json.decode(_read(folder, name), type=dict[str, Any])
    except (msgspec.DecodeError, ArtifactNotFound):
        gaps.append(f"{name} is damaged")
        return None


def _read_dropped(folder: ArtifactFolder, names: list[str]) -> str | None:
    """When the payload was dropped, if it was."""
    if DROPPED not in names:
        return None
    try:
        told = msgspec.json.decode(_read(folder, DROPPED), type=dict[str, Any])
    except (msgspec.DecodeError, ArtifactNotFound):
        return "an unknown day"
    return str(told.get("timestamp", "an unknown day"))


def _events(folder: ArtifactFolder, names: list[str], gaps: list[str]) -> list[EventRecord]:
    if _EVENTS not in names:
        gaps.append(f"{_EVENTS} is missing")
        return []
    found: dict[int, EventRecord] = {}
    for number, line in enumerate(_read(folder, _EVENTS).splitlines(), 1):
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            own = {name: fields.pop(name) for name in _OWN_FIELDS}
            event = EventRecord(**own, data=fields)
            found.setdefault(int(event.seq), event)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            gaps.append(f"line {number} of {_EVENTS} is damaged")
    missing = sorted(set(range(1, max(found, default=0) + 1)) - found.keys())
    if missing:
        gaps.append(f"{_EVENTS} lacks the events {', '.join(map(str, missing[:10]))}")
    return [found[seq] for seq in sorted(found)]


def _read(folder: ArtifactFolder, name: str) -> bytes:
    with os.fdopen(folder.open(name), "rb") as file:
        return file.read()


def _resolve(state: Path, text: str) -> str:
    ids = sorted(_ids(state))
    if text in (_LAST, _LAST_FAILED):
        started = {}
        for execution_id in ids:
            known = _told(ArtifactFolder(state, execution_id))
            failed = known.document("execution").get("status") in ("failed", "rolled_back")
            if known.events and (failed or text == _LAST):
                started[execution_id] = (known.events[0].timestamp, execution_id)
        if not started:
            raise ExecutionNotFound(text)
        return max(started, key=lambda execution_id: started[execution_id])
    if text in ids:
        return text
    meant = [each for each in ids if text and (each.startswith(text) or each.endswith(text))]
    if not meant:
        raise ExecutionNotFound(text)
    if len(meant) > 1:
        raise AmbiguousId(text, meant)
    return meant[0]


def _ids(state: Path) -> Iterator[str]:
    """Every execution that has a folder."""
    root = state / FOLDER
    if root.is_dir():
        for path in root.iterdir():
            execution_id = unquote(path.name)
            if path.is_dir() and not path.is_symlink() and safe_name(execution_id) == path.name:
                yield execution_id
