"""Strict YAML: plain values, and the line of each of them for messages.

What would let two readers see two things, or a slip of the pen pass unseen, is refused: anchors, aliases,
tags, keys given twice, several documents, an empty file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from executor.errors import InvalidPolicy

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
# Where a value stands in its document: keys and, in lists, positions.
Place = tuple[str | int, ...]

_BYTES_MAX: Final = 1_000_000
# Nobody nests deeper, and the parser takes quadratic time for it.
_DEPTH_MAX: Final = 20

_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+\.[0-9]+")

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_AT: Final = re.compile(r" - at `(?:key in )?(?P<path>\$[^`]*)`$")
# What the converter says in words of JSON and Python.
_PHRASES: Final = tuple(
    (re.compile(said), meant)
    for said, meant in (
        ("`", ""),
        ("Object missing required field", "missing key"),
        ("[Ii]nvalid enum value (.*)", r"\1 is none of the values that stand here"),
        (r"\barray of length >= 1\b", "a list that is not empty"),
        (r"\bstr of length >= 1\b", "text that is not empty"),
        (r"\barray\b", "a list"),
        (r"\bobject\b", "keys with values"),
        (r"\bstr\b", "text"),
        (r"\bbool\b", "true or false"),
        (r"\bint\b", "a whole number"),
        (r"\bfloat\b", "a number"),
        (r"\bnull\b", "nothing"),
    )
)
_STEP: Final = re.compile(r"\.(?P<key>\w+)|\[(?P<index>\d+)\]")


class Document:
    """One parsed file. `source` is what messages call it.

    Raises InvalidPolicy for everything this module refuses.
    """

    def __init__(self, data: bytes, source: str) -> None:
        self.source: Final = source
        self._lines: dict[Place, int] = {}
        self.value: Final = self._read(data)

    def convert(self, kind: type[T]) -> T:
        """The value as `kind` describes it. Raises InvalidPolicy with the line of the mistake."""
        try:
            return msgspec.convert(self.value, kind)
        except msgspec.ValidationError as cause:
            raise self._wrong(str(cause)) from cause

    def error(self, reason: str, place: Place = ()) -> InvalidPolicy:
        """An error about what stands at `place`, or at the nearest thing around it."""
        for length in range(len(place), -1, -1):
            line = self._lines.get(place[:length])
            if line is not None:
                return InvalidPolicy(self.source, reason, line=line)
        return InvalidPolicy(self.source, reason)

    def _wrong(self, message: str) -> InvalidPolicy:
        at = _AT.search(message)
        place: Place = ()
        if at is not None:
            message = message[: at.start()]
            place = tuple(
                step["key"] if step["key"] is not None else int(step["index"])
                for step in _STEP.finditer(at["path"])
            )
        unknown = _UNKNOWN.fullmatch(message)
        if unknown is not None:
            return self.error(f"unknown key {unknown['key']!r}", (*place, unknown["key"]))
        key = next((str(step) for step in reversed(place) if isinstance(step, str)), None)
        for said, meant in _PHRASES:
            message = said.sub(meant, message)
        message = message[:1].lower() + message[1:]
        return self.error(message if key is None else f"{key}: {message}", place)

    def _read(self, data: bytes) -> Any:
        if len(data) > _BYTES_MAX:
            raise InvalidPolicy(self.source, f"it is longer than {_BYTES_MAX:,} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            line = data.count(b"\n", 0, cause.start) + 1
            raise InvalidPolicy(self.source, "it is not valid UTF-8", line=line) from cause
        return _Reader(self, text, self._lines).read()


class _Reader:
    def __init__(self, document: Document, text: str, lines: dict[Place, int]) -> None:
        self._document, self._text, self._lines = document, text, lines
        self._depth = 0

    def read(self) -> Any:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            return self._root(iter(yaml.parse(self._text, Loader=loader)))
        except yaml.reader.ReaderError as cause:
            line = self._text.count("\n", 0, cause.position) + 1
            raise self._refuse(
                f"the character U+{ord(_character(cause)):04X} is not allowed", line
            ) from cause
        except yaml.MarkedYAMLError as cause:
            mark = cause.problem_mark or cause.context_mark
            raise self._refuse(_sentence(cause), mark.line + 1 if mark else None) from cause
        except yaml.YAMLError as cause:
            raise self._refuse(str(cause), None) from cause

    def _root(self, events: Iterator[yaml.Event]) -> Any:
        import yaml

        value, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse("a second document begins here", _line(event))
            elif isinstance(event, yaml.NodeEvent):
                self._lines[()] = _line(event)
                value = self._node(event, events, ())
        if documents == 0 or value is None:
            raise self._refuse("it is empty; take it away to use the built-in policy", None)
        return value

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], place: Place) -> Any:
        import yaml

        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            reason = f"*{event.anchor} is an alias, and there are none here; put a pattern in quotes"
            raise self._refuse(reason, line)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            raise self._refuse(f"&{anchor} is an anchor, and there are none here; put text in quotes", line)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise self._refuse(f"{tag} is a tag, and there are none here; put a pattern in quotes", line)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise self._refuse(f"it is nested deeper than {_DEPTH_MAX} levels", line)
        if isinstance(event, yaml.SequenceStartEvent):
            value: Any = list(self._items(events, place))
        else:
            value = self._mapping(events, place)
        self._depth -= 1
        return value

    def _items(self, events: Iterator[yaml.Event], place: Place) -> Iterator[Any]:
        import yaml

        for index, event in enumerate(events):
            if isinstance(event, yaml.SequenceEndEvent):
                return
            self._lines[*place, index] = _line(event)
            yield self._node(event, events, (*place, index))

    def _mapping(self, events: Iterator[yaml.Event], place: Place) -> dict[str, Any]:
        import yaml

        found: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag not in (None, "!"):
                raise self._refuse("a key has to be plain text", line)
            key = event.value
            if key in found:
                raise self._refuse(f"the key {key!r} is given twice", line)
            self._lines[*place, key] = line
            found[key] = self._node(next(events), events, (*place, key))
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.style:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        # Longer ones are no numbers anybody means, and slow to read.
        if len(text) <= 18:
            if _WHOLE.fullmatch(text):
                return int(text)
            if _DECIMAL.fullmatch(text):
                return float(text)
        return text

    def _refuse(self, reason: str, line: int | None) -> InvalidPolicy:
        if line is not None:
            # The parser calls the end of a file a line of its own.
            line = min(line, max(1, len(self._text.splitlines())))
        return InvalidPolicy(self._document.source, reason, line=line)


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "the parser marks every event"
    return event.start_mark.line + 1


def _character(cause: yaml.reader.ReaderError) -> str:
    return cause.character if isinstance(cause.character, str) else chr(cause.character)


def _sentence(cause: yaml.MarkedYAMLError) -> str:
    context, problem = cause.context or "", cause.problem or "it is no YAML"
    if "alias" in context:
        return "a word that begins with * is an alias in YAML; put the pattern in quotes"
    if "tag" in context:
        return "a word that begins with ! is a tag in YAML; put the pattern in quotes"
    return f"{context}: {problem}" if context else problem
