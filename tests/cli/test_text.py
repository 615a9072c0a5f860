"""What people read in a terminal is harmless and short."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.cli.text import ago, duration, one_line, ordinal, plural, safe, short_id

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@given(st.text())
def test_no_text_can_steer_the_terminal(text: str) -> None:
    assert not {unicodedata.category(c) for c in safe(text)} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_hidden_characters_become_visible_and_asked_for_ones_stay() -> None:
    assert safe("a\x1b[31mb\u202ec\td\n", keep="\n\t") == "a\\x1b[31mb\\u202ec\td\n"
    assert safe("naïve ✓") == "naïve ✓"


@given(st.text(), st.integers(2, 50))
def test_one_line_is_one_line_of_at_most_its_width(text: str, width: int) -> None:
    line = one_line(text, width)

    assert "\n" not in line
    assert len(line) <= width


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (23, "23rd")],
)
def test_ordinals(number: int, word: str) -> None:
    assert ordinal(number) == word


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0.0421, "42 ms"), (9.94, "9.9 s"), (61, "61 s"), (150, "2 min 30 s"), (3725, "1 h 02 min")],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_ages_and_times_nobody_can_read() -> None:
    assert ago("2026-01-02T11:59:55.000000Z", NOW) == "just now"
    assert ago("2026-01-02T11:00:00.000000Z", NOW) == "1 h ago"
    assert ago("2025-12-30T12:00:00.000000Z", NOW) == "3 d ago"
    assert ago("yesterday\x07", NOW) == "yesterday\\x07"


def test_ids_are_shown_by_their_end_and_counts_with_their_noun() -> None:
    assert short_id("exec_0123456789abcdef") == "89abcdef"
    assert short_id("release-7") == "release-7"
    assert (plural(1, "file"), plural(1200, "file")) == ("1 file", "1,200 files")
