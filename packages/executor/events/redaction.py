"""Masks secrets in text before it is written anywhere.

Masked are: the values of variables whose names say secret, passwords in URLs, and tokens of well-known
shapes. Nothing else: hashes, ids, paths and ordinary words stay readable.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote

from executor.models.secret_shapes import (
    KEY_BLOCK,
    KEY_BLOCK_BEGIN,
    KEY_BLOCK_MAX,
    SHAPES,
    URL_OPTION_PASSWORD,
    URL_PASSWORD,
)

MASK: Final = "[redacted]"
SHORTEST_VALUE: Final = 8

# A line that does not end is held back up to this many characters; of these, the last ones stay held, so
# that a secret of up to that length is seen whole.
_LINE_MAX: Final = 65_536
_OVERLAP: Final = 16_384

_SECRET_WORD: Final = re.compile(
    r"TOKEN(?!I[SZ])|SECRET(?!AR|IO)|PASSWORD|CREDENTIAL"
    # KEY ends a word: API_KEY, APIKEY, KEYS; not KEYBOARD, and not MONKEY.
    r"|(?<!MON)(?<!TUR)(?<!DON)(?<!HOC)(?<!JOC)(?<!WHIS)KEYS?(?![A-Z])"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


# What a token that is still growing at a forced cut may go on with.
_TOKEN_REST: Final = re.compile(r"[A-Za-z0-9_.+/=-]*")


def says_secret(name: str) -> bool:
    """Whether the name of a variable says that its value is secret."""
    return _SECRET_WORD.search(_CAMEL.sub("_", name).upper()) is not None


def secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values to mask: of variables that say secret, and the passwords in URLs of all others.

    Values under 8 characters are left out; they would mask ordinary words.
    """
    values: set[str] = set()
    for name, value in environ.items():
        if says_secret(name):
            values.update((value, value.strip()))
        elif "://" in value:
            for shape in (URL_PASSWORD, URL_OPTION_PASSWORD):
                for match in shape.pattern.finditer(value):
                    values.update((match[1], unquote(match[1])))
    return frozenset(value for value in values if len(value) >= SHORTEST_VALUE)


def _spellings(value: str) -> Iterator[str]:
    """The value as it is, in a URL, in JSON and in Python's notation."""
    yield value
    yield quote(value, safe="", errors="replace")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    if "\n" in value:
        yield value.replace("\n", "\r\n")
        # Tools indent or prefix a long value line by line; words are not masked for it.
        yield from (
            line for line in map(str.strip, value.splitlines()) if len(line) >= 20 and " " not in line
        )


class Redactor:
    """Knows the secrets of one environment.

    `extra` are further secret values; short ones are ignored like all others.
    """

    def __init__(self, environ: Mapping[str, str], extra: Iterable[str] = ()) -> None:
        values = secret_values(environ) | {value for value in extra if len(value) >= SHORTEST_VALUE}
        spellings = {spelling for value in values for spelling in _spellings(value)}
        # A value that occurs in the mask would be masked over and over.
        self._values = tuple(
            sorted(
                (value for value in spellings if value not in MASK), key=lambda value: (-len(value), value)
            )
        )
        self._longest = max(map(len, self._values), default=0)
        self._longest_over_lines = max((len(v) for v in self._values if "\n" in v or "\r" in v), default=0)

    def redact(self, text: str) -> str:
        spans = self._spans(text)
        return _mask(text, spans, 0, len(text)) if spans else text

    def stream(self, *, line_max: int = _LINE_MAX) -> RedactionStream:
        """For text that comes in pieces; a secret across their borders is masked, too."""
        return RedactionStream(self, line_max)

    def _spans(self, text: str, *, with_context: bool = False) -> list[tuple[int, int]]:
        """Where secrets stand in `text`, with what marks them as such if asked: ascending, and apart."""
        found: list[tuple[int, int]] = []
        for value in self._values:
            start = text.find(value)
            while start >= 0:
                found.append((start, start + len(value)))
                start = text.find(value, start + 1)
        for _, anchor, pattern, group in SHAPES:
            if anchor in text:
                found.extend(match.span(0 if with_context else group) for match in pattern.finditer(text))
        if KEY_BLOCK_BEGIN in text:
            found.extend(match.span() for match in KEY_BLOCK.finditer(text))
        return _merge(found) if found else found


class RedactionStream:
    """Masks text that arrives in pieces.

    The last, unfinished line is held back until it ends, a private key until its last line. Joined, the
    answers are what `Redactor.redact` gives for the joined input; only a line longer than 64 Ki characters
    is cut, and there a secret of up to 16 Ki characters is still seen whole.
    """

    def __init__(self, redactor: Redactor, line_max: int = _LINE_MAX) -> None:
        self._redactor = redactor
        self._overlap = max(min(_OVERLAP, line_max // 4), redactor._longest)
        self._line_max = max(line_max, 2 * self._overlap)
        self._parts: list[str] = []
        self._size = 0
        # Written characters that the patterns may look back at.
        self._before = ""
        self._swallow = False

    def feed(self, text: str) -> str:
        """What can be written now; often empty."""
        if not text:
            return ""
        self._parts.append(text)
        self._size += len(text)
        if self._size < self._line_max and "\n" not in text and "\r" not in text:
            return ""
        return self._write(final=False)

    def finish(self) -> str:
        """The rest. The stream can be used again."""
        return self._write(final=True)

    def _write(self, *, final: bool) -> str:
        held = "".join(self._parts)
        if self._swallow:
            rest = _TOKEN_REST.match(held)
            skipped = rest.end() if rest else 0
            self._swallow = skipped == len(held) and not final
            if skipped:
                self._before, held = held[skipped - 1], held[skipped:]
        text = self._before + held
        first = len(self._before)
        spans = self._redactor._spans(text)
        end = len(text) if final else self._safe_end(text, first, spans)
        written = _mask(text, spans, first, end)
        self._before = text[max(0, end - 1) : end]
        self._parts = [text[end:]] if end < len(text) else []
        self._size = len(text) - end
        return written

    def _safe_end(self, text: str, first: int, spans: list[tuple[int, int]]) -> int:
        """Up to where nothing that follows can change what is masked: the beginning of a line."""
        end = _line_start(text, len(text))
        if forced := len(text) - end >= self._line_max:
            end = len(text) - self._overlap
            spans = self._redactor._spans(text, with_context=True)
        elif self._redactor._longest_over_lines:
            end = _line_start(text, len(text) - self._redactor._longest_over_lines + 1)
        end = min(end, _line_start(text, _open_key_block(text, end)))
        for start, stop in reversed(spans):
            if start < end < stop or (start < end == stop == len(text)):
                end = start if forced else _line_start(text, start)
        if end > first or len(text) - first < self._line_max:
            return max(end, first)
        # What is held begins with a secret that goes on and on: it is masked as far as it reaches.
        stop = next((stop for start, stop in spans if start <= first < stop), len(text) - self._overlap)
        self._swallow = stop == len(text)
        return stop


class RedactingDecoder:
    """Bytes in pieces to redacted text: UTF-8, with U+FFFD for what is not."""

    def __init__(self, redactor: Redactor) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stream = redactor.stream()

    def feed(self, data: bytes) -> str:
        return self._stream.feed(self._decoder.decode(data))

    def finish(self) -> str:
        return self._stream.feed(self._decoder.decode(b"", final=True)) + self._stream.finish()


def _line_start(text: str, position: int) -> int:
    """Where the line begins that `position` is in, or begins."""
    position = max(position, 0)
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def _open_key_block(text: str, end: int) -> int:
    """Where the first private key begins that may still get its end; `len(text)` when there is none."""
    start = text.find(KEY_BLOCK_BEGIN, max(0, end - KEY_BLOCK_MAX - 256))
    while start >= 0:
        match = KEY_BLOCK.match(text, start)
        if match is not None and match["body"] is None and len(text) - start < KEY_BLOCK_MAX + 256:
            return start
        start = text.find(KEY_BLOCK_BEGIN, start + 1)
    return len(text)


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    spans.sort()
    merged = [spans[0]]
    for start, stop in spans[1:]:
        last_start, last_stop = merged[-1]
        if start <= last_stop:
            merged[-1] = (last_start, max(last_stop, stop))
        else:
            merged.append((start, stop))
    return merged


def _mask(text: str, spans: list[tuple[int, int]], first: int, end: int) -> str:
    """`text[first:end]` with every span replaced; spans outside are passed over."""
    parts: list[str] = []
    position = first
    for start, stop in spans:
        if stop <= first or start >= end:
            continue
        parts.append(text[position : max(start, position)])
        parts.append(MASK)
        position = min(stop, end)
    parts.append(text[position:end])
    return "".join(parts)
