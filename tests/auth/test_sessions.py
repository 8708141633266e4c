"""Sessions: valid until they expire or are revoked, and never again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.auth import Session, SessionsRepository, User
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    Secret,
    Store,
    clock_set_to,
    new_id,
)
from tests.auth.samples import DAY, NOBODY, NOW, SECOND, add_session, add_user, token
from tests.races import at_once, overtaken

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def sessions(store: Store) -> SessionsRepository:
    return store[SessionsRepository]


@pytest.fixture
def user(store: Store) -> User:
    return add_user(store)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


class TestStoring:
    def test_comes_back_as_it_was_stored(self, sessions: SessionsRepository, user: User) -> None:
        session = Session(user_id=user.id, token=token(), ip_address="::1", user_agent="")
        assert session.expires_at == NOW + 7 * DAY
        assert sessions.create(session) == session
        assert sessions.find_by_id(session.id) == sessions.find_by_token(session.token) == session
        assert sessions.find_by_token(session.token.reveal()) == session

    def test_one_per_token_and_only_for_users(self, sessions: SessionsRepository, user: User) -> None:
        session = sessions.create(Session(user_id=user.id, token=token()))
        with pytest.raises(DuplicateKeyError) as known:
            sessions.create(Session(user_id=user.id, token=session.token))
        assert (known.value.table, known.value.columns) == ("session", ("token",))
        with pytest.raises(ConstraintViolationError):
            sessions.create(Session(user_id=NOBODY, token=token()))

    def test_a_short_token_is_refused(self, sessions: SessionsRepository, user: User) -> None:
        with pytest.raises(InvalidDataError, match=r"session\.token: needs at least 32 characters"):
            sessions.create(Session(user_id=user.id, token=Secret("x" * 31)))
        assert sessions.create(Session(user_id=user.id, token=Secret("x" * 32))).token.reveal() == "x" * 32

    def test_an_expired_one_is_refused(self, sessions: SessionsRepository, user: User) -> None:
        for expires_at in (NOW - DAY, NOW):
            with pytest.raises(InvalidDataError, match=r"session\.expires_at: is not in the future"):
                sessions.create(Session(user_id=user.id, token=token(), expires_at=expires_at))
        with pytest.raises(InvalidDataError, match=r"session\.expires_at"):
            sessions.create(Session(user_id=user.id, token=token(), expires_at=datetime(2050, 1, 1)))  # noqa: DTZ001
        assert sessions.create_many([Session(user_id=user.id, token=token(), expires_at=NOW + MICROSECOND)])

    def test_what_the_client_says_is_cut(self, sessions: SessionsRepository, user: User) -> None:
        given = Session(user_id=user.id, token=token(), ip_address="1" * 65, user_agent="a" * 512 + "b")
        stored = sessions.create(given)
        assert (stored.ip_address, stored.user_agent) == ("1" * 64, "a" * 512)
        assert sessions.update(stored.id, {"user_agent": "c" * 1000}).user_agent == "c" * 512


class TestFinding:
    def test_only_valid_ones_by_token(self, sessions: SessionsRepository, user: User) -> None:
        session = sessions.create(Session(user_id=user.id, token=token(), expires_at=NOW + SECOND))
        assert sessions.find_by_token_with_user(session.token) == (session, user)
        assert sessions.find_by_token_with_user(session.token.reveal()) == (session, user)
        with clock_set_to(NOW + SECOND - MICROSECOND):
            assert sessions.find_by_token(session.token) == session
        with clock_set_to(NOW + SECOND):
            assert sessions.find_by_token(session.token) is None
            assert sessions.find_by_token_with_user(session.token) is None
            assert sessions.find_by_id(session.id) == session
        assert sessions.find_by_token(token()) is None
        assert sessions.find_by_token_with_user(token()) is None

    def test_of_a_user_newest_first(self, store: Store, sessions: SessionsRepository, user: User) -> None:
        ids = [new_id() for _ in range(4)]
        created = [NOW, NOW + SECOND, NOW, NOW + 2 * SECOND]
        for id, created_at in zip(ids, created, strict=True):
            expires_at = NOW + (SECOND if id == ids[3] else DAY)
            add_session(store, user, id=id, created_at=created_at, expires_at=expires_at)
        add_session(store, add_user(store))
        with clock_set_to(NOW + SECOND):
            assert [one.id for one in sessions.find_by_user(user.id)] == [ids[1], ids[2], ids[0]]
            with_expired = sessions.find_by_user(str(user.id), include_expired=True)
            assert [one.id for one in with_expired] == [ids[3], ids[1], ids[2], ids[0]]
            assert [one.id for one in sessions.find_by_user(user.id, limit=2)] == [ids[1], ids[2]]
        assert sessions.find_by_user(NOBODY) == sessions.find_by_user("nobody") == []
        for limit in (0, -1):
            with pytest.raises(InvalidDataError):
                sessions.find_by_user(user.id, limit=limit)


class TestTouching:
    @pytest.fixture
    def session(self, store: Store, user: User) -> Session:
        return add_session(store, user)

    def test_is_done_once_a_day(self, sessions: SessionsRepository, session: Session) -> None:
        with clock_set_to(NOW + DAY - MICROSECOND):
            assert sessions.touch(session.token) == session
        with clock_set_to(NOW + DAY):
            touched = sessions.touch(session.token)
            assert touched == session.replace(expires_at=NOW + 8 * DAY, updated_at=NOW + DAY)
            assert sessions.touch(session.token.reveal()) == touched

    def test_takes_other_times(self, sessions: SessionsRepository, session: Session) -> None:
        touched = sessions.touch(session.token, ttl=SECOND, min_interval=timedelta(0))
        assert touched == session.replace(expires_at=NOW + SECOND)
        with pytest.raises(InvalidDataError, match="ttl"):
            sessions.touch(session.token, ttl=timedelta(0))

    def test_revives_nothing(self, sessions: SessionsRepository, session: Session) -> None:
        with clock_set_to(session.expires_at):
            assert sessions.touch(session.token) is None
            assert sessions.extend(session.id, session.expires_at + DAY) is None
        assert sessions.find_by_id(session.id) == session
        assert sessions.touch(token()) is None
        assert sessions.extend(NOBODY, NOW + DAY) is None
        assert sessions.extend("nobody", NOW + DAY) is None

    def test_revives_nothing_that_is_revoked_at_the_same_moment(self, postgresql_store: Store) -> None:
        sessions = postgresql_store[SessionsRepository]
        session = add_session(postgresql_store, add_user(postgresql_store))
        touch = partial(sessions.touch, session.token, min_interval=timedelta(0))
        assert overtaken(postgresql_store, touch, lambda: sessions.revoke(session.token)) is None
        assert sessions.count() == 0

    def test_by_many_at_once_is_done_once(self, postgresql_store: Store) -> None:
        sessions = postgresql_store[SessionsRepository]
        session = add_session(postgresql_store, add_user(postgresql_store))
        moments = iter([NOW + DAY + i * SECOND for i in range(1000)])
        with clock_set_to(lambda: next(moments)):
            results = at_once(*[partial(sessions.touch, session.token)] * 8)
        assert len(set(results)) == 1

    def test_extending_moves_the_end_later_only(self, sessions: SessionsRepository, session: Session) -> None:
        for earlier in (NOW, session.expires_at - SECOND, session.expires_at):
            assert sessions.extend(session.id, earlier) == session
        with clock_set_to(NOW + SECOND):
            extended = sessions.extend(str(session.id), session.expires_at + SECOND)
        assert extended == session.replace(expires_at=session.expires_at + SECOND, updated_at=NOW + SECOND)


class TestRevoking:
    def test_by_token(self, store: Store, sessions: SessionsRepository, user: User) -> None:
        session, other = add_session(store, user), add_session(store, user)
        assert sessions.revoke(session.token) is True
        assert sessions.revoke(session.token.reveal()) is False
        assert sessions.find_all() == [other]

    def test_by_id_only_the_users_own(self, store: Store, sessions: SessionsRepository, user: User) -> None:
        session = add_session(store, user)
        assert sessions.revoke_by_id(session.id, add_user(store).id) is False
        assert sessions.revoke_by_id("nothing", user.id) is False
        assert sessions.revoke_by_id(session.id, str(user.id)) is True
        assert sessions.find_all() == []

    def test_all_of_a_user(self, store: Store, sessions: SessionsRepository, user: User) -> None:
        kept, other = add_session(store, user), add_session(store, add_user(store))
        add_session(store, user)
        assert sessions.revoke_all_for_user(user.id, except_token=kept.token) == 1
        assert sessions.find_by_user(user.id) == [kept]
        assert sessions.revoke_all_for_user(user.id) == 1
        assert sessions.revoke_all_for_user("nobody") == 0
        assert sessions.find_all() == [other]

    def test_expired_ones_in_batches(self, store: Store, sessions: SessionsRepository, user: User) -> None:
        for seconds in (1, 2, 3, 4, 5, 6):
            add_session(store, user, expires_at=NOW + seconds * SECOND)
        with clock_set_to(NOW + 5 * SECOND):
            assert sessions.delete_expired(batch_size=2) == 5
            assert sessions.delete_expired() == 0
        assert [one.expires_at for one in sessions.find_all()] == [NOW + 6 * SECOND]
        for batch_size in (0, 10_001):
            with pytest.raises(InvalidDataError, match="batch_size"):
                sessions.delete_expired(batch_size)


def test_no_token_is_nobodys(store: Store, sessions: SessionsRepository, user: User) -> None:
    session = add_session(store, user)
    nothing: Any = None
    assert sessions.find_by_token(nothing) is None
    assert sessions.find_by_token_with_user(nothing) is None
    assert sessions.find_by_user(nothing) == []
    assert sessions.touch(nothing, min_interval=timedelta(0)) is None
    assert sessions.extend(nothing, NOW + 100 * DAY) is None
    assert sessions.revoke(nothing) is False
    assert sessions.revoke_by_id(nothing, nothing) is False
    assert sessions.revoke_all_for_user(nothing) == 0
    assert sessions.find_all() == [session]
