"""What the API answers is what the store answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from executor.host.artifacts import ArtifactFolder
from executor.models.execution import ExecutionFilter
from executor.models.times import format_time, parse_time
from executor.storage.store import ExecutionStore
from executor.testing.contract.lists import CONTRADICTIONS, PARAMETERS, ROWS, random_commits, random_rows
from executor.testing.factories import as_record, finish, ids, link_row, row, start
from executor.testing.oracle import filtered
from executor.testing.strategies import STRANGE_IDS
from executor_api import schemas
from support.api import BASE, client, problem_of, sign_in
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository
from support.stores import SqliteHarness

# One value for each parameter; the contract of the store asks every pair of all values.
ONE_OF_EACH = list({next(iter(asked)): name for name, asked in reversed(PARAMETERS.items())}.values())[::-1]


def shown(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["execution_id"] for item in answer.json()["executions"]]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[SqliteHarness]:
    harness = SqliteHarness(tmp_path)
    yield harness
    harness.close()


@pytest.fixture
def api(harness: SqliteHarness) -> Iterator[TestClient]:
    with client(harness.workspace) as opened:
        yield opened


class TestList:
    @pytest.fixture(scope="class")
    @classmethod
    def filled(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, SqliteHarness]]:
        harness = SqliteHarness(tmp_path_factory.mktemp("filled"))
        harness.set_upgraded_at("2000-01-01 00:00:00")
        harness.write_behind(random_rows())
        links = [link_row(link) for link in random_commits(random_rows())]
        harness.write_behind(links, "execution_links")
        with client(harness.workspace) as opened:
            yield opened, harness
        harness.close()

    @staticmethod
    def asked(harness: SqliteHarness, *names: str) -> ExecutionFilter:
        values = {key: value for name in names for key, value in PARAMETERS[name].items()}
        own = harness.store().workspace_id
        if "workspace" in values:
            values["workspace"] = tuple(text.replace("@own", own) for text in values["workspace"])
        return ExecutionFilter(**values)

    @staticmethod
    def parameters(filter: ExecutionFilter) -> dict[str, Any]:
        return {
            name: value if not isinstance(value, bool) else str(value).lower()
            for name, value in asdict(filter).items()
            if value not in ((), None)
        }

    @classmethod
    def passing(cls, harness: SqliteHarness, *names: str) -> list[str]:
        filter = cls.asked(harness, *names)
        stored = replace(filter, until=filter.until and format_time(parse_time(filter.until)))
        records = [as_record(values) for values in random_rows()]
        own, links = harness.store().workspace_id, random_commits(random_rows())
        return ids(filtered(records, stored, workspace_id=own, links=links))

    def compare(self, filled: tuple[TestClient, SqliteHarness], expected: list[str], *names: str) -> None:
        api, harness = filled
        filter = self.asked(harness, *names)
        alone = filter == ExecutionFilter(correlation_id=filter.correlation_id[:1])
        if filter.correlation_id and alone and not filter.correlation_id[0].startswith("!"):
            expected = expected[::-1]
        answer = api.get("/executions", params={**self.parameters(filter), "limit": ROWS})

        assert expected == shown(answer), names
        assert len(expected) == answer.json()["total"]

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_each_parameter_lets_pass_what_a_plain_filter_lets_pass(
        self, filled: tuple[TestClient, SqliteHarness], name: str
    ) -> None:
        """Of 300 random rows at least one is in and one is out; the statistics count the same rows."""
        api, harness = filled
        expected = self.passing(harness, name)
        self.compare(filled, expected, name)
        counted = api.get("/executions/statistics", params=self.parameters(self.asked(harness, name))).json()

        assert 0 < len(expected) < ROWS
        assert len(expected) == counted["total"]

    def test_each_pair_of_parameters_lets_pass_what_both_let_pass(
        self, filled: tuple[TestClient, SqliteHarness]
    ) -> None:
        passing = {name: self.passing(filled[1], name) for name in ONE_OF_EACH}
        for pair in itertools.combinations(ONE_OF_EACH, 2):
            expected = [name for name in passing[pair[0]] if name in set(passing[pair[1]])]
            self.compare(filled, expected, *pair)

            assert len(expected) < ROWS
            assert expected or pair in CONTRADICTIONS, pair

    def test_pages_join_to_the_whole_list(self, filled: tuple[TestClient, SqliteHarness]) -> None:
        """By cursor and by offset."""
        api, _ = filled
        whole = shown(api.get("/executions", params={"limit": ROWS}))
        by_cursor: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = api.get("/executions", params={"limit": 70, **cursor})
            by_cursor += shown(answer)
            if answer.json()["next_cursor"] is None:
                break
            cursor = {"cursor": answer.json()["next_cursor"]}
        by_offset = [
            name
            for offset in range(0, ROWS, 70)
            for name in shown(api.get("/executions", params={"limit": 70, "offset": offset}))
        ]

        assert ROWS == len(whole)
        assert whole == by_cursor == by_offset

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("limit=0", "invalid_request"),
            ("limit=501", "invalid_request"),
            ("limit=-1", "invalid_request"),
            ("limit=two", "invalid_request"),
            (f"limit={'9' * 5000}", "invalid_request"),
            ("offset=-1", "invalid_request"),
            ("offset=10001", "invalid_limit"),
            (f"offset={2**63}", "invalid_limit"),
            ("offset=5&cursor=abc", "invalid_filter"),
            ("cursor=abc", "invalid_cursor"),
            ("status=done", "invalid_request"),
            ("verdict=!maybe", "invalid_request"),
            ("since=yesterday", "invalid_time"),
            ("until=2026-01-31T12:00:00", "invalid_time"),
            ("path=%23comment", "invalid_filter"),
            ("unresolved=perhaps", "invalid_request"),
            ("staus=failed", "invalid_request"),
            (f"q={'x' * 1025}", "invalid_request"),
            ("&".join(["actor=a"] * 65), "invalid_request"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(
        self, filled: tuple[TestClient, SqliteHarness], query: str, code: str
    ) -> None:
        """A misspelt parameter does not quietly widen the answer."""
        api, _ = filled

        assert (422, code) == problem_of(api.get(f"/executions?{query}"))

    def test_a_large_offset_points_at_the_cursor(self, filled: tuple[TestClient, SqliteHarness]) -> None:
        assert "cursor" in filled[0].get("/executions?offset=10001").json()["detail"]

    @pytest.mark.parametrize(
        "query", ["correlation_id=gone", "parent_execution_id=gone", "q=%00", "actor=%00"]
    )
    def test_what_is_unknown_gives_an_empty_list(
        self, filled: tuple[TestClient, SqliteHarness], query: str
    ) -> None:
        answer = filled[0].get(f"/executions?{query}")

        assert (200, [], 0) == (answer.status_code, shown(answer), answer.json()["total"])


class TestGraph:
    def test_the_lineage_is_that_of_the_store(self, harness: SqliteHarness, api: TestClient) -> None:
        store = harness.store()
        assert isinstance(store, ExecutionStore)
        finish(store, "root")
        for number in range(3):
            finish(store, f"child{number}", "root")
        finish(store, "grandchild", "child1")
        for parameters in ({}, {"depth": 1}, {"limit": 1}, {"depth": 1, "limit": 2}):
            answer = api.get("/executions/child1/lineage", params=parameters).json()
            expected = store.get_execution_lineage(
                "child1", parameters.get("depth", 20), parameters.get("limit", 1000)
            )

            schemas.ExecutionLineage.model_validate(answer)
            assert expected["truncated"] == answer["truncated"]
            for name in ("ancestors", "descendants", "siblings"):
                found = [item["execution_id"] for item in answer[name]]
                assert ids(expected[name]) == found

    def test_a_chain_comes_in_pages_oldest_first(self, harness: SqliteHarness, api: TestClient) -> None:
        """The total counts all of it, whatever the limit."""
        store = harness.store()
        start(store, "exec_001", correlation_id="!a/b %2F ä")
        for number in range(2, 6):
            start(store, f"exec_00{number}", "exec_001")
        path = f"/executions/correlation/{quote('!a/b %2F ä', safe='')}"
        first = api.get(path, params={"limit": 3}).json()
        second = api.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()

        schemas.CorrelationChain.model_validate(first)
        assert ("!a/b %2F ä", 5, "exec_001") == (
            first["correlation_id"],
            first["total_executions"],
            first["root_execution_id"],
        )
        assert [f"exec_00{n}" for n in range(1, 6)] == [
            item["execution_id"] for item in first["executions"] + second["executions"]
        ]
        assert second["next_cursor"] is None

    @pytest.mark.parametrize("way", ["quoted", "plain slash"])
    def test_a_slash_in_a_correlation_may_be_escaped_or_not(
        self, harness: SqliteHarness, api: TestClient, way: str
    ) -> None:
        start(harness.store(), "exec_001", correlation_id="team/task")
        name = quote("team/task", safe="" if way == "quoted" else "/")

        assert ["exec_001"] == shown(api.get(f"/executions/correlation/{name}"))

    def test_every_stored_id_can_be_asked_for(self, harness: SqliteHarness, api: TestClient) -> None:
        """Ids of old databases: slashes, percent signs, any letter. `..` and the empty one are no path."""
        strange = [name for name in STRANGE_IDS if name not in ("", "..", "correlation", "statistics")]
        harness.write_behind(row(name, correlation_id=f"task {name}") for name in strange)
        for name in strange:
            path = f"/executions/{quote(name, safe='')}"

            assert name == api.get(path).json()["execution"]["execution_id"]
            assert name == api.get(f"{path}/lineage").json()["execution"]["execution_id"]
            chain = api.get(f"/executions/correlation/{quote(f'task {name}', safe='')}")
            assert [name] == shown(chain)
            assert [name] == shown(api.get("/executions", params={"correlation_id": f"task {name}"}))

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/executions/gone", "execution_not_found"),
            ("/executions/gone/lineage", "execution_not_found"),
            ("/executions/gone/events", "execution_not_found"),
            ("/executions/gone/artifacts", "execution_not_found"),
            ("/executions/gone/replay", "execution_not_found"),
            ("/executions/gone/artifacts/a", "execution_not_found"),
            ("/executions/gone/diff", "execution_not_found"),
            ("/executions/correlation/gone", "correlation_not_found"),
            ("/executions/gone/nothing", "no_such_path"),
            ("/executions/", "no_such_path"),
            ("/nothing", "no_such_path"),
        ],
    )
    def test_what_is_unknown_in_a_path_is_not_found(self, api: TestClient, path: str, code: str) -> None:
        sign_in(api)

        assert (404, code) == problem_of(api.get(path))


class TestOne:
    """One execution, recorded by the command line."""

    @pytest.fixture(scope="class")
    @classmethod
    def repository(cls, tmp_path_factory: pytest.TempPathFactory) -> Repository:
        repository = Repository.calculator(tmp_path_factory.mktemp("calculator"))
        assert repository.apply(BROKEN_PATCH, "--title", "Break it").code == 1
        assert repository.apply(GOOD_PATCH, "--title", "Turn it round", "--parent", "@last").code == 0
        return repository

    @pytest.fixture(scope="class")
    @classmethod
    def api(cls, repository: Repository) -> Iterator[TestClient]:
        with client(repository.root) as opened:
            yield opened

    def test_every_answer_keeps_to_its_model(self, repository: Repository, api: TestClient) -> None:
        """No field is missing, none is there that the document does not know."""
        good, broken = shown(api.get("/executions"))
        sign_in(api)
        models: dict[str, type[BaseModel]] = {
            "/executions": schemas.ExecutionList,
            "/executions/statistics": schemas.ExecutionStatistics,
            f"/executions/{broken}": schemas.ExecutionDetail,
            f"/executions/{good}/lineage": schemas.ExecutionLineage,
            f"/executions/{good}/events": schemas.ExecutionEvents,
            f"/executions/{good}/artifacts": schemas.ExecutionArtifacts,
            f"/executions/{good}/diff": schemas.ExecutionDiff,
            f"/executions/{broken}/replay?log_lines=5": schemas.ExecutionReplay,
            f"/executions/correlation/{broken}": schemas.CorrelationChain,
            "/workspaces": schemas.Workspaces,
            "/database": schemas.Database,
            "/tokens": schemas.Tokens,
            "/readyz": schemas.Readiness,
            "/healthz": schemas.Health,
        }
        for path, model in models.items():
            answer = api.get(path)
            assert answer.status_code == 200, answer.text
            checked = model.model_validate_json(answer.content, strict=True)

            # Plans and the like leave out what is as usual.
            assert answer.json().keys() == checked.model_dump().keys(), path

    def test_it_says_what_the_command_line_says(self, repository: Repository, api: TestClient) -> None:
        (_, broken) = shown(api.get("/executions"))
        told = repository.run("show", broken, "--json").json
        answer = api.get(f"/executions/{broken}").json()

        for name in (
            "execution",
            "steps",
            "plan",
            "decision",
            "approval",
            "links",
            "unresolved",
            "reverted_by",
        ):
            assert told[name] == answer[name], name
        assert (
            repository.run("stats", "--json").json["total"]
            == api.get("/executions/statistics").json()["total"]
        )

    def test_the_policy_in_force_is_named_and_a_broken_one_says_why(
        self, repository: Repository, api: TestClient
    ) -> None:
        def policy() -> dict[str, str | None]:
            (workspace,) = api.get("/workspaces").json()["workspaces"]
            found: dict[str, str | None] = workspace["policy"]
            return found

        told = repository.run("policy", "check", "--json").json["policy_hash"]
        built_in = policy()
        file = repository.root / ".executor" / "policy.yaml"
        file.write_text("forbid: [")
        broken = policy()
        file.unlink()

        assert {"name": "built-in", "hash": told, "problem": None} == built_in
        assert (None, None) == (broken["name"], broken["hash"])
        assert "policy.yaml" in (broken["problem"] or "")

    def test_the_size_of_the_database_is_that_of_its_files(
        self, repository: Repository, api: TestClient
    ) -> None:
        shown = api.get("/database").json()
        file = repository.root / ".executor" / "executor.db"

        assert ("sqlite", file.stat().st_size) == (shown["engine"], shown["bytes"])
        assert file.with_name("executor.db-wal").stat().st_size == shown["log_bytes"]

    def test_a_list_includes_steps_and_lines_when_asked(self, api: TestClient) -> None:
        """And nothing of it otherwise."""
        plain = api.get("/executions").json()["executions"]
        (good, broken) = api.get("/executions?include=steps&include=lines&include=steps").json()["executions"]
        steps = {step["step_name"]: step["status"] for step in broken["steps"]}
        detail = api.get(f"/executions/{broken['execution_id']}").json()

        assert all(not {"steps", "lines_added", "lines_removed"} & item.keys() for item in plain)
        assert {"verify": "failed", "rollback": "completed"}.items() <= steps.items()
        assert broken["steps"] == [
            {name: step[name] for name in ("step_name", "status", "duration_seconds")}
            for step in detail["steps"]
        ]
        assert (1, 1) == (good["lines_added"], good["lines_removed"])
        assert "steps" not in api.get("/executions?include=lines").json()["executions"][0]
        assert "lines_added" not in api.get("/executions?include=steps").json()["executions"][0]
        assert (422, "invalid_request") == problem_of(api.get("/executions?include=everything"))

    def test_where_attempts_began_is_told_when_asked(self, harness: SqliteHarness) -> None:
        """In the list and with one execution; nothing where the beginning is not recorded."""
        start(harness.store(), "first")
        start(harness.store(), "second", "first", trigger_kind="retry")
        start(harness.store(), "third", "second", trigger_kind="repair")
        start(harness.store(), "other", "third", trigger_kind="child")
        harness.write_behind([row("lost", parent_execution_id="gone", trigger_kind="retry")])
        expected = {"first": "first", "second": "first", "third": "first", "other": "other", "lost": None}
        with client(harness.workspace) as api:
            listed = api.get("/executions?include=attempts").json()["executions"]
            details = {name: api.get(f"/executions/{name}").json() for name in expected}
            plain = api.get("/executions?include=steps").json()["executions"]

        assert expected == {item["execution_id"]: item["first_attempt_id"] for item in listed}
        assert expected == {name: detail["first_attempt_id"] for name, detail in details.items()}
        assert all("first_attempt_id" not in item for item in plain)

    def test_what_an_agent_said_is_named_and_can_be_read(self, tmp_path: Path) -> None:
        repository = Repository.calculator(tmp_path / "repository")
        repository.write("../said", "turning it round\n")
        url = "https://example.com/sessions/1"
        assert 0 == repository.apply(GOOD_PATCH, "--transcript", "../said").code
        assert 0 == repository.run("run", "--transcript", url, "--", "true").code
        with client(repository.root) as api:
            linked, kept = shown(api.get("/executions"))
            sign_in(api)
            said = api.get(f"/executions/{kept}/artifacts/transcript")

            assert url == api.get(f"/executions/{linked}").json()["transcript"]
            assert "transcript" == api.get(f"/executions/{kept}").json()["transcript"]
        assert (200, "turning it round\n") == (said.status_code, said.text)

    def test_events_go_on_after_a_number_and_end_with_the_last(self, api: TestClient) -> None:
        (good, _) = shown(api.get("/executions"))
        path = f"/executions/{good}/events"
        whole = api.get(path).json()

        assert whole["last_seq"] == len(whole["events"]) > 5
        assert whole["events"][3:] == api.get(path, params={"after": 3}).json()["events"]
        assert whole["events"][-2:] == api.get(path, params={"tail": 2}).json()["events"]
        assert whole["events"][:2] == api.get(path, params={"limit": 2}).json()["events"]
        assert [] == api.get(path, params={"after": 2**63 - 1}).json()["events"]

    def test_contents_need_a_session(self, repository: Repository) -> None:
        """Diffs and logs are for the console; the list of artifacts is for every program of the user."""
        with client(repository.root) as api:
            (good, _) = shown(api.get("/executions"))
            listed = api.get(f"/executions/{good}/artifacts").json()["artifacts"]
            paths = [f"/executions/{good}/diff", f"/executions/{good}/artifacts/plan.json"]
            before = [problem_of(api.get(path)) for path in paths]
            sign_in(api)
            diff, plan = (api.get(path) for path in paths)

        types = {item["name"]: item["media_type"] for item in listed}
        assert ("application/json", "application/x-ndjson", "text/plain") == tuple(
            types[name] for name in ("plan.json", "events.jsonl", "steps/04-verify.log")
        )
        assert [(401, "unauthorized")] * 2 == before
        assert "+    return b + a" in diff.json()["diff"]
        assert good.startswith("exec_")
        assert json.loads(plan.content)["plan_id"].startswith("plan_")

    def test_a_replay_is_what_the_command_line_tells(self, repository: Repository) -> None:
        """Logs need a session, the rest does not; no artifacts, no story."""
        with client(repository.root) as api:
            (good, broken) = shown(api.get("/executions"))
            path = f"/executions/{broken}/replay"
            open_to_all = api.get(path).json()
            refused = problem_of(api.get(path, params={"log_lines": 1}))
            sign_in(api)
            (log,) = api.get(path, params={"log_lines": 3}).json()["logs"]
            none = api.get(f"/executions/{good}/replay", params={"log_lines": 3}).json()["logs"]

        told = repository.run("show", "--replay", broken, "--json").json
        assert {**told, "logs": []} == open_to_all
        assert open_to_all["complete"]
        assert (401, "unauthorized") == refused
        whole = repository.run("logs", broken, "--json").json["logs"][0]["text"]
        assert ("steps/04-verify.log", whole.splitlines()[-3:]) == (log["name"], log["lines"])
        assert [] == none

    def test_an_artifact_is_served_whole_or_its_end(self, repository: Repository, api: TestClient) -> None:
        sign_in(api)
        (_, broken) = shown(api.get("/executions"))
        file = repository.root / ".executor" / "executions" / broken / "steps" / "04-verify.log"
        path = f"/executions/{broken}/artifacts/steps/04-verify.log"
        lines = file.read_bytes().splitlines(keepends=True)

        assert file.read_bytes() == api.get(path).content
        assert b"".join(lines[-2:]) == api.get(path, params={"tail": 2}).content
        assert file.read_bytes() == api.get(path, params={"tail": 9999}).content

    @pytest.mark.parametrize(
        "name",
        [
            "..%2F..%2Fworkspace.id",
            "%2e%2e%2fx",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            ".hidden",
            "steps",
            "link",
            "a%00b",
        ],
    )
    def test_only_what_is_listed_is_served(self, repository: Repository, api: TestClient, name: str) -> None:
        sign_in(api)
        (good, _) = shown(api.get("/executions"))
        folder = repository.root / ".executor" / "executions" / good
        if not (folder / "link").is_symlink():
            (folder / "link").symlink_to("/etc/passwd")
            (folder / ".hidden").touch()

        assert (404, "artifact_not_found") == problem_of(api.get(f"/executions/{good}/artifacts/{name}"))


def test_what_gc_dropped_is_gone_and_the_rest_is_there(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(BROKEN_PATCH).code == 1
    assert repository.run("gc", "--keep-count", "0").code == 0
    with client(repository.root) as api:
        sign_in(api)
        (broken,) = shown(api.get("/executions"))
        path = f"/executions/{broken}"
        detail, listed, events = (api.get(f"{path}{end}").json() for end in ("", "/artifacts", "/events"))

        assert events["events"][-1]["event"] == "payload_dropped"
        assert {detail["payload_dropped_at"], listed["payload_dropped_at"]} == {
            events["events"][-1]["timestamp"]
        }
        assert "steps/04-verify.log" not in {item["name"] for item in listed["artifacts"]}
        assert (True, []) == (listed["complete"], listed["missing"])
        for end in ("/diff", "/artifacts/steps/04-verify.log", "/artifacts/changeset.json"):
            assert (410, "payload_dropped") == problem_of(api.get(path + end)), end
        assert (404, "artifact_not_found") == problem_of(api.get(f"{path}/artifacts/other"))
        assert 200 == api.get(f"{path}/artifacts/plan.json").status_code
        story = api.get(f"{path}/replay", params={"log_lines": 9}).json()
        assert (False, [], 1) == (story["complete"], story["logs"], len(story["gaps"]))
        assert events["events"] == story["events"]
        retried = api.post(f"{path}/retry", json={}, headers={"Origin": BASE})
        assert (410, "payload_dropped") == problem_of(retried)


class TestOddities:
    def test_a_damaged_row_is_an_answer(self, harness: SqliteHarness, api: TestClient) -> None:
        """Numbers that are texts, texts that are bytes, lists that are none."""
        harness.write_behind(
            [
                row(
                    "odd",
                    files_changed="many",
                    duration_seconds="long",
                    title=b"\xff\xfe",
                    affected_paths="[1, {",
                    attempt="third",
                    error_message=b"\x00",
                    risk_level=7,
                    status="exploded",
                ),
                row("endless", duration_seconds=float("inf")),
                row("x") | {"execution_id": b"\xff"},
            ]
        )
        for path in (
            "/executions",
            "/executions?include=steps&include=lines&include=attempts",
            "/executions/odd",
            "/executions/odd/lineage",
            "/executions/correlation/odd",
        ):
            assert api.get(path).status_code == 200, path
        assert api.get("/executions/statistics").status_code == 200
        assert api.get("/executions/endless").status_code == 200

    def test_the_log_of_a_running_step_is_served_as_far_as_it_is(
        self, harness: SqliteHarness, api: TestClient
    ) -> None:
        """While it grows from the file; once the step has ended also without one."""
        store, name = harness.store(), "steps/04-verify.log"
        start(store, "e")
        step = store.record_step_start("e", 4, "verify", name)
        folder = ArtifactFolder(harness.workspace / ".executor", "e")
        folder.create()
        sign_in(api)
        served = []
        for text in ("one\n", "one\ntwo\n"):
            (folder.path / name).write_text(text)
            served.append(api.get(f"/executions/e/artifacts/{name}").text)
        last = api.get(f"/executions/e/artifacts/{name}", params={"tail": 1}).text
        store.record_step_end(step, "completed", output=folder.output(name))
        (folder.path / name).unlink()

        assert ["one\n", "one\ntwo\n"] == served
        assert "two\n" == last
        assert "one\ntwo\n" == api.get(f"/executions/e/artifacts/{name}").text
        (listed,) = api.get("/executions/e/artifacts").json()["artifacts"]
        assert (name, 8) == (listed["name"], listed["size"])

    def test_a_folder_that_is_gone_is_an_empty_list(self, harness: SqliteHarness, api: TestClient) -> None:
        start(harness.store(), "lost")
        sign_in(api)

        assert [] == api.get("/executions/lost/artifacts").json()["artifacts"]
        assert (404, "artifact_not_found") == problem_of(api.get("/executions/lost/artifacts/plan.json"))
        assert (404, "artifact_not_found") == problem_of(api.get("/executions/lost/diff"))
        assert (404, "artifact_not_found") == problem_of(api.get("/executions/lost/replay"))
