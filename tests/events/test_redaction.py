"""What is masked before text is written, and what stays readable."""

import hashlib
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.events.redaction import MASK, RedactingDecoder, Redactor, says_secret, secret_values

NO_SECRETS = Redactor({})
GITHUB = "ghp_" + "a1B2" * 9
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + ("MIIEow" * 10 + "\n") * 8 + "-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "TOKEN",
            "GITHUB_TOKEN",
            "authToken",
            "API_KEY",
            "APIKEY",
            "apiKey",
            "SSH_KEYS",
            "KEY2",
            "PGPASSWORD",
        ),
        *("client-secret", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_names_that_say_secret(name: str) -> None:
    """TOKEN, KEY, SECRET, PASSWORD and CREDENTIAL say so, whatever stands around them."""
    assert says_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "MONKEY_PATCH",
        "KEYBOARD",
        "KEYMAP",
        "TOKENIZERS_PARALLELISM",
        "SECRETARY",
        "PASSING",
        "TURKEY",
    ],
)
def test_names_that_only_look_like_it(name: str) -> None:
    """A word that merely begins or ends with one of the five says nothing."""
    assert not says_secret(name)


def test_values_of_secret_variables_are_masked_wherever_they_stand() -> None:
    """Within words, in a URL, in JSON and in Python's notation; a value over several lines as a whole."""
    redactor = Redactor({"API_TOKEN": 'tok/en "1" ö', "DEPLOY_KEY": "line one\nline two"})

    assert f"x{MASK}y" == redactor.redact('xtok/en "1" öy')
    assert MASK == redactor.redact("tok%2Fen%20%221%22%20%C3%B6")
    assert f'"{MASK}"' == redactor.redact(r'"tok/en \"1\" \u00f6"')
    assert f"<{MASK}>" == redactor.redact("<line one\nline two>")
    assert f"<{MASK}>" == redactor.redact("<line one\r\nline two>")


def test_short_values_and_other_variables_are_left_alone() -> None:
    """Seven characters, or a variable that says nothing: masking these would hide ordinary words."""
    redactor = Redactor(
        {"A_TOKEN": "seven77", "B_TOKEN": "eight888", "PATH": "/usr/local/bin", "EDITOR": "emacs-nox"}
    )

    assert f"seven77 {MASK} /usr/local/bin emacs-nox" == redactor.redact(
        "seven77 eight888 /usr/local/bin emacs-nox"
    )


def test_a_value_within_another_leaves_no_rest_of_either() -> None:
    """Overlapping secrets are masked as one."""
    redactor = Redactor({"A_KEY": "abcdefgh", "B_KEY": "efghijklm", "C_KEY": "xxabcdefghxx"})

    assert f"-{MASK}-{MASK}-" == redactor.redact("-abcdefghijklm-xxabcdefghxx-")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://ann:s3cret@db/app", f"postgresql://ann:{MASK}@db/app"),
        ("redis://:pass@h:6379/0", f"redis://:{MASK}@h:6379/0"),
        ("https://u:p@ss@host/x", f"https://u:{MASK}@host/x"),
        ("'https://u:pa'ss@host'", f"'https://u:{MASK}@host'"),
        (
            "postgresql:///app?host=/run&password=s3c%20ret&sslmode=require",
            f"postgresql:///app?host=/run&password={MASK}&sslmode=require",
        ),
        ("'postgres://h/app?sslpassword=s3cret'", f"'postgres://h/app?sslpassword={MASK}'"),
        ("pip: https://u:x@h/a https://v:y@h/b", f"pip: https://u:{MASK}@h/a https://v:{MASK}@h/b"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    """User, host and path stay: they say which connection it is."""
    assert masked == NO_SECRETS.redact(text)


def test_the_password_of_a_url_in_the_environment_is_masked_alone_too() -> None:
    """A driver that reports "password hunter22 is wrong" does not repeat the URL."""
    redactor = Redactor({"EXECUTOR_DATABASE_URL": "postgresql://ann:hunter22@db/app"})

    assert f"password {MASK} of ann@db is wrong" == redactor.redact("password hunter22 of ann@db is wrong")


@pytest.mark.parametrize(
    "url", ["postgresql://ann:hunter%402%2F2@db/app", "postgresql://ann@db/app?password=hunter%402%2F2"]
)
def test_the_password_of_a_url_is_masked_as_it_is_typed_too(url: str) -> None:
    """In the URL it is encoded; a program that has read the URL prints it as it is."""
    redactor = Redactor({"EXECUTOR_DATABASE_URL": url})

    assert f"dsn: password={MASK}" == redactor.redact("dsn: password=hunter@2/2")
    assert f"url: {MASK}" == redactor.redact("url: hunter%402%2F2")


@pytest.mark.parametrize(
    "token",
    [
        GITHUB,
        "github_pat_" + "11AAAAAAA0" * 5,
        "glpat-" + "x1_-y" * 4,
        "AKIAIOSFODNN7EXAMPLE",
        "ASIA" + "Q3EX" * 4,
        "xoxb-1234567890-abcdefghij",
        "xapp-1-A012345-678",
        JWT,
        "sk-" + "a" * 40,
        "sk-proj-Ab1_cd2-Ef3gh4Ij5",
        "sk-ant-api03-" + "Zz9-_" * 12,
        "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "AIza" + "SyA-1234_" * 3 + "90123456",
        "npm_" + "a1B2" * 9,
        "hf_" + "aBcD" * 9,
        KEY,
        KEY.replace("\n", "\\n"),
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    ],
    ids=lambda token: token[:12],
)
def test_well_known_tokens_are_masked(token: str) -> None:
    """Of each kind, in a sentence, in quotes and after an equals sign."""
    assert f"with {MASK} it works" == NO_SECRETS.redact(f"with {token} it works")
    assert f'"{MASK}", x={MASK}\n' == NO_SECRETS.redact(f'"{token}", x={token}\n')


def test_credentials_of_a_header_are_masked() -> None:
    """The scheme stays: it says what was tried."""
    assert f"Authorization: Bearer {MASK}" == NO_SECRETS.redact("Authorization: Bearer 0123456789abcdef")
    assert f'{{"Authorization": "Basic {MASK}"}}' == NO_SECRETS.redact(
        '{"Authorization": "Basic dXNlcjpwYXNz"}'
    )


@pytest.mark.parametrize(
    "text",
    [
        hashlib.sha256(b"x").hexdigest(),
        "exec_0190b7e0c0de7000800000000000beef",
        "/home/ann/project/.venv/lib/python3.11/site-packages/jwt/api_jws.py:123",
        "git@github.com:owner/repository.git",
        "http://localhost:8080,ann@example.com",
        '["http://h:80","ann@example.com"]',
        "http://[::1]:8080/path@2x.png https://host/@scope/name@1.0",
        "http://host:8080?mail=ann@example.com",
        "ftp://host:21#a@b",
        "task-force-with-a-long-name-of-12-Words sk-learn-contrib-with-a-long-name",
        "eyJ.eyJ.x ghp_short AKIASHORT xoxo-kisses",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "token key secret password credential",
        "E   AssertionError: assert 'password' == 'passwort'",
    ],
)
def test_nothing_else_is_masked(text: str) -> None:
    """Hashes, ids, paths, addresses and words come out as they went in."""
    assert text == NO_SECRETS.redact(text)


def test_a_private_key_without_end_hides_what_looks_like_key_and_no_more() -> None:
    """A truncated key is masked; a text that only mentions the first line of one goes on readable."""
    body = "\n".join(["A" * 64] * 5)

    assert f"{MASK}\nnext line" == NO_SECRETS.redact(f"-----BEGIN EC PRIVATE KEY-----\n{body}\nnext line")
    assert f"if '{MASK}' in line:\n    return" == NO_SECRETS.redact(
        "if '-----BEGIN PRIVATE KEY-----' in line:\n    return"
    )


SECRETS = {
    "A_TOKEN": "tööken-123",
    "B_KEY": "first line\nsecond",
    "C_SECRET": "aaaaaaaa",
    "D_PASSWORD": "ab\\\"'ab\\",
}
REDACTOR = Redactor(SECRETS)
PIECES = st.one_of(
    st.sampled_from(
        [
            *SECRETS.values(),
            *(
                GITHUB,
                JWT,
                KEY,
                "postgres://u:pw@h/",
                "-----BEGIN ",
                "-----BEGIN PRIVATE KEY-----\n",
                "AKIA" + "Z" * 16,
            ),
            *(
                "sk-" + "b" * 30,
                "Authorization: Bearer ",
                "eyJ",
                "\n",
                "\r",
                "\r\n",
                " ",
                "://u:",
                "@",
                "aaa",
                MASK,
            ),
        ]
    ),
    st.text(max_size=20),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_redaction_is_idempotent(text: str) -> None:
    """Text that has been redacted once is not touched again, unless a token stood right behind a value."""
    once = REDACTOR.redact(text)

    assert once == REDACTOR.redact(once)


@given(TEXTS)
def test_no_value_survives(text: str) -> None:
    """Whatever surrounds it, no secret value is left in the answer."""
    redacted = REDACTOR.redact(text)

    assert not [value for value in secret_values(SECRETS) if value in redacted]


@given(TEXTS, st.lists(st.integers(1, 40), max_size=40))
@example(KEY + "\n", [1] * 40)
@example("Authorization: Bearer tööken-1230\n", [1] * 40)
@example("tööken-123\n", [1, 1, 1])
@example(f"first line\nsecond{KEY}", [])
@example(f"Authorization: Bearer x/{KEY}", [])
def test_pieces_give_what_the_whole_gives(text: str, sizes: list[int]) -> None:
    """However text is cut, a stream writes what `redact` writes for all of it."""
    stream = REDACTOR.stream()
    written, position = [], 0
    for size in sizes:
        written.append(stream.feed(text[position : position + size]))
        position += size
    written.append(stream.feed(text[position:]) + stream.finish())

    assert REDACTOR.redact(text) == "".join(written)


@given(TEXTS, st.integers(1, 60))
def test_a_long_line_is_cut_without_showing_a_value(text: str, size: int) -> None:
    """Where a line is too long to be held, values are masked across the cut all the same."""
    line = (text.replace("\n", "").replace("\r", "") or "x") * 30
    stream = REDACTOR.stream(line_max=64)
    written = "".join(stream.feed(line[at : at + size]) for at in range(0, len(line), size)) + stream.finish()

    assert not [v for v in secret_values(SECRETS) if v in written and v not in line.replace(v, "")]


def test_a_token_longer_than_what_is_held_is_masked_to_its_end() -> None:
    """Nothing of a very long token shows, and what comes after it does."""
    stream = NO_SECRETS.stream(line_max=64)
    text = "ghp_" + "a" * 5_000 + " end\n"
    written = "".join(stream.feed(text[at : at + 7]) for at in range(0, len(text), 7)) + stream.finish()

    assert f"{MASK} end\n" == written


@given(TEXTS, st.integers(1, 9))
def test_bytes_are_decoded_and_redacted_across_borders(text: str, size: int) -> None:
    """Pieces may end within a character or a secret; bytes that are no text become U+FFFD."""
    data = text.encode("utf-8", "replace") + b"\xff"
    decoder = RedactingDecoder(REDACTOR)
    written = (
        "".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size)) + decoder.finish()
    )

    assert REDACTOR.redact(data.decode("utf-8", "replace")) == written


def test_a_line_without_end_does_not_grow_the_stream() -> None:
    """20 MB without a line break are held in bounded memory."""
    stream = NO_SECRETS.stream()
    piece = "x" * 50_000
    tracemalloc.start()
    length = sum(len(stream.feed(piece)) for _ in range(400)) + len(stream.finish())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 20_000_000 == length
    assert peak < 2_000_000
