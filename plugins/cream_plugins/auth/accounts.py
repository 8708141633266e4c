"""Accounts: the ways in which a user can sign in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import EXCLUDED

from cream_plugins.auth.users import UserRow, UsersRepository
from cream_store import (
    UNSET,
    ConstraintViolationError,
    DuplicateKeyError,
    ForeignKey,
    Record,
    Repository,
    Row,
    Secret,
    SecretField,
    TextField,
    TimestampField,
    Unset,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
    utc_now,
)
from cream_store.repository import Key

PASSWORD_PROVIDER: Final = "credential"
"""The provider of accounts with a password of our own; the account's id is the user's."""

# The formats of bcrypt, scrypt, argon2 and pbkdf2 have this in common, and hardly a password has it.
_HASH: Final = re.compile(r"(?=.*[$:])[A-Za-z0-9$:./+=,_-]{40,}")


class PasswordHashField(SecretField):
    """The hash of a password. Text that looks like no hash, which may be the password itself, is refused."""

    def encode(self, value: Any) -> Secret:
        secret = super().encode(value)
        if not _HASH.fullmatch(secret.reveal()):
            self.refuse("needs the hash of a password: 40 characters or more, with $ or : between its parts")
        return secret


class AccountRow(Row):
    """Table `account`."""

    id = UUIDv7Field(primary_key=True)
    account_id = TextField()
    provider_id = TextField()
    user = ForeignKey(UserRow, on_delete="CASCADE")
    access_token = SecretField(null=True)
    refresh_token = SecretField(null=True)
    id_token = SecretField(null=True)
    access_token_expires_at = TimestampField(null=True)
    refresh_token_expires_at = TimestampField(null=True)
    scope = TextField(null=True)
    password = PasswordHashField(null=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "account"
        indexes = [
            index("idx_account_provider_account", "provider_id", "account_id", unique=True),
            index("idx_account_user_id", "user_id"),
        ]


@record
class Account(Record):
    """An identity at a provider that a user signs in with."""

    id: UUID = field(default_factory=new_id)
    account_id: str  # the identity, as the provider calls it
    provider_id: str
    user_id: UUID
    access_token: Secret | None = field(default=None, repr=False)
    refresh_token: Secret | None = field(default=None, repr=False)
    id_token: Secret | None = field(default=None, repr=False)
    access_token_expires_at: datetime | None = None
    refresh_token_expires_at: datetime | None = None
    scope: str | None = None
    password: Secret | None = field(default=None, repr=False)  # a hash; only for the password provider
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class AccountFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    user_id: UUID | str | Sequence[UUID | str] | None
    provider_id: str | Sequence[str] | None


class AccountChanges(TypedDict, total=False):
    """What a provider tells of an account. What is left out stays, while None clears it."""

    access_token: Secret | str | None
    refresh_token: Secret | str | None
    id_token: Secret | str | None
    access_token_expires_at: datetime | None
    refresh_token_expires_at: datetime | None
    scope: str | None


class AccountsRepository(Repository[Account, AccountFilters, AccountChanges]):
    """The accounts. An identity belongs to one user; whatever would give it to another raises DuplicateKeyError."""

    row = AccountRow
    default_order = ("created_at",)
    conflict_target = ("provider_id", "account_id")
    overwrite_error = DuplicateKeyError
    overwrite_refusal = "the identity is linked to another user"

    def link(
        self,
        user_id: UUID | str,
        provider_id: str,
        account_id: str,
        changes: AccountChanges | None = None,
        password: Secret | str | None = None,
    ) -> Account:
        """Gives a user an identity to sign in with; if the user has it already, writes the given changes alone.

        `password`: the hash, for a new password account. One statement. Raises DuplicateKeyError when the identity is
        another user's, ConstraintViolationError when there is no such user.
        """
        new = Account(
            user_id=_parsed(user_id),
            provider_id=provider_id,
            account_id=account_id,
            password=None if password is None else Secret(password),
        )
        return self._upsert_changes(new, self._checked_changes(changes or {}))

    def find_by_provider_account(self, provider_id: str, account_id: str) -> Account | None:
        """The account of an identity, or None."""
        return self._first(query().exactly("provider_id", provider_id).exactly("account_id", account_id))

    def find_by_user(self, user_id: UUID | str) -> list[Account]:
        """All accounts of a user, oldest first."""
        return self.find(query().exactly("user_id", user_id))

    def update_tokens(
        self, id: Key, changes: AccountChanges, expected_refresh_token: Secret | str | Unset | None = UNSET
    ) -> Account:
        """Writes the given changes: a refresh that brings no new refresh token leaves that out, and the old one stays.

        With `expected_refresh_token`, only while that is the stored one, so that of two refreshes at once the later
        does not undo the earlier: ConstraintViolationError. Raises NotFoundError.
        """
        only_if = query()
        if expected_refresh_token is None:
            only_if = only_if.is_null("refresh_token")
        elif expected_refresh_token is not UNSET:
            only_if = only_if.equals("refresh_token", expected_refresh_token)
        updated = self._update_one(id, self._checked_changes(changes), only_if)
        if updated is not None:
            return updated
        self.find_by_id_or_raise(id)
        raise ConstraintViolationError(
            f"account {id}: the refresh token is another one by now", table="account", columns=("refresh_token",)
        )

    def set_password(self, user_id: UUID | str, password_hash: Secret | str) -> Account:
        """Stores the hash of a user's password, in a new account if the user has none with a password.

        Raises InvalidDataError for what looks like no hash, ConstraintViolationError when there is no such user.
        """
        user_id = _parsed(user_id)
        new = Account(user_id=user_id, provider_id=PASSWORD_PROVIDER, account_id=str(user_id))
        return self._upsert_changes(new, {"password": password_hash})

    @transactional
    def unlink(self, user_id: UUID | str, provider_id: str, account_id: str, allow_last: bool = False) -> bool:
        """Takes an identity from a user; False when the user does not have it.

        Raises ConstraintViolationError when it is the user's only one, who could not sign in any more, unless
        `allow_last`.
        """
        UsersRepository(self.database).lock(user_id)  # so that two at once can't take one of the last two each
        accounts = self.find_by_user(user_id)
        linked = [one.id for one in accounts if (one.provider_id, one.account_id) == (provider_id, account_id)]
        if linked and len(accounts) == 1 and not allow_last:
            raise ConstraintViolationError(
                f"user {user_id}: the only account can't be unlinked, unless that is allowed (`allow_last`)",
                table="account",
                columns=("user_id",),
            )
        return any(self.delete(id) for id in linked)

    def _may_overwrite(self) -> Any:
        return AccountRow.user == EXCLUDED.user_id


def _parsed(user_id: UUID | str) -> UUID:
    return UUID(AccountRow.user.encode(user_id))
