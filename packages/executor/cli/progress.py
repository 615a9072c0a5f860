"""What a person sees while an execution runs: a line for each step, on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from executor.cli.live import LiveOutput
from executor.cli.text import duration, one_line, plural, safe, short_id
from executor.models.execution import EventRecord, EventType

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from executor.host.executor import HostExecutor

_DOING: Final = {
    "capture": "capturing",
    "validate": "checking the workspace",
    "backup": "backing up",
    "apply": "applying",
    "verify": "verifying",
    "health": "checking health",
    "rollback": "rolling back",
}


class Progress:
    """Shows events as they are recorded, and what commands print. On a terminal the running step has a spinner."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._step = ""
        self._live = LiveOutput(self._show_lines, self._show_begun)
        self._details: list[str] = []
        self._changed = 0

    def __call__(self, event: EventRecord) -> None:
        data = event.data
        match event.event:
            case EventType.EXECUTION_START:
                self._line(
                    "●",
                    f"{short_id(event.execution_id)}  {one_line(str(data.get('title') or ''), 80)}",
                    "cyan",
                )
            case EventType.GATE_DECIDED:
                verdict = str(data.get("verdict"))
                style = {"allow": "green", "deny": "red"}.get(verdict, "magenta")
                icon = {"allow": "✓", "deny": "✗"}.get(verdict, "?")
                reasons = "; ".join(map(str, data.get("reasons") or ()))
                risk = f"{data.get('risk_level')} risk"
                self._line(icon, f"gate      {verdict.replace('_', ' ')}, {risk}{_dash(reasons)}", style)
            case EventType.STEP_START:
                self._begin(str(data.get("step_name")))
            case EventType.FILE_CHANGED:
                self._changed += 1
            case EventType.COMMAND_OUTPUT:
                where = "in a scratch copy: " if data.get("where") == "scratch" else ""
                self._details.append(f"{where}{data.get('command')}")
            case EventType.DRIFT:
                paths = [*(data.get("changed") or ()), *(data.get("removed") or ())]
                self._details.append(f"changed {', '.join(map(str, paths[:3]))}")
            case EventType.HEALTH_WARNING:
                self._details.append(f"warning: {data.get('message')}")
            case EventType.RECOVERED:
                self._line("↩", f"recovered {safe(str(data.get('outcome')))}", "yellow")
            case EventType.ROLLBACK_END:
                self._details.append(
                    f"{plural(int(data.get('files_restored') or 0), 'file')} restored and compared by hash"
                )
            case EventType.STEP_END:
                self._end(data)
            case _:
                pass

    def output(self, text: str) -> None:
        """A part of what a command prints, as it comes. Never waits for the terminal."""
        self._live.feed(text)

    def _show_lines(self, lines: Sequence[str], left_out: int) -> None:
        """Nothing in them reaches the terminal as a command."""
        from rich.text import Text

        # What a captured command prints is for the person who runs it; a check's stands beside its step.
        margin = "" if self._step == "capture" else "  │ "
        shown = [f"… {plural(left_out, 'line')} not shown; executor logs has them"] if left_out else []
        shown += (safe(line, keep="\t") for line in lines)
        text = "".join(f"{margin}{line}\n" for line in shown)
        self._console.print(Text(text, style="dim"), end="", soft_wrap=True)

    def _show_begun(self, line: str) -> None:
        status = self._status
        if status is not None:
            from rich.text import Text

            doing = _DOING.get(self._step, self._step)
            status.update(Text(f"{doing}  {one_line(line, 60)}".rstrip()))

    def close(self) -> None:
        self._live.drain()
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _begin(self, step: str) -> None:
        self.close()
        self._details = []
        self._step = step
        if self._console.is_terminal:
            self._status = self._console.status(_DOING.get(step, step))
            self._status.start()

    def _end(self, data: Mapping[str, Any]) -> None:
        self.close()
        step = str(data.get("step_name"))
        if step == "apply" and self._changed:
            self._details.append(plural(self._changed, "file"))
            self._changed = 0
        took = duration(data.get("duration_seconds"))
        if data.get("status") == "failed":
            # The error names what failed; the details would say it twice.
            self._line("✗", f"{step:<10}{one_line(str(data.get('error_message') or ''))}  {took}", "red")
        else:
            details = "  ".join(filter(None, (one_line("; ".join(self._details), 100), took)))
            self._line("✓", f"{step:<10}{details}", "green")

    def _line(self, icon: str, text: str, style: str) -> None:
        from rich.text import Text

        line = Text.assemble((icon, style), " ", safe(text).rstrip())
        self._console.print(line, soft_wrap=True)


def _dash(text: str) -> str:
    return f": {one_line(text)}" if text else ""


@contextmanager
def shown(
    console: Console, *, quiet: bool, host: HostExecutor | None = None, live: bool | None = None
) -> Iterator[Progress | None]:
    """Progress while the block runs; None when nobody wants it.

    With `live` it shows what the checks of `host` print; None means on a terminal.
    """
    if quiet:
        yield None
        return
    progress = Progress(console)
    if host is not None and (console.is_terminal if live is None else live):
        host.on_check_output = progress.output
    try:
        yield progress
    finally:
        if host is not None:
            host.on_check_output = None
        progress.close()
