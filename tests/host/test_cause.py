"""One line says why a check failed."""

import pytest

from executor.host.cause import LENGTH, cause_line


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("Traceback (most recent call last):\n  File\nValueError: no\n", "ValueError: no"),
        (
            "E       AssertionError: assert 1 == 2\nFAILED tests/x.py::t - Asse...\n",
            "AssertionError: assert 1 == 2",
        ),
        ("E       assert 1 == 2\n1 failed in 0.1s\n", "assert 1 == 2"),
        ("AssertionError: 262 != 263\n\nRan 4 tests\n\nFAILED (failures=1)\n", "AssertionError: 262 != 263"),
        ("fatal: not a git repository\nbye\n", "fatal: not a git repository"),
        ("error[E0308]: mismatched types\n --> x\n", "error[E0308]: mismatched types"),
        ("> jest\n\nsh: 1: jest: not found\nnpm notice\nnpm notice New version\n", "sh: 1: jest: not found"),
        ("make: nosuch: No such file or directory\ndone\n", "make: nosuch: No such file or directory"),
        ("three broken\nnpm notice New version\n", "three broken"),
        ("one\ntwo\n\n", "two"),
        ("", ""),
        ("x" * 1000, "x" * LENGTH),
    ],
)
def test_the_line_that_names_the_error_is_found(output: str, cause: str) -> None:
    assert cause_line(output) == cause
