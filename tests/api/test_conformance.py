"""Whatever is sent, the API does what its OpenAPI document says: random requests, single and in sequence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from executor_api import openapi
from support.api import client, sign_in
from support.command import BROKEN_PATCH, VERIFY, Repository

# The same requests each time. What a value means beyond its shape is the API's to refuse, so valid data may be.
SETTINGS = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {"with-security-parameters": False},
        "checks": {
            "negative_data_rejection": {"expected-statuses": [400, 404, 405, 409, 413, 414, 415, 422, 431]}
        },
    }
)
DOCUMENT = openapi.document()
# A stream has no end, and a session is begun with a key nobody can guess.
OPERATIONS = [
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if path not in ("/events/stream", "/ui/session")
]
MEANT: dict[str, dict[str, Any]] = {
    "/executions": {"patch": BROKEN_PATCH},
    "/executions/{execution_id}/retry": {},
    "/executions/{execution_id}/deny": {"reason": "no"},
    "/executions/{execution_id}/dismiss": {"reason": "known"},
}


class Place:
    """A server with executions of every kind, and what was answered to whom."""

    def __init__(self, repository: Repository, api: TestClient) -> None:
        self.repository, self.api = repository, api
        self.schema = schemathesis.openapi.from_asgi("/openapi.json", api.app, config=CONFIG)
        self.headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in api.cookies.items())}

    def known(self, kind: str) -> str:
        asked = {"awaiting": "true"} if kind == "awaiting" else {"status": kind, "limit": "500"}
        listed = self.api.get("/executions", params=asked).json()
        execution_id: str = listed["executions"][-1]["execution_id"]
        return execution_id

    def propose_pipeline(self, number: int) -> None:
        patch = f"--- /dev/null\n+++ b/folder{number}/Makefile\n@@ -0,0 +1 @@\n+all:\n"
        for _ in range(1200):
            answer = self.api.post("/executions", json={"patch": patch})
            if answer.status_code != 503:
                break
            # What the requests before have left waits to be carried out.
            time.sleep(0.05)
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    repository = Repository.calculator(tmp_path_factory.mktemp("place") / "calculator")
    assert repository.apply(BROKEN_PATCH).code == 1
    assert repository.apply("--- /dev/null\n+++ b/notes.txt\n@@ -0,0 +1 @@\n+notes\n").code == 0
    repository.run("init")
    repository.write(".executor/config.toml", f'[checks]\ntests = "{VERIFY}"\n')
    # The name under which the requests are sent.
    with client(repository.root, allowed_hosts=("testserver",)) as api:
        sign_in(api)
        yield Place(repository, api)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_keeps_to_the_document(place: Place, method: str, path: str) -> None:
    """Each is reached with something that works and with something that does not."""
    operation = place.schema[path][method]
    decides = path.endswith(("/approve", "/deny", "/cancel"))
    if decides:
        place.propose_pipeline(OPERATIONS.index((method, path)))
    kind = "completed" if path.endswith("/revert") else "rolled_back"
    known = place.known("awaiting" if decides else kind)
    names = {"execution_id": known, "correlation_id": known, "name": "plan.json"}

    def with_known_ids(case: Any) -> Any:
        case.path_parameters = {name: names[name] for name in case.path_parameters}
        return case

    valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    invalid = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @SETTINGS
    @given(case=st.one_of(valid.map(with_known_ids), valid, invalid))
    def fuzz(case: Any) -> None:
        case.call_and_validate(headers=place.headers, checks=CHECKS)

    meant: dict[str, Any] = {} if method == "GET" else {"json": MEANT.get(path, {})}
    works = place.api.request(method, path.format(**names), **meant)
    fails = place.api.request(method, path.format(**names), params={"nonsense": "1"}, **meant)

    assert works.status_code in (200, 202), works.text
    assert 422 == fails.status_code
    fuzz()


def test_sequences_of_requests_keep_to_the_document(place: Place) -> None:
    """What one answer names is asked for by the next request."""
    excluded = place.schema.exclude(path=["/events/stream", "/ui/session"])

    class Machine(excluded.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": place.headers}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Machine.run(settings=settings(SETTINGS, max_examples=8, stateful_step_count=6))
