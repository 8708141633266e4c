"""Verifications: codes and links that were sent to somebody, each good once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from cream_plugins.auth.emails import email_address
from cream_plugins.auth.expiry import Expiring, ExpiringRepository, ExpiryField
from cream_store import (
    Row,
    Secret,
    SecretField,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
    utc_now,
)


class IdentifierField(TextField):
    """What a code is about: an email address, spelt as `EmailField` spells it, or any other text, taken as it is."""

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        return email_address(text) or text


class VerificationRow(Row):
    """Table `verification`."""

    id = UUIDv7Field(primary_key=True)
    identifier = IdentifierField()
    value = SecretField()
    expires_at = ExpiryField()
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "verification"
        indexes = [
            index("idx_verification_expires_at", "expires_at"),
            index("idx_verification_identifier", "identifier"),
        ]


@record
class Verification(Expiring):
    """A code that shows, once and for a time, that somebody received what was sent."""

    id: UUID = field(default_factory=new_id)
    identifier: str
    value: Secret = field(repr=False)
    expires_at: datetime
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class VerificationFilters(TypedDict, total=False):
    """What `find_many` can be limited to. It finds expired codes, too."""

    identifier: str | Sequence[str] | None


class VerificationChanges(TypedDict, total=False):
    """What `update` can change."""

    value: Secret | str
    expires_at: datetime


class VerificationsRepository(ExpiringRepository[Verification, VerificationFilters, VerificationChanges]):
    """The codes. A new one that has expired already is refused with InvalidDataError."""

    row = VerificationRow
    default_order = ("-created_at",)

    @transactional
    def create(self, record: Verification, replace: bool = True) -> Verification:
        """Stores a new code; with `replace`, instead of every earlier one of its identifier. Returns it as stored."""
        self._guard(record)
        if replace:
            identifier = VerificationRow.identifier.encode(record.identifier)
            self.database.advisory_lock(f"verification {identifier}")  # else two new codes would not see each other
            self._delete(query().exactly("identifier", identifier))
        return super().create(record)

    def consume(self, identifier: str) -> Secret | None:
        """Deletes all codes of an identifier and returns the newest valid one, or None.

        One statement: of several calls at once, one gets it.
        """
        deleted = self._delete_returning(query().exactly("identifier", identifier))
        now = utc_now()
        valid = [code for code in deleted if code.expires_at > now]
        return max(valid, key=lambda code: (code.created_at, code.id)).value if valid else None

    def consume_value(self, identifier: str, value: Secret | str) -> bool:
        """Deletes a valid code of an identifier; False, and nothing is deleted, when that is not the code.

        One statement: of several calls at once, one gets True. It is for the caller to limit attempts.
        """
        code = query().exactly("identifier", identifier).exactly("value", value).above("expires_at", utc_now())
        return self._delete(code) > 0
