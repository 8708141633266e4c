"""Accounts: an identity is one user's, and nobody is left without a way in by accident."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from cream_plugins.auth import Account, AccountRow, AccountsRepository, User
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    NotFoundError,
    Secret,
    Store,
    clock_set_to,
    new_id,
)
from tests.auth.samples import DAY, HASH, NOBODY, NOW, OTHER_HASH, SECOND, add_account, add_user
from tests.races import at_once, overtaken


@pytest.fixture
def accounts(store: Store) -> AccountsRepository:
    return store[AccountsRepository]


@pytest.fixture
def user(store: Store) -> User:
    return add_user(store)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


def later(account: Account, **values: Any) -> Account:
    return account.replace(updated_at=NOW + SECOND, **values)


class TestStoring:
    def test_comes_back_as_it_was_stored(self, accounts: AccountsRepository, user: User) -> None:
        account = Account(
            user_id=user.id,
            provider_id="google",
            account_id="Ada",
            access_token=Secret("a"),
            refresh_token=Secret(""),
            access_token_expires_at=NOW + DAY,
            scope="",
            password=Secret(HASH),
        )
        assert accounts.create(account) == account
        assert accounts.find_by_id(account.id) == accounts.find_by_provider_account("google", "Ada") == account
        assert accounts.find_by_provider_account("google", "ada") is None
        assert accounts.find_by_provider_account("github", "Ada") is None

    def test_an_identity_is_one_users(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account, other = add_account(store, user), add_user(store)
        for taken in (account.replace(id=new_id()), account.replace(id=new_id(), user_id=other.id)):
            with pytest.raises(DuplicateKeyError) as known:
                accounts.create(taken)
            assert (known.value.table, known.value.columns) == ("account", ("provider_id", "account_id"))
        for overwrite in (accounts.upsert, lambda record: accounts.upsert_many([record])):
            with pytest.raises(DuplicateKeyError, match="linked to another user"):
                overwrite(account.replace(id=new_id(), user_id=other.id))
        assert accounts.upsert(account.replace(id=new_id(), scope="email")) == account.replace(scope="email")

    def test_of_a_user_oldest_first(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        ids = [new_id() for _ in range(3)]
        for id, created_at in zip(ids, [NOW + SECOND, NOW, NOW + SECOND], strict=True):
            add_account(store, user, id=id, created_at=created_at)
        add_account(store, add_user(store))
        assert [one.id for one in accounts.find_by_user(str(user.id))] == [ids[1], ids[0], ids[2]]
        nobody: Any = None
        assert accounts.find_by_user(NOBODY) == accounts.find_by_user("nobody") == accounts.find_by_user(nobody) == []


class TestLinking:
    def test_a_new_identity(self, accounts: AccountsRepository, user: User) -> None:
        linked = accounts.link(str(user.id), "google", "Ada", {"access_token": "a", "scope": None}, password=HASH)
        assert linked == Account(
            id=linked.id,
            user_id=user.id,
            provider_id="google",
            account_id="Ada",
            access_token=Secret("a"),
            password=Secret(HASH),
        )
        assert accounts.find_by_user(user.id) == [linked]

    def test_again_writes_what_is_given(self, accounts: AccountsRepository, user: User) -> None:
        linked = accounts.link(user.id, "google", "Ada", {"access_token": "a", "refresh_token": "r", "scope": "s"})
        with clock_set_to(NOW + SECOND):
            assert accounts.link(user.id, "google", "Ada") == linked
            assert accounts.link(user.id, "google", "Ada", password=HASH) == linked
            changes: Any = {"access_token": Secret("b"), "scope": None}
            again = accounts.link(user.id, "google", "Ada", changes)
        assert again == later(linked, access_token=Secret("b"), scope=None)

    def test_not_anothers_identity(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account = add_account(store, user, access_token=Secret("a"))
        with pytest.raises(DuplicateKeyError, match="linked to another user"):
            accounts.link(add_user(store).id, account.provider_id, account.account_id, {"access_token": "b"})
        assert accounts.find_all() == [account]

    def test_not_of_nobody(self, accounts: AccountsRepository) -> None:
        with pytest.raises(ConstraintViolationError):
            accounts.link(NOBODY, "google", "Ada")
        with pytest.raises(InvalidDataError):
            accounts.link("nobody", "google", "Ada")

    def test_only_what_a_provider_tells(self, accounts: AccountsRepository, user: User) -> None:
        changes: Any = {"user_id": NOBODY}
        with pytest.raises(InvalidDataError, match=r"account\.user_id can't be changed"):
            accounts.link(user.id, "google", "Ada", changes)

    def test_at_once_by_two_users(self, postgresql_store: Store) -> None:
        accounts = postgresql_store[AccountsRepository]
        users = [add_user(postgresql_store) for _ in range(2)]
        results = at_once(*[partial(accounts.link, user.id, "google", "Ada") for user in users * 4])
        [account] = accounts.find_all()
        assert results.count(account) == 4
        assert sum(isinstance(result, DuplicateKeyError) for result in results) == 4


class TestTokens:
    def test_what_is_left_out_stays(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account = add_account(store, user, access_token=Secret("a"), refresh_token=Secret("r"), scope="s")
        with clock_set_to(NOW + SECOND):
            assert accounts.update_tokens(account.id, {}) == account
            changed = accounts.update_tokens(
                str(account.id), {"access_token": "b", "access_token_expires_at": NOW + DAY, "scope": None}
            )
        assert changed == later(account, access_token=Secret("b"), access_token_expires_at=NOW + DAY, scope=None)
        for nothing in (NOBODY, "nothing"):
            with pytest.raises(NotFoundError):
                accounts.update_tokens(nothing, {"access_token": "b"})

    def test_only_while_they_are_the_expected_ones(
        self, store: Store, accounts: AccountsRepository, user: User
    ) -> None:
        account = add_account(store, user, refresh_token=Secret("r1"))
        accounts.update_tokens(account.id, {"refresh_token": "r2"}, expected_refresh_token="r1")
        for expected in ("r1", Secret("r3"), None):
            with pytest.raises(ConstraintViolationError, match="another one by now"):
                accounts.update_tokens(account.id, {"refresh_token": "r3"}, expected_refresh_token=expected)
        assert accounts.find_by_id_or_raise(account.id).refresh_token == Secret("r2")
        accounts.update_tokens(account.id, {"refresh_token": None}, expected_refresh_token=Secret("r2"))
        accounts.update_tokens(account.id, {"refresh_token": "r4"}, expected_refresh_token=None)
        assert accounts.find_by_id_or_raise(account.id).refresh_token == Secret("r4")
        with pytest.raises(NotFoundError):
            accounts.update_tokens(NOBODY, {"refresh_token": "r5"}, expected_refresh_token="r4")

    def test_of_refreshes_at_once_one_counts(self, postgresql_store: Store) -> None:
        accounts = postgresql_store[AccountsRepository]
        account = add_account(postgresql_store, add_user(postgresql_store), refresh_token=Secret("old"))
        results = at_once(
            *[partial(accounts.update_tokens, account.id, {"refresh_token": f"new {i}"}, "old") for i in range(8)]
        )
        assert results.count(accounts.find_by_id_or_raise(account.id)) == 1
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 7


class TestPasswords:
    def test_are_stored_as_hashes_in_one_account(self, accounts: AccountsRepository, user: User) -> None:
        account = accounts.set_password(str(user.id).upper(), HASH)
        assert (account.provider_id, account.account_id) == ("credential", str(user.id))
        assert account.password == Secret(HASH)
        with clock_set_to(NOW + SECOND):
            changed = accounts.set_password(user.id, Secret(OTHER_HASH))
        assert changed == later(account, password=Secret(OTHER_HASH))
        assert accounts.find_all() == [changed]

    def test_only_as_hashes(self, accounts: AccountsRepository, user: User) -> None:
        for text in ("", "hunter2", "correct horse battery staple, and then some: 40 characters", "a" * 64):
            for store_it in (
                partial(accounts.set_password, user.id, text),
                partial(accounts.link, user.id, "credential", str(user.id), password=Secret(text)),
            ):
                with pytest.raises(InvalidDataError, match=r"account\.password: needs the hash") as refused:
                    store_it()
                assert not text or text not in str(refused.value)
        assert accounts.count() == 0

    def test_only_for_users(self, accounts: AccountsRepository) -> None:
        with pytest.raises(ConstraintViolationError):
            accounts.set_password(NOBODY, HASH)

    def test_what_another_program_stored_is_read(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account = add_account(store, user)
        marker = "%s" if store.database.kind == "postgresql" else "?"
        store.database.change(f"UPDATE account SET password = {marker}", ("x",))
        assert accounts.find_by_id_or_raise(account.id).password == Secret("x")


class TestUnlinking:
    def test_takes_one_identity(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account, other = add_account(store, user), add_account(store, user)
        assert accounts.unlink(user.id, account.provider_id, account.account_id) is True
        assert accounts.unlink(user.id, account.provider_id, account.account_id) is False
        assert accounts.find_all() == [other]

    def test_not_the_only_one_unless_that_is_allowed(
        self, store: Store, accounts: AccountsRepository, user: User
    ) -> None:
        account = add_account(store, user)
        with pytest.raises(ConstraintViolationError, match="only account"):
            accounts.unlink(user.id, account.provider_id, account.account_id)
        assert accounts.find_all() == [account]
        assert accounts.unlink(str(user.id), account.provider_id, account.account_id, allow_last=True) is True
        assert accounts.count() == 0

    def test_not_anothers(self, store: Store, accounts: AccountsRepository, user: User) -> None:
        account, other = add_account(store, user), add_account(store, add_user(store))
        nobody: Any = None
        for not_the_user in (other.user_id, NOBODY, "nobody", nobody):
            assert accounts.unlink(not_the_user, account.provider_id, account.account_id, allow_last=True) is False
        assert accounts.find_all() == [account, other]

    def test_of_both_at_once_leaves_one(self, postgresql_store: Store) -> None:
        accounts, user = postgresql_store[AccountsRepository], add_user(postgresql_store)
        first, second = add_account(postgresql_store, user), add_account(postgresql_store, user)

        def unlink_second() -> object:
            try:
                return accounts.unlink(user.id, second.provider_id, second.account_id)
            except ConstraintViolationError:
                return "refused"

        def unlink_first() -> object:
            return accounts.unlink(user.id, first.provider_id, first.account_id)

        assert overtaken(postgresql_store, unlink_second, by=unlink_first) == "refused"
        assert accounts.find_by_user(user.id) == [second]
        assert AccountRow.select().count(postgresql_store.database) == 1
