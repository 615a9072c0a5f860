"""Logs that are shown while they grow: `executor logs --follow`."""

from __future__ import annotations

import codecs
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from executor.cli.text import safe
from executor.errors import ArtifactNotFound, ExecutionNotFound
from executor.models.execution import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.cli.application import Application
    from executor.models.execution import ExecutionRecord, StepRecord

# Seconds between two looks.
_INTERVAL: Final = 0.2
_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class _Growing:
    """One log, how far it has been read, and whether what was printed of it last was a whole line."""

    name: str
    position: int = 0
    whole_line: bool = True
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def read(self, descriptor: int) -> Iterator[str]:
        """What has come since. Every try of a health check begins its log anew."""
        if os.fstat(descriptor).st_size < self.position:
            self.position = 0
            self.decoder.reset()
        while data := os.pread(descriptor, _CHUNK, self.position):
            self.position += len(data)
            yield self.decoder.decode(data)


def follow(app: Application, execution_id: str, *, step: int | None, tail: int | None) -> ExecutionRecord:
    """Prints what the commands of an execution print until it has ended, or waits for a person.

    `tail` cuts what is there already. On another host a log comes as a whole, when its step has ended. Raises
    ExecutionNotFound.
    """
    runtime = app.runtime
    logs: dict[int, _Growing] = {}
    while True:
        # The record first: what is printed before it ends is there to be read afterwards.
        record = runtime.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        for found in runtime.store.get_execution_steps(execution_id):
            if found.log_ref and step in (None, found.step_num):
                log = logs.setdefault(found.id, _Growing(found.log_ref))
                _print(app, execution_id, found, log, tail)
        if record.ended or record.awaiting_approval:
            return record
        tail = None
        time.sleep(_INTERVAL)
        # Whoever ran it may have died meanwhile.
        runtime.recover_abandoned()


def _print(app: Application, execution_id: str, step: StepRecord, log: _Growing, tail: int | None) -> None:
    try:
        descriptor = app.runtime.kept_artifacts(execution_id).open(log.name)
    except ArtifactNotFound:
        return
    try:
        text = "".join(log.read(descriptor))
    finally:
        os.close(descriptor)
    if step.status != StepStatus.RUNNING:
        text += log.decoder.decode(b"", final=True)
    if tail is not None:
        text = "".join(text.splitlines(keepends=True)[-tail:])
    if text:
        log.whole_line = text.endswith("\n")
        click.echo(safe(text, keep="\n\t"), nl=False)
    if step.status != StepStatus.RUNNING and not log.whole_line:
        log.whole_line = True
        click.echo()
