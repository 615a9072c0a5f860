"""The executions every benchmark works on: the same for the same size, whatever reads or writes them.

A forest of small families plus the named shapes that the questions about lineage are about.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Row: TypeAlias = tuple[Any, ...]

COLUMNS: Final = (
    *("execution_id", "plan_id", "changeset_id", "decision_id", "checksum", "verdict", "status"),
    *("risk_level", "affected_paths", "started_at", "ended_at", "duration_seconds", "files_changed"),
    *("verification_passed", "health_checks_passed", "rolled_back", "artifact_path"),
    *("error_message", "error_step", "created_at"),
    *("correlation_id", "parent_execution_id", "trigger_kind", "run_id"),
)
# What an execution of version 0 cannot be without, and when it started.
OLD_COLUMNS: Final = (
    *("execution_id", "plan_id", "changeset_id", "decision_id", "checksum", "verdict", "status"),
    *("affected_paths", "started_at"),
)
PLACE: Final = {name: place for place, name in enumerate(COLUMNS)}

# Seconds since the epoch at which the first execution may start.
BEGINNING: Final = 1_767_225_600.0
TRIGGERS: Final = ("manual", "agent", "retry", "repair", "child", "scheduled")
STEPS: Final = ("validate", "backup", "apply", "verify", "health")


@dataclass(frozen=True, slots=True)
class Shapes:
    """How large and how many the named families are; smaller ones only for trying the harness."""

    chains: int = 20
    chain: int = 20
    correlations: int = 20
    correlation: int = 100
    trees: int = 2
    tree: int = 1_000
    children: int = 10_000


@dataclass(slots=True)
class Families:
    """The numbers of the executions that the named families begin with, and of some within the forest."""

    chains: list[int] = field(default_factory=list)
    correlations: list[int] = field(default_factory=list)
    trees: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    forest: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Node:
    """One execution of the forest: when it starts, its number, its parent's and its root's."""

    time: float
    number: int
    parent: int | None
    root: int


def timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int((seconds % 1) * 1e6):06d}Z"


def execution_id(number: int) -> str:
    """Random-looking, so that ids fall anywhere in an index; always the same for a number."""
    return "exec_" + hashlib.blake2b(b"0:%d" % number, digest_size=12).hexdigest()


def error_text(rng: random.Random) -> str:
    """A few kinds of message are frequent, many are rare."""
    kind = int(rng.paretovariate(0.6)) % 400
    of_kind = random.Random(kind)
    words = [f"w{of_kind.randrange(4096):03x}" for _ in range(6)]
    return (
        f"{words[0].title()}Error: step {STEPS[kind % 5]} failed in module {words[1]} "
        f"at line {rng.randrange(2000)}: {' '.join(words[2:])} "
        f"while reading /srv/app/{words[5]}/{rng.randrange(1 << 20):x}.py (exit {kind % 7})"
    )


def row(number: int, parent: int | None, root: int, started: float, rng: random.Random) -> Row:
    """One ended execution in the order of COLUMNS; a quarter of them failed."""
    failed = rng.random() < 0.25
    error = error_text(rng) if failed else None
    paths = json.dumps([f"src/pkg{rng.randrange(40)}/mod{rng.randrange(60)}.py" for _ in range(3)])
    own_id = execution_id(number)
    return (
        own_id,
        f"plan_{number:08x}",
        f"cs_{number:08x}",
        f"dec_{number:08x}",
        hashlib.sha256(b"%d" % number).hexdigest(),
        "allow",
        "failed" if failed else "completed",
        ("low", "medium", "high")[number % 3],
        paths,
        timestamp(started),
        timestamp(started + 4.5),
        4.5,
        3,
        0 if failed else 1,
        0 if failed else 1,
        1 if failed else 0,
        "/srv/exec/executions/" + own_id,
        error,
        STEPS[number % 5] if failed else None,
        timestamp(started),
        execution_id(root),
        None if parent is None else execution_id(parent),
        "manual" if parent is None else TRIGGERS[1 + number % 5],
        None if number % 4 else f"run_{number // 8:06x}",
    )


def forest(size: int, shapes: Shapes, seed: int = 7) -> tuple[list[Node], Families]:
    """At least `size` executions in the order they start, the named families among them."""
    rng = random.Random(seed)
    nodes: list[Node] = []
    families = Families()
    horizon = size * 3.0

    def grow(parents: Sequence[int | None], spread: float) -> int:
        base = len(nodes)
        now = rng.random() * horizon * 0.9
        step = spread / max(1, len(parents))
        for place, parent in enumerate(parents):
            nodes.append(Node(now, base + place, None if parent is None else base + parent, base))
            now += step * (0.5 + rng.random())
        return base

    for _ in range(shapes.chains):
        families.chains.append(grow([None, *range(shapes.chain - 1)], horizon * 0.01))
    for _ in range(shapes.correlations):
        near = [rng.randrange(max(0, place - 3), place) for place in range(1, shapes.correlation)]
        families.correlations.append(grow([None, *near], horizon * 0.02))
    for _ in range(shapes.trees):
        tenfold = [(place - 1) // 10 for place in range(1, shapes.tree)]
        families.trees.append(grow([None, *tenfold], horizon * 0.02))
    families.parents.append(grow([None, *[0] * shapes.children], horizon * 0.05))
    while len(nodes) < size:
        members = min(1 + int(rng.expovariate(0.2)), size - len(nodes))
        anywhere = [rng.randrange(place) for place in range(1, members)]
        base = grow([None, *anywhere], 3600.0)
        if len(families.forest) < 2000 or rng.random() < 0.01:
            families.forest.append(base + members // 2)
    nodes.sort(key=lambda node: (node.time, node.number))
    return nodes, families


def rows(nodes: Iterable[Node], seed: int = 7) -> Iterator[Row]:
    """Parents come before their children."""
    rng = random.Random(seed + 1)
    for node in nodes:
        yield row(node.number, node.parent, node.root, BEGINNING + node.time, rng)


def new_rows(first: int, count: int) -> list[Row]:
    """Executions that are not in the forest: families of a root and three children.

    Their numbers begin at `first`, which should lie above every size and be divisible by four.
    """
    rng = random.Random(first)
    return [
        row(number, None if number % 4 == 0 else number - number % 4, number - number % 4, BEGINNING, rng)
        for number in range(first, first + count)
    ]
