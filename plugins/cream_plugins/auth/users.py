"""Users: who is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict
from uuid import UUID

from peewee import Case

from cream_plugins.auth.emails import EmailField
from cream_plugins.auth.verifications import VerificationsRepository
from cream_store import (
    BooleanField,
    ConstraintViolationError,
    Param,
    QueryBuilder,
    Record,
    Repository,
    Row,
    Statement,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
    unique,
    utc_now,
)
from cream_store.repository import Key
from cream_store.statement import for_update


class UserRow(Row):
    """Table `user`."""

    id = UUIDv7Field(primary_key=True)
    name = TextField()
    email = EmailField()
    email_verified = BooleanField(server_default=False)
    image = TextField(null=True)
    two_factor_enabled = BooleanField(null=True, null_as=False, server_default=False)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "user"
        constraints = [unique("user_email_unique", "email")]
        indexes = [index("idx_user_created_at", "created_at")]


@record
class User(Record):
    """Somebody who can sign in."""

    id: UUID = field(default_factory=new_id)
    name: str
    email: str  # stored trimmed and in lower case; unique
    email_verified: bool = False
    image: str | None = None
    two_factor_enabled: bool = False  # set by TwoFactorRepository alone
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class UserFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    email: str | Sequence[str] | None
    email_verified: bool | None


class UserChanges(TypedDict, total=False):
    """What `update` can change."""

    name: str
    email: str
    image: str | None


_LOCKED: Final = Statement(lambda: for_update(UserRow.select().where(UserRow.id == Param("id", UserRow.id))))

_STILL_VERIFIED: Final = UserRow.email_verified & (UserRow.email == Param("email", UserRow.email))
"""Another address is another mailbox, which nobody has shown to be the user's."""

_TIME_OF_VERIFICATION: Final = Case(
    None, [(UserRow.email_verified, UserRow.updated_at)], Param("updated_at", UserRow.updated_at)
)


class UsersRepository(Repository[User, UserFilters, UserChanges]):
    """The users. `upsert` changes nothing of a stored one but name and image."""

    row = UserRow
    default_order = ("-created_at",)
    kept_on_conflict = ("id", "email", "email_verified", "two_factor_enabled", "created_at")
    beginning = {"two_factor_enabled": False}
    history_told_by = "TwoFactorRepository.enable"

    def find_by_email(self, email: str) -> User | None:
        """The user with that address, in any case. Raises InvalidDataError for text that is no address."""
        return self._first(query().exactly("email", email))

    def lock(self, id: Key) -> User | None:
        """The user, or None. Nobody else changes the user, or adds an account, until the transaction ends."""
        return self._fetch_one(id, _LOCKED)

    def update(self, id: Key, changes: UserChanges) -> User:
        """Writes the given columns and returns the user as it is then. Another address is not verified.

        Raises NotFoundError, DuplicateKeyError when another user has the address, InvalidDataError.
        """
        computed = {"email_verified": _STILL_VERIFIED} if "email" in changes else None
        return self._update_one(id, self._checked_changes(changes), computed=computed) or self._raise_not_found(id)

    def mark_email_verified(self, id: Key, email: str | None = None) -> User:
        """Notes that the user has the address: `email`, if given, else whichever is stored now.

        Verified already, nothing changes. Raises NotFoundError, ConstraintViolationError when the user's address is
        another one by now.
        """
        marked = self._update_one(
            id, {"email_verified": True}, query().equals("email", email), {"updated_at": _TIME_OF_VERIFICATION}
        )
        if marked is not None:
            return marked
        self.find_by_id_or_raise(id)
        raise ConstraintViolationError(
            f"user {id}: the address changed after the verification was asked for", table="user", columns=("email",)
        )

    def _flag_two_factor(self, id: Key, enabled: bool) -> User | None:
        """For TwoFactorRepository alone."""
        return self._update_one(id, {"two_factor_enabled": enabled})

    @transactional
    def _delete(self, builder: QueryBuilder) -> int:
        deleted = self._delete_returning(builder)
        # No foreign key does it, and what is left could verify the next user of the address.
        VerificationsRepository(self.database).delete_many({"identifier": [user.email for user in deleted]})
        return len(deleted)
