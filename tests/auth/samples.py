"""Users and what belongs to them, for the tests of authentication."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from cream_plugins.auth import Account, AccountsRepository, Session, SessionsRepository, User, UsersRepository
from cream_store import Secret, Store, new_id

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
NOBODY = new_id()
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b2dWRWJTmaaTqtnqzt2QpTeVK0"
OTHER_HASH = f"{'a1' * 16}:{'b2' * 64}"

_numbers = itertools.count(1)


def add_user(store: Store, **values: Any) -> User:
    """A new user, whose address nobody else has."""
    return store[UsersRepository].create(User(**{"name": "Ada", "email": f"user-{next(_numbers)}@x.io", **values}))


def token(text: str = "") -> Secret:
    """A token: the same for the same text, else a new one."""
    return Secret((text or f"token-{next(_numbers)}-").ljust(32, "."))


def add_session(store: Store, user: User, **values: Any) -> Session:
    """A new session of a user."""
    return store[SessionsRepository].create(Session(**{"user_id": user.id, "token": token(), **values}))


def add_account(store: Store, user: User, **values: Any) -> Account:
    """A new account of a user."""
    identity = {"provider_id": "google", "account_id": f"identity-{next(_numbers)}"}
    return store[AccountsRepository].create(Account(**{"user_id": user.id, **identity, **values}))
