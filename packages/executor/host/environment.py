"""The variables a check is started with: an allow-list, so that secrets of the shell stay in the shell.

What is named here is either needed to find and run tools (paths, homes, proxies, certificates) or says
how to behave (locale, colours, CI). Everything else is withheld, and a failing check says the names;
`--env NAME` and the check's own list let more through. PYTHONDONTWRITEBYTECODE and PYTHONPYCACHEPREFIX
are withheld on purpose: the checks of a change run as they do everywhere else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from executor.errors import InvalidSettings
from executor.events.redaction import says_secret

PARENT: Final = "EXECUTOR_PARENT_EXECUTION_ID"
CORRELATION: Final = "EXECUTOR_CORRELATION_ID"
WORKSPACE: Final = "EXECUTOR_WORKSPACE"
DATABASE: Final = "EXECUTOR_DATABASE_URL"
TRACEPARENT: Final = "TRACEPARENT"
# Set inside a verification: whoever wants to write to EXECUTOR_WORKSPACE is refused.
INSIDE: Final = "EXECUTOR_INSIDE"
INSIDE_VERIFICATION: Final = "verification"

_ALLOWED: Final = frozenset(
    name
    for names in (
        # Who and where.
        "PATH HOME USER LOGNAME SHELL HOSTNAME TMPDIR TMP TEMP LANG LANGUAGE TZ TZDIR",
        # Terminals and colours.
        "TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE",
        # What finds shared libraries, headers, compilers.
        "LD_LIBRARY_PATH LIBRARY_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH PKG_CONFIG_PATH PKG_CONFIG",
        "CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS MAKEFLAGS CMAKE_PREFIX_PATH",
        # Python.
        "VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONIOENCODING PYTHONHASHSEED PYTHONWARNINGS",
        "PYTHONUNBUFFERED PYTHONUSERBASE PYTHONNOUSERSITE PYTHONSAFEPATH PYTHONDEVMODE PYTHONFAULTHANDLER",
        "PYENV_ROOT PYENV_VERSION PIPX_HOME POETRY_HOME UV_PYTHON UV_CACHE_DIR UV_PROJECT_ENVIRONMENT",
        # Other languages.
        "JAVA_HOME JDK_HOME JRE_HOME MAVEN_HOME M2_HOME GRADLE_HOME GRADLE_USER_HOME SDKMAN_DIR KOTLIN_HOME",
        "GOPATH GOROOT GOBIN GOCACHE GOMODCACHE GOFLAGS GOOS GOARCH GOTOOLCHAIN CGO_ENABLED",
        "CARGO_HOME CARGO_TARGET_DIR RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTFLAGS RUST_BACKTRACE",
        "NVM_DIR NVM_BIN FNM_DIR FNM_MULTISHELL_PATH VOLTA_HOME NODE_PATH NODE_OPTIONS NODE_ENV COREPACK_HOME",
        "PNPM_HOME BUN_INSTALL DENO_DIR RBENV_ROOT GEM_HOME GEM_PATH BUNDLE_PATH RUBYLIB RUBYOPT",
        "PERL5LIB PERL_LOCAL_LIB_ROOT COMPOSER_HOME PHPENV_ROOT DOTNET_ROOT NUGET_PACKAGES R_LIBS R_LIBS_USER",
        "JULIA_DEPOT_PATH GHCUP_INSTALL_BASE_PREFIX STACK_ROOT OPAMROOT ASDF_DIR ASDF_DATA_DIR MISE_DATA_DIR",
        "ANDROID_HOME ANDROID_SDK_ROOT HOMEBREW_PREFIX NIX_PATH NIX_PROFILES NIX_SSL_CERT_FILE LOCALE_ARCHIVE",
        # Network: proxies and certificates.
        "HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY",
        "http_proxy https_proxy ftp_proxy all_proxy no_proxy",
        "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO",
        # How to behave.
        "CI SOURCE_DATE_EPOCH DEBIAN_FRONTEND",
        # Where an executor inside finds the same state.
        "EXECUTOR_STATE_DIR EXECUTOR_WORKSPACE_ID",
    )
    for name in names.split()
)
# Every shell sets these for itself; that they are withheld explains no failure.
_UNREMARKABLE: Final = frozenset(("PWD", "OLDPWD", "SHLVL", "_"))
_ALLOWED_PREFIXES: Final = ("LC_", "CONDA_", "XDG_")
_NAME: Final = re.compile(r"[^=\0]+")
_UUID_ID: Final = re.compile(r"exec_([0-9a-f]{32})")


# They lead to the state of the workspace, or git to its repository: nothing for a process in a scratch copy.
LEADS_BACK: Final = frozenset(
    (
        *("EXECUTOR_STATE_DIR", "EXECUTOR_WORKSPACE_ID", "OLDPWD"),
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    )
)


@dataclass(frozen=True, slots=True)
class Link:
    """How a process inside an execution finds its place in the graph.

    `workspace` is the directory the execution works in. `database_url` is handed on whole, with its
    password, because it has to work; logs show it redacted. None when nothing inside could open it.
    """

    execution_id: str
    correlation_id: str
    workspace: str
    database_url: str | None = None

    def variables(self) -> dict[str, str]:
        values = {
            PARENT: self.execution_id,
            CORRELATION: self.correlation_id,
            WORKSPACE: self.workspace,
            TRACEPARENT: traceparent(self.correlation_id, self.execution_id),
        }
        if self.database_url is not None:
            values[DATABASE] = self.database_url
        return values


@dataclass(frozen=True, slots=True)
class Environment:
    """What a check gets, and the names of what it does not get."""

    values: Mapping[str, str]
    withheld: tuple[str, ...] = ()


def check_environment(
    environ: Mapping[str, str], extra_names: Iterable[str] = (), *, link: Link | None = None
) -> Environment:
    """The environment of a check started from `environ`.

    `extra_names` pass as well, if they are set; a name that ends in `*` stands for all that begin so.
    Raises InvalidSettings for what can be no name. Without `link` the check knows nothing of Executor.
    PATH is handed on as it is.
    """
    extra = tuple(extra_names)
    for name in extra:
        check_name(name)
    exact = {name for name in extra if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in extra if name.endswith("*"))
    values = {
        name: value
        for name, value in environ.items()
        if _allowed(name) or name in exact or (prefixes and name.startswith(prefixes))
    }
    withheld = tuple(sorted(environ.keys() - values.keys() - _UNREMARKABLE))
    if link is not None:
        # A caller cannot let an outer execution's links through: they would name the wrong parent.
        values.update(link.variables())
        values[INSIDE] = INSIDE_VERIFICATION
        withheld = tuple(name for name in withheld if name not in values)
    return Environment(values, withheld)


def in_scratch(environment: Environment, workspace: str, database_url: str | None) -> Environment:
    """`environment` for the same check in a scratch copy, with the database in which it is recorded."""
    values = {name: value for name, value in environment.values.items() if name not in LEADS_BACK}
    values[WORKSPACE] = workspace
    if database_url is not None:
        values[DATABASE] = database_url
    return Environment(values, environment.withheld)


def check_name(name: str) -> str:
    """Returns `name` when it can be the name of a variable. Raises InvalidSettings."""
    if _NAME.fullmatch(name) is None or name == "*":
        raise InvalidSettings(f"{name!r} is no name of an environment variable; give NAME, without a value")
    return name


def _allowed(name: str) -> bool:
    if name in _ALLOWED:
        return True
    return name.startswith(_ALLOWED_PREFIXES) and not says_secret(name)


def traceparent(correlation_id: str, execution_id: str) -> str:
    """The W3C trace context of an execution: the correlation is the trace, the execution is the span.

    The same ids give the same text on every host. A correlation that is an execution id of the usual shape
    keeps its digits, so that the trace can be found by them.
    """
    uuid = _UUID_ID.fullmatch(correlation_id)
    trace = uuid[1] if uuid and uuid[1].strip("0") else _digest(correlation_id)[:32]
    return f"00-{trace}-{_digest(execution_id)[:16]}-01"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
