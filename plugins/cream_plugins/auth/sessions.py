"""Sessions: who is signed in, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import Node

from cream_plugins.auth.expiry import Expiring, ExpiringRepository, ExpiryField
from cream_plugins.auth.users import User, UserRow, UsersRepository
from cream_store import (
    ForeignKey,
    InvalidDataError,
    Param,
    QueryBuilder,
    Row,
    Secret,
    SecretField,
    Statement,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    unique,
    utc_now,
)
from cream_store.repository import Key
from cream_store.row import columns_of

SESSION_LIFETIME: Final = timedelta(days=7)
SHORTEST_TOKEN: Final = 32


class ClippedTextField(TextField):
    """Text of which the beginning is kept: what a client says about itself may be of any length."""

    def __init__(self, longest: int, **options: Any) -> None:
        self.longest = longest
        super().__init__(**options)

    def encode(self, value: Any) -> str:
        return super().encode(value)[: self.longest]


class SessionRow(Row):
    """Table `session`."""

    id = UUIDv7Field(primary_key=True)
    expires_at = ExpiryField()
    token = SecretField()
    ip_address = ClippedTextField(64, null=True)
    user_agent = ClippedTextField(512, null=True)
    user = ForeignKey(UserRow, on_delete="CASCADE")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "session"
        constraints = [unique("session_token_unique", "token")]
        indexes = [
            index("idx_session_expires_at", "expires_at"),
            index("idx_session_user_id", "user_id"),
        ]


@record
class Session(Expiring):
    """A signed-in user's visit."""

    id: UUID = field(default_factory=new_id)
    expires_at: datetime = field(default_factory=lambda: utc_now() + SESSION_LIFETIME)
    token: Secret = field(repr=False)  # at least 32 characters; unique
    ip_address: str | None = None  # stored up to 64 characters
    user_agent: str | None = None  # stored up to 512 characters
    user_id: UUID
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class SessionFilters(TypedDict, total=False):
    """What `find_many` can be limited to. It finds expired sessions, too."""

    user_id: UUID | str | Sequence[UUID | str] | None


class SessionChanges(TypedDict, total=False):
    """What `update` can change. `touch` and `extend` change how long a session is valid."""

    ip_address: str | None
    user_agent: str | None


def _select_with_user() -> Node:
    return (
        SessionRow.select(*columns_of(SessionRow).values(), *columns_of(UserRow).values())
        .join(UserRow)
        .where(
            SessionRow.token == Param("token", SessionRow.token),
            SessionRow.expires_at > Param("now", SessionRow.expires_at),
        )
    )


_WITH_USER: Final = Statement(_select_with_user)


class SessionsRepository(ExpiringRepository[Session, SessionFilters, SessionChanges]):
    """The sessions. A new one is refused, with InvalidDataError, when it has expired or its token is too short."""

    row = SessionRow
    default_order = ("-created_at",)

    def find_by_token(self, token: Secret | str) -> Session | None:
        """The session with that token, unless it has expired."""
        return self._first(_valid(query().exactly("token", token)))

    def find_by_token_with_user(self, token: Secret | str) -> tuple[Session, User] | None:
        """The session with that token, unless it has expired, and its user. One statement."""
        rows = _WITH_USER.fetch_all(self.database, {"token": token, "now": utc_now()})
        if not rows:
            return None
        end = len(self._columns)
        [session] = self._decode(row[:end] for row in rows)
        [user] = UsersRepository(self.database)._decode(row[end:] for row in rows)
        return session, user

    def find_by_user(self, user_id: UUID | str, include_expired: bool = False, limit: int = 100) -> list[Session]:
        """A user's sessions, newest first; expired ones only on request."""
        sessions = query().exactly("user_id", user_id)
        return self.find((sessions if include_expired else _valid(sessions)).limit(limit))

    def touch(
        self, token: Secret | str, ttl: timedelta = SESSION_LIFETIME, min_interval: timedelta = timedelta(days=1)
    ) -> Session | None:
        """Keeps a session valid for `ttl` from now, if it last changed `min_interval` ago or earlier.

        Not due yet, it stays as it is. None when there is no such session or it has expired: nothing revives it, even
        if it is revoked at the same moment. Raises InvalidDataError for a `ttl` that is not positive.
        """
        if ttl <= timedelta(0):
            raise InvalidDataError(f"ttl is more than 0, got {ttl}")
        now = utc_now()
        session = _valid(query().exactly("token", token))
        touched = self._update_where(session.at_most("updated_at", now - min_interval), {"expires_at": now + ttl})
        return touched[0] if touched else self._first(session)

    def extend(self, id: Key, expires_at: datetime) -> Session | None:
        """Keeps a session valid until a later moment; an earlier one changes nothing.

        None when there is no such session or it has expired.
        """
        later = _valid(query()).below("expires_at", expires_at)
        return self._update_one(id, {"expires_at": expires_at}, later) or self._first(_valid(self._by_key(id)))

    def revoke(self, token: Secret | str) -> bool:
        """Deletes the session with that token; False when there is none."""
        return self._delete(query().exactly("token", token)) > 0

    def revoke_by_id(self, id: Key, user_id: UUID | str) -> bool:
        """Deletes a session, if it is the user's; False when it is not, or there is none."""
        return self._delete(self._by_key(id).exactly("user_id", user_id)) > 0

    def revoke_all_for_user(self, user_id: UUID | str, except_token: Secret | str | None = None) -> int:
        """Deletes a user's sessions, except perhaps one, and returns how many they were."""
        return self._delete(query().exactly("user_id", user_id).differs("token", except_token))

    def _guard(self, record: Session) -> None:
        super()._guard(record)
        if len(SessionRow.token.encode(record.token).reveal()) < SHORTEST_TOKEN:
            SessionRow.token.refuse(f"needs at least {SHORTEST_TOKEN} characters")


def _valid(sessions: QueryBuilder) -> QueryBuilder:
    return sessions.above("expires_at", utc_now())
