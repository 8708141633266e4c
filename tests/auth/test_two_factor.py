"""Second factors: the flag on the user is set if and only if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from cream_plugins.auth import TwoFactor, TwoFactorRepository, User, UserRow, UsersRepository
from cream_store import ConstraintViolationError, DuplicateKeyError, NotFoundError, Secret, Store, clock_set_to, new_id
from tests.auth.samples import NOBODY, NOW, SECOND, add_user
from tests.races import at_once


@pytest.fixture
def factors(store: Store) -> TwoFactorRepository:
    return store[TwoFactorRepository]


@pytest.fixture
def user(store: Store) -> User:
    return add_user(store)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


def flag(factors: TwoFactorRepository, user: User) -> bool:
    return UsersRepository(factors.database).find_by_id_or_raise(user.id).two_factor_enabled


class TestEnabling:
    def test_stores_the_secret_and_sets_the_flag(self, factors: TwoFactorRepository, user: User) -> None:
        users = UsersRepository(factors.database)
        with clock_set_to(NOW + SECOND):
            factor = factors.enable(str(user.id), "secret", Secret("codes"))
        assert (factor.user_id, factor.secret, factor.backup_codes) == (user.id, Secret("secret"), Secret("codes"))
        assert factors.find_by_user(user.id) == factors.find_by_id(factor.id) == factor
        assert users.find_by_id(user.id) == user.replace(two_factor_enabled=True, updated_at=NOW + SECOND)

    def test_again_rotates(self, factors: TwoFactorRepository, user: User) -> None:
        factor = factors.enable(user.id, "secret", "codes")
        again = factors.enable(user.id, "other secret", "other codes")
        assert again == factor.replace(secret=Secret("other secret"), backup_codes=Secret("other codes"))
        assert factors.find_all() == [again]

    def test_needs_a_user(self, factors: TwoFactorRepository, user: User) -> None:
        for nobody in (NOBODY, "nobody"):
            with pytest.raises(NotFoundError):
                factors.enable(nobody, "secret", "codes")
        assert factors.count() == 0
        assert flag(factors, user) is False

    def test_is_all_or_nothing(self, factors: TwoFactorRepository, user: User) -> None:
        factor = factors.enable(user.id, "secret", "codes")
        other = add_user_of(factors)
        with pytest.raises(DuplicateKeyError):
            factors.create(factor.replace(user_id=other.id))
        assert flag(factors, other) is False
        with pytest.raises(ConstraintViolationError):
            factors.create(factor.replace(id=new_id(), user_id=NOBODY))


class TestDisabling:
    def test_deletes_the_secret_and_clears_the_flag(self, factors: TwoFactorRepository, user: User) -> None:
        factors.enable(user.id, "secret", "codes")
        other = add_user_of(factors)
        kept = factors.enable(other.id, "secret", "codes")
        with clock_set_to(NOW + SECOND):
            assert factors.disable(str(user.id)) is True
        assert factors.find_all() == [kept]
        assert UsersRepository(factors.database).find_by_id(user.id) == user.replace(updated_at=NOW + SECOND)
        assert flag(factors, other) is True
        assert factors.disable(user.id) is False

    def test_clears_a_flag_without_a_secret(self, factors: TwoFactorRepository, user: User) -> None:
        UserRow.update({UserRow.two_factor_enabled: True}).execute(factors.database)
        assert factors.disable(user.id) is False
        assert flag(factors, user) is False

    def test_needs_a_user(self, factors: TwoFactorRepository) -> None:
        nothing: Any = None
        for nobody in (NOBODY, "nobody", nothing):
            with pytest.raises(NotFoundError):
                factors.disable(nobody)


class TestOtherWays:
    """Whichever way a second factor is stored or deleted, the flag goes with it."""

    def test_of_storing(self, factors: TwoFactorRepository) -> None:
        ways: list[Callable[[TwoFactor], object]] = [
            factors.create,
            factors.upsert,
            lambda factor: factors.create_many([factor]),
            lambda factor: factors.upsert_many([factor]),
        ]
        for store_it in ways:
            user = add_user_of(factors)
            store_it(TwoFactor(user_id=user.id, secret=Secret("secret"), backup_codes=Secret("codes")))
            assert factors.find_by_user(user.id) is not None
            assert flag(factors, user) is True

    def test_of_deleting(self, factors: TwoFactorRepository, user: User) -> None:
        assert factors.delete(factors.enable(user.id, "secret", "codes").id) is True
        assert flag(factors, user) is False
        factors.enable(user.id, "secret", "codes")
        assert factors.delete_many({"user_id": user.id}) == 1
        assert flag(factors, user) is False

    def test_at_once(self, postgresql_store: Store) -> None:
        factors, user = postgresql_store[TwoFactorRepository], add_user(postgresql_store)
        for _ in range(3):
            at_once(
                *[partial(factors.enable, user.id, "secret", "codes")] * 4, *[partial(factors.disable, user.id)] * 4
            )
            assert flag(factors, user) is (factors.find_by_user(user.id) is not None)


class TestBackupCodes:
    def test_are_replaced_if_they_are_the_expected_ones(self, factors: TwoFactorRepository, user: User) -> None:
        factor, other = factors.enable(user.id, "secret", "a b"), add_user_of(factors)
        kept = factors.enable(other.id, "secret", "a b")
        assert factors.rotate_backup_codes(str(user.id), "a b", "b") is True
        assert factors.rotate_backup_codes(user.id, Secret("a b"), "c") is False
        nothing: Any = None
        assert factors.rotate_backup_codes(user.id, nothing, "c") is False
        assert factors.rotate_backup_codes(nothing, "b", "c") is False
        assert factors.rotate_backup_codes(NOBODY, "b", "c") is False
        assert factors.find_by_user(user.id) == factor.replace(backup_codes=Secret("b"))
        assert factors.find_by_user(other.id) == kept

    def test_at_once_one_code_is_used_once(self, postgresql_store: Store) -> None:
        factors, user = postgresql_store[TwoFactorRepository], add_user(postgresql_store)
        factors.enable(user.id, "secret", "a b")
        assert (
            sum(result is True for result in at_once(*[partial(factors.rotate_backup_codes, user.id, "a b", "b")] * 8))
            == 1
        )


def test_nobody_has_none(factors: TwoFactorRepository, user: User) -> None:
    factors.enable(user.id, "secret", "codes")
    nothing: Any = None
    assert factors.find_by_user(nothing) is None
    assert factors.find_by_user("nobody") is None
    assert factors.update(factors.find_all()[0].id, {"secret": "other"}).secret == Secret("other")


def add_user_of(factors: TwoFactorRepository) -> User:
    return UsersRepository(factors.database).create(User(name="Eve", email=f"{new_id()}@x.io"))
