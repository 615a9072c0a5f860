"""Tokens."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from executor.errors import InvalidId, TokenNotFound
from executor.models.token import Scope, TokenKind, new_token, split_token
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.harness import StoreHarness

NOW = "2026-06-01T00:00:00.000000Z"
LATER = "2026-07-01T00:00:00.000000Z"


class TokenContract(Contract):
    def test_of_a_token_everything_but_the_secret_is_kept(self, store: ExecutionStorage) -> None:
        text, record = new_token(
            TokenKind.TOKEN, "ci", frozenset({Scope.RUN, Scope.READ}), created_at=NOW, valid_until=LATER
        )
        store.record_token(record)
        presented = split_token(text)
        assert presented is not None
        token_id, secret = presented
        kept = store.get_token(token_id)

        assert record == kept
        assert "read run" == kept.scopes
        assert secret not in repr(kept)
        assert (True, False) == (kept.allows(Scope.RUN), kept.allows(Scope.APPROVE))
        assert (True, False, False) == (
            kept.is_good(secret, NOW),
            kept.is_good(secret, LATER),
            kept.is_good(secret[:-1], NOW),
        )
        assert store.get_token("gone") is None

    def test_a_revoked_token_holds_no_more(self, store: ExecutionStorage) -> None:
        text, record = new_token(TokenKind.TOKEN, "ci", frozenset({Scope.READ}), created_at=NOW)
        store.record_token(record)

        assert [True, False] == [store.revoke_token(record.token_id) for _ in range(2)]
        kept = store.get_token(record.token_id)
        assert kept is not None
        assert not kept.is_good(text.partition(".")[2], NOW)
        with pytest.raises(TokenNotFound):
            store.revoke_token("gone")

    def test_of_many_who_revoke_at_once_one_is_the_first(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        _, record = new_token(TokenKind.KEY, "console", frozenset(), created_at=NOW)
        store.record_token(record)
        stores = (store, harness.another_store())
        with ThreadPoolExecutor(8) as pool:
            first = list(pool.map(lambda n: stores[n % 2].revoke_token(record.token_id), range(8)))

        assert 1 == first.count(True)

    def test_sessions_that_ran_out_are_forgotten_and_tokens_are_not(self, store: ExecutionStorage) -> None:
        """The clock of the tests is at the beginning of 2026."""
        early = "2025-01-01T00:00:00.000000Z"
        records = [
            new_token(kind, "n", frozenset(), created_at=early, valid_until=expires)[1]
            for kind, expires in (
                (TokenKind.SESSION, early),
                (TokenKind.SESSION, LATER),
                (TokenKind.TOKEN, early),
            )
        ]
        for record in records:
            store.record_token(record)
        last = new_token(TokenKind.TOKEN, "last", frozenset(), created_at=NOW)[1]
        store.record_token(last)

        assert {last, *records[1:]} == set(store.list_tokens())
        assert last == store.list_tokens()[0]

    def test_a_token_has_a_name(self, store: ExecutionStorage) -> None:
        for name in ("", "a\nb", "x" * 257):
            with pytest.raises(InvalidId):
                store.record_token(new_token(TokenKind.TOKEN, name, frozenset(), created_at=NOW)[1])
