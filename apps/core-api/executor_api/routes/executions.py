"""Executions: lists, one, its family, its events."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import fields
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from executor import graph
from executor.changes.render import render_diff
from executor.errors import ArtifactNotFound, CorrelationNotFound, InvalidFilter, InvalidLimit
from executor.host.artifacts import TRANSCRIPT
from executor.models.execution import ExecutionFilter
from executor.models.times import format_time, parse_time
from executor.models.token import Scope
from executor_api import answers, caching, schemas
from executor_api.encoding import JSON, JSONAnswer, encode
from executor_api.routes.operation import NOT_MODIFIED, ExecutionId, operation, require, served

router = APIRouter(tags=["executions"])

# Thousands of rows keep the interpreter busy. Two such answers at a time would be no sooner done, and the event loop
# would have to wait for both.
_LARGE: Final = 2_000
_ONE_LARGE: Final = threading.Lock()

_FIELDS = tuple(field.name for field in fields(ExecutionFilter))
_LISTS = tuple(field.name for field in fields(ExecutionFilter) if field.default == ())


def _filter(query: schemas.Filter) -> ExecutionFilter:
    given = {name: getattr(query, name) for name in _FIELDS}
    given |= {name: tuple(given[name]) for name in _LISTS}
    # A `+` that was not escaped arrives as a blank.
    given |= {
        name: format_time(parse_time(given[name].replace(" ", "+"), name), name)
        for name in ("since", "until")
        if given[name] is not None
    }
    return ExecutionFilter(**given)


def _one_correlation(filter: ExecutionFilter) -> bool:
    """Whether the question is for the executions of one correlation, which are told in the order of time."""
    if len(filter.correlation_id) != 1 or filter.correlation_id[0].startswith("!"):
        return False
    return filter == ExecutionFilter(correlation_id=filter.correlation_id)


@router.get("/executions", **operation(schemas.ExecutionList))
def list_executions(request: Request, query: Annotated[schemas.ListQuery, Query()]) -> Response:
    """Executions, newest first; with one `correlation_id` and no other filter, oldest first."""
    require(request, Scope.READ)
    if query.offset > schemas.MAX_OFFSET:
        raise InvalidLimit(
            "offset",
            query.offset,
            f"at most {schemas.MAX_OFFSET:,}; go on with cursor (next_cursor of a page)",
        )
    if query.cursor is not None and query.offset:
        raise InvalidFilter("give cursor or offset, not both")
    filter = _filter(query)
    store = served(request).store
    page = store.list_executions(
        filter,
        query.limit,
        query.cursor,
        oldest_first=_one_correlation(filter),
        with_total=True,
        offset=query.offset,
    )
    # Old programs could write anything for an id; what is no text has no steps.
    shown = [record.execution_id for record in page if isinstance(record.execution_id, str)]
    return JSONAnswer(
        answers.executions(
            page,
            limit=query.limit,
            offset=query.offset,
            steps=store.list_steps(shown) if "steps" in query.include else None,
            lines=store.count_lines(shown) if "lines" in query.include else None,
            first_attempts=store.list_first_attempts(shown) if "attempts" in query.include else None,
        )
    )


@router.get("/executions/statistics", **operation(schemas.ExecutionStatistics))
def execution_statistics(request: Request, query: Annotated[schemas.Filter, Query()]) -> Response:
    """How many, how they came out, how long they took."""
    require(request, Scope.READ)
    return JSONAnswer(served(request).store.get_statistics(_filter(query)).to_dict())


@router.get("/executions/correlation/{correlation_id:rest}", **operation(schemas.CorrelationChain, 404))
def correlation_chain(
    request: Request, correlation_id: ExecutionId, query: Annotated[schemas.ChainQuery, Query()]
) -> Response:
    """Every execution of one correlation, oldest first."""
    require(request, Scope.READ)
    store = served(request).store
    page = store.list_chain(correlation_id, query.limit, query.cursor)
    root = store.get_root_execution(correlation_id)
    total = store.count_executions_by_correlation(correlation_id)
    if not total:
        raise CorrelationNotFound(correlation_id)
    return JSONAnswer(
        {
            "correlation_id": correlation_id,
            "total_executions": total,
            "root_execution_id": root.execution_id if root else None,
            "executions": answers.summaries(page.items),
            "next_cursor": page.next_cursor,
        }
    )


@router.get("/executions/{execution_id:segment}", **operation(schemas.ExecutionDetail, 404))
def get_execution(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.NoQuery, Query()]
) -> Response:
    """One execution: the record, its steps, plan, decision, approval and links."""
    require(request, Scope.READ)
    service = served(request)
    found = service.store.get_execution_detail(execution_id)
    folder = service.folder(found.execution)
    transcript = found.plan.transcript_url if found.plan is not None else None
    if folder is not None and folder.has_transcript:
        transcript = TRANSCRIPT
    first: str | None = execution_id
    if graph.is_attempt(found.execution):
        first = service.store.list_first_attempts([execution_id]).get(execution_id)
    return JSONAnswer(answers.detail(found, transcript, first))


@router.get("/executions/{execution_id:segment}/lineage", **operation(schemas.ExecutionLineage, 404))
def execution_lineage(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.LineageQuery, Query()]
) -> Response:
    """Ancestors, descendants and siblings, and whether there are more than `depth` and `limit` show."""
    require(request, Scope.READ)
    with _ONE_LARGE if query.limit > _LARGE else nullcontext():
        found = served(request).store.get_execution_lineage(execution_id, query.depth, query.limit)
        return JSONAnswer(answers.lineage(found, depth=query.depth, limit=query.limit))


@router.get("/executions/{execution_id:segment}/events", **operation(schemas.ExecutionEvents, 404))
def execution_events(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.EventsQuery, Query()]
) -> Response:
    """What happened to the execution, in order."""
    require(request, Scope.READ)
    found = served(request)
    events = found.store.list_events(execution_id, after=query.after, limit=query.limit, tail=query.tail)
    if not events:
        found.record(execution_id)
    return JSONAnswer(answers.events(execution_id, events, query.after))


@router.get(
    "/executions/{execution_id:segment}/diff",
    **operation(schemas.ExecutionDiff, 404, 410, scope=Scope.CONTENT, also=NOT_MODIFIED),
)
def execution_diff(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.NoQuery, Query()]
) -> Response:
    """What the execution changed or meant to change, as a diff in git's form."""
    require(request, Scope.CONTENT)
    found = served(request)
    store = found.store
    changeset = store.get_changeset(execution_id)
    found.refuse_dropped(execution_id)
    if changeset is None:
        raise ArtifactNotFound(execution_id, "changeset")
    patch = render_diff(changeset.changes, lambda digest: store.get_content(execution_id, digest))
    content = encode(
        {
            "execution_id": execution_id,
            "changeset_id": changeset.changeset_id,
            "checksum": changeset.checksum,
            "files": [answers.changed_file(change) for change in changeset.changes],
            "diff": patch.decode("utf-8", "replace"),
        }
    )
    tag = caching.tag_of(content)
    return caching.unchanged(request, tag) or Response(content, media_type=JSON, headers=caching.headers(tag))
