"""Text as every engine can hold it.

PostgreSQL takes no NUL, and no engine takes half a surrogate pair. New text is cleaned before it is
stored, so that the same text reads the same from every engine. Text already stored is left alone.
"""

from typing import Final, overload

NUL_SIGN: Final = "\u2400"

_UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ASCII_LOWER: Final = str.maketrans(_UPPER, _UPPER.lower())


@overload
def clean_text(text: str) -> str: ...
@overload
def clean_text(text: None) -> None: ...
def clean_text(text: str | None) -> str | None:
    """NUL becomes U+2400, a lone surrogate its escape (`\\udc80`); everything else stays."""
    if text is None:
        return None
    if "\0" in text:
        text = text.replace("\0", NUL_SIGN)
    return text if text.isascii() else encodable(text)


def encodable(text: str) -> str:
    """The text with lone surrogates escaped: what may be asked for, of text that may be old."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def ascii_lower(text: str) -> str:
    """Lower case for A to Z only, as databases do it without a locale."""
    return text.translate(_ASCII_LOWER)
