"""What secrets of well-known kinds look like: what logs mask, and what the gate looks for in new lines."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class SecretShape(NamedTuple):
    """What a secret of one kind looks like. `anchor` occurs in each; `group` is the part that is secret."""

    name: str
    anchor: str
    pattern: re.Pattern[str]
    group: int = 0


def _shape(name: str, anchor: str, pattern: str, group: int = 0) -> SecretShape:
    return SecretShape(name, anchor, re.compile(pattern), group)


KEY_BLOCK_MAX: Final = 16_384
KEY_BLOCK_BEGIN: Final = "-----BEGIN "

_KEY_LABEL: Final = r"(?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
KEY_BLOCK: Final = re.compile(
    rf"-----BEGIN {_KEY_LABEL}"
    rf"(?:(?P<body>(?:(?!-----BEGIN )[\s\S]){{0,{KEY_BLOCK_MAX}}}?-----END {_KEY_LABEL})"
    # The end is missing: what still looks like key material.
    r"|(?:(?:\s|\\n|\\r)*[A-Za-z0-9+/=]{24,}+)*)"
)

URL_PASSWORD: Final = _shape(
    "password in a URL",
    "://",
    # Neither a port before punctuation nor anything beyond the authority is a password.
    r"://[^\s/?#\"'<>\[\]`\\:@]{0,512}:(?!\d{1,5}[\"',;&)\]}|])([^\s/?#\"<>`\\]{1,1024})@",
    1,
)
# As libpq takes it, too.
URL_OPTION_PASSWORD: Final = _shape(
    "password in a URL",
    "password=",
    r"postgres(?:ql)?://[^\s\"'<>`\\]{0,1024}?[?&](?:ssl)?password=([^\s&#\"'<>`\\]{1,1024})",
    1,
)
SHAPES: Final = (
    URL_PASSWORD,
    URL_OPTION_PASSWORD,
    _shape("GitHub token", "gh", r"(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{20,}"),
    _shape("GitHub token", "github_pat_", r"(?<![A-Za-z0-9_])github_pat_[A-Za-z0-9_]{20,}"),
    _shape("GitLab token", "glpat-", r"(?<![A-Za-z0-9_])glpat-[A-Za-z0-9_-]{20,}"),
    _shape("AWS access key", "AKIA", r"(?<![A-Za-z0-9+/_])AKIA[A-Z0-9]{16}(?![A-Za-z0-9+/_])"),
    _shape("AWS access key", "ASIA", r"(?<![A-Za-z0-9+/_])ASIA[A-Z0-9]{16}(?![A-Za-z0-9+/_])"),
    _shape("Slack token", "xox", r"(?<![A-Za-z0-9_])xox[a-z]-[A-Za-z0-9-]{10,}"),
    _shape("Slack token", "xapp-", r"(?<![A-Za-z0-9_])xapp-[A-Za-z0-9-]{10,}"),
    _shape(
        "JSON web token",
        "eyJ",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,8192}+\.[A-Za-z0-9_-]*",
    ),
    # Words joined by hyphens are no key: it holds a long unbroken run, or a digit and a capital.
    _shape(
        "API key",
        "sk-",
        r"(?<![A-Za-z0-9_-])sk-(?:(?=[A-Za-z0-9_-]{0,64}?[A-Za-z0-9]{20})"
        r"|(?=[A-Za-z_-]{0,128}[0-9])(?=[a-z0-9_-]{0,128}[A-Z]))[A-Za-z0-9_-]{20,}",
    ),
    _shape("Stripe key", "k_live_", r"(?<![A-Za-z0-9_])[rs]k_live_[A-Za-z0-9]{16,}"),
    _shape("Stripe key", "k_test_", r"(?<![A-Za-z0-9_])[rs]k_test_[A-Za-z0-9]{16,}"),
    _shape("Google API key", "AIza", r"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _shape("npm token", "npm_", r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])"),
    _shape("PyPI token", "pypi-", r"(?<![A-Za-z0-9_-])pypi-[A-Za-z0-9_-]{50,}"),
    _shape("Hugging Face token", "hf_", r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,}"),
    _shape(
        "authorization header",
        "uthorization",
        r"[Aa]uthorization[\"']?\s?[:=]\s?[\"']?(?:[Bb]earer|[Bb]asic|[Tt]oken)\s([^\s\"',;]{8,})",
        1,
    ),
)
