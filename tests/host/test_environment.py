"""What a check sees of the environment."""

import re

import pytest

from executor.errors import InvalidSettings
from executor.host.environment import Environment, Link, check_environment, traceparent

LINK = Link("exec_b", "team/task 7", "/w", "postgresql://ann:s3cret@db/app")


def test_tools_find_what_they_need_and_secrets_stay() -> None:
    """Paths, locale, language homes, proxies pass; credentials, agents and git's variables do not."""
    passed = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_CTYPE": "C.UTF-8",
        "VIRTUAL_ENV": "/v",
        "CONDA_PREFIX": "/c",
        "JAVA_HOME": "/j",
        "GOPATH": "/g",
        "https_proxy": "http://p",
        "SSL_CERT_FILE": "/s",
        "CI": "true",
        "PYTHONPATH": "src",
        "XDG_CACHE_HOME": "/x",
        "NO_COLOR": "",
        "EXECUTOR_STATE_DIR": "/state",
    }
    withheld = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "GITHUB_TOKEN": "t",
        "CONDA_TOKEN": "u",
        "SSH_AUTH_SOCK": "/a",
        "GIT_DIR": "/d",
        "CLAUDECODE": "1",
        "LD_PRELOAD": "/l",
        "EXECUTOR_AGENT": "x",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPYCACHEPREFIX": "/p",
    }

    assert Environment(passed, tuple(sorted(withheld))) == check_environment({**passed, **withheld})


def test_names_asked_for_pass() -> None:
    """One name, or all that begin alike; a name that is not set is not invented."""
    environ = {"AWS_REGION": "r", "AWS_KEY": "k", "GITHUB_TOKEN": "t", "OTHER": "o"}

    assert Environment(
        {"AWS_REGION": "r", "AWS_KEY": "k", "OTHER": "o"}, ("GITHUB_TOKEN",)
    ) == check_environment(environ, ["AWS_*", "OTHER", "MISSING"])


@pytest.mark.parametrize("name", ["", "NAME=value", "*", "A\0B"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """`--env NAME=value` would silently do nothing."""
    with pytest.raises(InvalidSettings, match="is no name"):
        check_environment({}, [name])


def test_a_check_finds_its_place_in_the_graph() -> None:
    """The links of this execution, never those inherited from another, whatever is let through."""
    outer = {
        "EXECUTOR_PARENT_EXECUTION_ID": "exec_a",
        "EXECUTOR_DATABASE_URL": "sqlite:///x",
        "TRACEPARENT": "y",
    }
    inner = check_environment(outer, ["EXECUTOR_*", "TRACEPARENT"], link=LINK)

    assert {
        "EXECUTOR_PARENT_EXECUTION_ID": "exec_b",
        "EXECUTOR_CORRELATION_ID": "team/task 7",
        "EXECUTOR_WORKSPACE": "/w",
        "EXECUTOR_DATABASE_URL": "postgresql://ann:s3cret@db/app",
        "EXECUTOR_INSIDE": "verification",
        "TRACEPARENT": traceparent("team/task 7", "exec_b"),
    } == inner.values
    assert () == inner.withheld


def test_without_a_link_nothing_of_an_outer_execution_is_inherited() -> None:
    """The variables of an outer execution are withheld, and said to be."""
    outer = {"EXECUTOR_PARENT_EXECUTION_ID": "exec_a", "EXECUTOR_INSIDE": "verification"}

    assert Environment({}, tuple(sorted(outer))) == check_environment(outer)


@pytest.mark.parametrize("correlation", ["exec_0190b7e0c0de7000800000000000beef", "exec_" + "0" * 32, "ä/b"])
def test_trace_context_has_the_shape_of_the_standard(correlation: str) -> None:
    """Version, 32 and 16 hexadecimal digits, neither all zero, and the sampled flag."""
    text = traceparent(correlation, "exec_1")
    _, trace, span, _ = text.split("-")

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text)
    assert trace.strip("0")
    assert span.strip("0")
    assert traceparent(correlation, "exec_2").split("-")[1] == trace
    assert traceparent(correlation, "exec_2").split("-")[2] != span


def test_a_trace_can_be_found_by_the_id_of_its_root() -> None:
    """A correlation that is an execution id gives its digits to the trace."""
    assert traceparent("exec_0190b7e0c0de7000800000000000beef", "e").startswith(
        "00-0190b7e0c0de7000800000000000beef-"
    )
