"""What was accepted and has not been run."""

from __future__ import annotations

from pathlib import Path

from executor_api.accepted_queue import AcceptedQueue


def test_it_is_in_the_order_of_acceptance_and_goes_by_its_id(tmp_path: Path) -> None:
    queue = AcceptedQueue(tmp_path)
    assert [] == queue.waiting()
    for execution_id in ("exec_b", "exec_a", "with/slash"):
        queue.add(execution_id)

    assert ["exec_b", "exec_a", "with/slash"] == queue.waiting()
    queue.remove("exec_b")
    assert ["exec_a", "with/slash"] == AcceptedQueue(tmp_path).waiting()


def test_what_is_taken_while_somebody_looks_is_passed_over(tmp_path: Path) -> None:
    """A name that leads nowhere is what a file is that went between the listing and the reading."""
    queue = AcceptedQueue(tmp_path)
    queue.add("exec_a")
    (tmp_path / "queue" / "00000000000000000000-exec_gone.accepted").symlink_to("gone")

    assert ["exec_a"] == queue.waiting()
