"""What is refused before anything looks at it, and what every answer says to a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from executor_api.app import ROUTERS
from executor_api.guard import MAX_DEPTH, segmented, too_deep
from executor_api.paths import unescaped
from support.api import client, problem_of, sign_in

# What can be meant, so that only who asks is missing.
BODIES: dict[str, dict[str, str]] = {
    "/executions": {"patch": "x"},
    "/executions/x/retry": {},
    "/executions/x/revert": {},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("workspace"), allowed_hosts=("Executor.Example",)) as opened:
        yield opened


class TestWhoAsks:
    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:80", "127.0.0.1:5173", "[::1]:1", "executor.example"]
    )
    def test_names_of_this_machine_and_allowed_ones_are_answered(self, api: TestClient, host: str) -> None:
        assert api.get("/healthz", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil", "[::2]", "", "@localhost"]
    )
    def test_other_names_are_refused(self, api: TestClient, host: str) -> None:
        """A name of somebody else that leads to this address."""
        assert (421, "host_not_allowed") == problem_of(api.get("/healthz", headers={"Host": host}))

    def test_two_names_are_refused(self, api: TestClient) -> None:
        answer = api.get("/healthz", headers=[("Host", "localhost"), ("Host", "localhost")])

        assert (421, "host_not_allowed") == problem_of(answer)

    @pytest.mark.parametrize(
        "origin",
        [
            "null",
            "http://localhost",
            "http://localhost:3000",
            "http://evil.example",
            "http://localhost:5173.evil.example",
        ],
    )
    def test_pages_of_another_origin_are_refused(self, api: TestClient, origin: str) -> None:
        """The same machine at another port is another origin, and the console's cookie goes there, too."""
        assert (403, "cross_origin") == problem_of(api.get("/healthz", headers={"Origin": origin}))

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_what_a_page_of_another_site_loads_is_refused(self, api: TestClient, site: str) -> None:
        for mode, dest in (
            ("no-cors", "image"),
            ("cors", "empty"),
            ("navigate", "document"),
            ("navigate", "iframe"),
        ):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}

            assert (403, "cross_origin") == problem_of(api.get("/executions", headers=headers))

    def test_the_console_itself_is_answered(self, api: TestClient) -> None:
        headers = {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-origin"}

        assert api.get("/executions", headers=headers).status_code == 200

    def test_a_link_elsewhere_may_lead_to_the_console(self, api: TestClient) -> None:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

        assert api.get("/ui/session?key=x", headers=headers).status_code == 401
        assert api.get("/ui/session?key=x", headers=headers | {"Sec-Fetch-Dest": "iframe"}).status_code == 403


class TestSession:
    def test_the_url_works_once(self, api: TestClient, tmp_path: Path) -> None:
        with client(tmp_path) as api:
            key = api.app.state.access.new_key()  # type: ignore[attr-defined]
            first = api.get("/ui/session", params={"key": key}, follow_redirects=False)
            second = api.get("/ui/session", params={"key": key}, follow_redirects=False)

        cookie = first.headers["set-cookie"]
        assert 303 == first.status_code
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert cookie.startswith("executor_session_5173=")
        assert (401, "key_used") == problem_of(second)

    def test_a_session_of_another_server_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with client(tmp_path / "a") as one, client(tmp_path / "b") as two:
            sign_in(one)
            two.cookies.update(one.cookies)

            assert (401, "unauthorized") == problem_of(two.get("/executions/x/diff"))

    def test_every_operation_asks_who_calls(self, tmp_path: Path) -> None:
        """On an address others can reach nothing but health and the way in is open."""
        with client(tmp_path, host="192.0.2.1") as api:
            for router in ROUTERS:
                for route in router.routes:
                    assert isinstance(route, APIRoute)
                    path = route.path_format.replace("{execution_id}", "x").replace("{correlation_id}", "x")
                    for method in route.methods or ():
                        body = None if method == "GET" else BODIES.get(path, {"reason": "it is late"})
                        answer = api.request(method, path.replace("{name}", "x"), json=body)
                        opened = path in ("/healthz", "/readyz", "/ui/session")

                        assert opened or answer.status_code == 401, path


class TestBounds:
    @pytest.mark.parametrize(
        ("path", "headers", "refused"),
        [
            (f"/executions?q={'x' * 17_000}", {}, (414, "address_too_long")),
            (f"/executions/{'x' * 9_000}", {}, (414, "address_too_long")),
            ("/executions", {"X-Much": "x" * 33_000}, (431, "headers_too_large")),
        ],
    )
    def test_what_is_too_long_is_refused(
        self, api: TestClient, path: str, headers: dict[str, str], refused: tuple[int, str]
    ) -> None:
        assert refused == problem_of(api.get(path, headers=headers))

    def test_bodies_are_bounded_whether_announced_or_not(self, api: TestClient) -> None:
        headers = {"Content-Type": "application/json"}

        def chunks() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * (64 << 10)

        assert (413, "body_too_large") == problem_of(
            api.post("/executions", content=b" " * (1 << 21), headers=headers)
        )
        assert (413, "body_too_large") == problem_of(
            api.post("/executions", content=chunks(), headers=headers)
        )

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    def test_bodies_are_json(self, api: TestClient, kind: str) -> None:
        """What a form of another page can send is not read."""
        assert (415, "json_expected") == problem_of(
            api.post("/executions", content=b"{}", headers={"Content-Type": kind})
        )

    def test_nesting_is_bounded(self, api: TestClient) -> None:
        headers = {"Content-Type": "application/json"}
        for body in (b"[" * 65 + b"]" * 65, b"[" * 500_000, b'{"a":' * 100_000):
            assert (422, "body_too_deep") == problem_of(
                api.post("/executions", content=body, headers=headers)
            )

    @given(
        st.recursive(
            st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
    )
    def test_strings_do_not_nest(self, value: object) -> None:
        """Brackets and quotation marks inside strings do not count."""
        import json

        flat = json.dumps(["[" * 100 + '"\\', value]).encode()
        deep = b"[" * (MAX_DEPTH + 1) + flat + b"]" * (MAX_DEPTH + 1)

        assert not too_deep(flat)
        assert too_deep(deep)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_segments_come_back_as_they_were(names: list[str]) -> None:
    """Slashes, percent signs and all else survive being escaped and split."""
    from urllib.parse import quote

    path = segmented("/".join(quote(name, safe="") for name in names).encode())

    assert names == [unescaped(segment) for segment in path.split("/")]


def test_every_answer_tells_a_browser_to_run_nothing(api: TestClient) -> None:
    """Answers, errors and refusals alike."""
    for answer in (api.get("/healthz"), api.get("/nothing"), api.get("/", headers={"Host": "x"})):
        assert "nosniff" == answer.headers["x-content-type-options"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert "no-store" == answer.headers["cache-control"]
        assert "access-control-allow-origin" not in answer.headers
