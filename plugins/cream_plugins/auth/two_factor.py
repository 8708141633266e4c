"""Second factors: what a user needs besides the first one to sign in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import UUID

from cream_plugins.auth.users import UserRow, UsersRepository
from cream_store import (
    ForeignKey,
    Given,
    QueryBuilder,
    Record,
    Repository,
    Row,
    Secret,
    SecretField,
    UUIDv7Field,
    Written,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
)


class TwoFactorRow(Row):
    """Table `two_factor`."""

    id = UUIDv7Field(primary_key=True)
    secret = SecretField()
    backup_codes = SecretField()
    user = ForeignKey(UserRow, on_delete="CASCADE")

    class Meta:
        table_name = "two_factor"
        indexes = [index("idx_two_factor_user_id", "user_id", unique=True)]


@record
class TwoFactor(Record):
    """What a user's codes are checked against."""

    id: UUID = field(default_factory=new_id)
    secret: Secret = field(repr=False)  # the codes that change with time are made of it
    backup_codes: Secret = field(repr=False)  # one text, opaque here
    user_id: UUID


class TwoFactorFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    user_id: UUID | str | Sequence[UUID | str] | None


class TwoFactorChanges(TypedDict, total=False):
    """What `update` can change."""

    secret: Secret | str
    backup_codes: Secret | str


class TwoFactorRepository(Repository[TwoFactor, TwoFactorFilters, TwoFactorChanges]):
    """The second factors, one per user.

    Whatever stores or deletes one here also sets the user's `two_factor_enabled`, in the same transaction.
    """

    row = TwoFactorRow
    conflict_target = ("user_id",)

    @transactional
    def enable(self, user_id: UUID | str, secret: Secret | str, backup_codes: Secret | str) -> TwoFactor:
        """Gives a user a second factor, or another one instead of the one there is.

        Raises NotFoundError when there is no such user.
        """
        users = UsersRepository(self.database)
        user = users.lock(user_id) or users._raise_not_found(user_id)
        return self.upsert(TwoFactor(user_id=user.id, secret=Secret(secret), backup_codes=Secret(backup_codes)))

    def rotate_backup_codes(self, user_id: UUID | str, expected: Secret | str, backup_codes: Secret | str) -> bool:
        """Replaces a user's backup codes if they are the expected ones still, so that no code is used twice."""
        stored = query().exactly("user_id", user_id).exactly("backup_codes", expected)
        return self._update_all(stored, {"backup_codes": backup_codes}) > 0

    def find_by_user(self, user_id: UUID | str) -> TwoFactor | None:
        """A user's second factor, or None."""
        return self._first(query().exactly("user_id", user_id))

    @transactional
    def disable(self, user_id: UUID | str) -> bool:
        """Takes a user's second factor away; False when there was none. Raises NotFoundError for no such user."""
        users = UsersRepository(self.database)
        users._flag_two_factor(user_id, False) or users._raise_not_found(user_id)
        return super()._delete(query().exactly("user_id", user_id)) > 0

    @transactional
    def create_many(self, records: Given[TwoFactor]) -> list[TwoFactor]:
        """Gives users second factors, all or none, and returns them as stored, in the same order."""
        return super().create_many(self._flagged(records))

    @transactional
    def upsert_many(self, records: Given[TwoFactor]) -> Written:
        """Gives users second factors, or other ones instead, all or none; of several of one user, the last counts."""
        return super().upsert_many(self._flagged(records))

    def _flagged(self, records: Given[TwoFactor]) -> list[TwoFactor]:
        """The records, whose users are said to have a second factor."""
        factors = list(self._records(records))
        for factor in factors:
            UsersRepository(self.database)._flag_two_factor(factor.user_id, True)
        return factors

    @transactional
    def _insert(self, records: Sequence[TwoFactor], **how: Any) -> list[TwoFactor]:
        return super()._insert(self._flagged(records), **how)

    @transactional
    def _delete(self, builder: QueryBuilder) -> int:
        deleted = self._delete_returning(builder)
        for factor in deleted:
            UsersRepository(self.database)._flag_two_factor(factor.user_id, False)
        return len(deleted)
