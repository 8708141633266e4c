"""Users: one per address, however it is spelt; whose address changes is not verified any more."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cream_plugins.auth import (
    AccountRow,
    SessionRow,
    TwoFactorRepository,
    TwoFactorRow,
    User,
    UserRow,
    UsersRepository,
    Verification,
    VerificationsRepository,
)
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
from tests.auth.samples import DAY, NOBODY, NOW, SECOND, add_account, add_session, add_user
from tests.races import at_once, overtaken


@pytest.fixture
def users(store: Store) -> UsersRepository:
    return store[UsersRepository]


def send_code(store: Store, identifier: str) -> Verification:
    return store[VerificationsRepository].create(
        Verification(identifier=identifier, value=Secret("123456"), expires_at=NOW + 10_000 * DAY)
    )


class TestStoring:
    def test_comes_back_as_it_was_stored(self, users: UsersRepository) -> None:
        user = User(name="Ada", email="ada@x.io", image="", email_verified=True)
        assert users.create(user) == user
        assert users.find_by_id(user.id) == users.find_by_id_or_raise(str(user.id)) == user
        with pytest.raises(DuplicateKeyError):
            users.create(user.replace(email="other@x.io"))

    def test_an_address_is_trimmed_and_in_lower_case(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="  Ada.L@X.io\n"))
        assert user.email == "ada.l@x.io"
        for spelling in ("ada.l@x.io", "ADA.L@X.IO", "\tAda.L@x.io "):
            assert users.find_by_email(spelling) == user
            with pytest.raises(DuplicateKeyError) as taken:
                users.create(User(name="Eve", email=spelling))
            assert (taken.value.table, taken.value.columns) == ("user", ("email",))
        assert users.find_by_email("ada_l@x.io") is None  # no pattern
        assert users.find_many({"email": "Ada.L@x.io"}).data == [user]

    def test_what_is_no_address_is_refused(self, users: UsersRepository) -> None:
        for text in ("", "  ", "ada", "@", "ada@", "@x.io", "ada@x@y", "a da@x.io"):
            with pytest.raises(InvalidDataError) as refused:
                users.create(User(name="Ada", email=text))
            assert (refused.value.table, refused.value.columns) == ("user", ("email",))
            with pytest.raises(InvalidDataError):
                users.find_by_email(text)

    def test_begins_without_a_second_factor(self, users: UsersRepository) -> None:
        user = User(name="Ada", email="ada@x.io", two_factor_enabled=True)
        for store_it in (users.create, users.upsert):
            with pytest.raises(InvalidDataError, match="TwoFactorRepository"):
                store_it(user)

    def test_a_flag_that_another_program_left_out_reads_as_false(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="ada@x.io"))
        UserRow.update({UserRow.two_factor_enabled: None}).execute(users.database)
        assert users.find_by_id(user.id) == user
        assert user.two_factor_enabled is False

    def test_upsert_changes_name_and_image_alone(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="ada@x.io"))
        later = user.replace(name="Ada L.", image="a.png", email="eve@x.io", email_verified=True)
        assert users.upsert(later) == user.replace(name="Ada L.", image="a.png", updated_at=later.updated_at)

    def test_the_newest_come_first(self, users: UsersRepository) -> None:
        ids = [new_id() for _ in range(3)]
        created = [NOW, NOW + SECOND, NOW]
        for id, created_at in zip(ids, created, strict=True):
            users.create(User(id=id, name="Ada", email=f"{id}@x.io", created_at=created_at))
        assert [user.id for user in users.find_many().data] == [ids[1], ids[2], ids[0]]


class TestChanging:
    def test_what_is_left_out_stays(self, users: UsersRepository) -> None:
        with clock_set_to(NOW):
            user = users.create(User(name="Ada", email="ada@x.io", image="a.png", email_verified=True))
        with clock_set_to(NOW + SECOND):
            assert users.update(user.id, {}) == user
            changed = users.update(user.id, {"name": "", "image": None})
        assert changed == user.replace(name="", image=None, updated_at=NOW + SECOND)

    def test_another_address_is_not_verified(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="ada@x.io", email_verified=True))
        assert users.update(user.id, {"email": " ADA@x.io"}).email_verified is True
        changed = users.update(user.id, {"email": "Ada@y.io", "name": "Ada L."})
        assert (changed.name, changed.email, changed.email_verified) == ("Ada L.", "ada@y.io", False)
        assert users.update(user.id, {"email": "ada@x.io"}).email_verified is False

    def test_not_to_another_users_address(self, users: UsersRepository) -> None:
        ada, eve = (users.create(User(name=name, email=f"{name}@x.io")) for name in ("ada", "eve"))
        with pytest.raises(DuplicateKeyError):
            users.update(eve.id, {"email": "ADA@x.io"})
        with pytest.raises(InvalidDataError):
            users.update(eve.id, {"email": "ada"})
        assert users.find_by_id(eve.id) == eve
        assert users.find_by_id(ada.id) == ada

    def test_what_an_update_does_not_set(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="ada@x.io"))
        for name in ("email_verified", "two_factor_enabled", "id", "created_at"):
            changes: Any = {name: True}
            with pytest.raises(InvalidDataError, match=rf"user\.{name} can't be changed"):
                users.update(user.id, changes)

    def test_of_nobody(self, users: UsersRepository) -> None:
        for nobody in (NOBODY, "nobody"):
            assert users.find_by_id(nobody) is None
            with pytest.raises(NotFoundError):
                users.find_by_id_or_raise(nobody)
            with pytest.raises(NotFoundError):
                users.update(nobody, {"email": "ada@x.io"})
            with pytest.raises(NotFoundError):
                users.mark_email_verified(nobody)
            assert users.delete(nobody) is False


class TestVerifyingAnAddress:
    def test_marks_it_once(self, users: UsersRepository) -> None:
        with clock_set_to(NOW):
            user = users.create(User(name="Ada", email="ada@x.io"))
        with clock_set_to(NOW + SECOND):
            marked = users.mark_email_verified(user.id, " Ada@X.io")
        assert marked == user.replace(email_verified=True, updated_at=NOW + SECOND)
        with clock_set_to(NOW + DAY):
            assert users.mark_email_verified(user.id) == users.mark_email_verified(user.id, "ada@x.io") == marked

    def test_not_when_it_changed_meanwhile(self, users: UsersRepository) -> None:
        user = users.create(User(name="Ada", email="ada@x.io"))
        users.update(user.id, {"email": "ada@y.io"})
        with pytest.raises(ConstraintViolationError, match="address changed"):
            users.mark_email_verified(user.id, "ada@x.io")
        assert users.find_by_id_or_raise(user.id).email_verified is False
        assert users.mark_email_verified(user.id).email_verified is True

    def test_not_when_it_changes_at_the_same_moment(self, postgresql_store: Store) -> None:
        users, user = postgresql_store[UsersRepository], add_user(postgresql_store, email="ada@x.io")

        def verify() -> object:
            try:
                return users.mark_email_verified(user.id, "ada@x.io")
            except ConstraintViolationError:
                return "refused"

        assert overtaken(postgresql_store, verify, lambda: users.update(user.id, {"email": "ada@y.io"})) == "refused"
        assert users.find_by_id_or_raise(user.id).email_verified is False


class TestDeleting:
    def test_takes_everything_that_is_the_users(self, store: Store) -> None:
        users, ada, eve = store[UsersRepository], add_user(store), add_user(store)
        for user in (ada, eve):
            add_session(store, user)
            add_account(store, user)
            store[TwoFactorRepository].enable(user.id, "secret", "codes")
        assert users.delete(ada.id) is True
        assert users.delete(ada.id) is False
        for row in (SessionRow, AccountRow, TwoFactorRow):
            [left] = row.select(row.user).tuples().execute(store.database)
            assert left == (eve.id,)

    def test_takes_the_codes_that_were_sent_to_the_address(self, store: Store) -> None:
        users, ada = store[UsersRepository], add_user(store, email="ada@x.io")
        send_code(store, "ADA@x.io")
        other = send_code(store, "reset-password:ada@x.io")
        assert users.delete(ada.id) is True
        assert store[VerificationsRepository].find_all() == [other]

    def test_of_several(self, store: Store) -> None:
        users, ada, eve = store[UsersRepository], add_user(store), add_user(store)
        send_code(store, ada.email)
        assert users.delete_many({"email": [ada.email.upper(), "nobody@x.io"]}) == 1
        assert users.find_all() == [eve]
        assert store[VerificationsRepository].count() == 0


def test_one_address_goes_to_one_of_many_at_once(postgresql_store: Store) -> None:
    users = postgresql_store[UsersRepository]
    spellings = ["ada@x.io", "Ada@x.io", "ADA@X.IO", " ada@x.io"] * 2
    results = at_once(*[partial(users.create, User(name="Ada", email=spelling)) for spelling in spellings])
    assert [type(result) for result in results].count(User) == 1
    assert [type(result) for result in results].count(DuplicateKeyError) == 7


def test_nobody_is_found_without_an_address_or_id(users: UsersRepository) -> None:
    users.create(User(name="Ada", email="ada@x.io"))
    nothing: Any = None
    assert users.find_by_email(nothing) is None
    assert users.find_by_id(nothing) is None
    assert users.delete(nothing) is False
    assert users.delete(uuid4()) is False
