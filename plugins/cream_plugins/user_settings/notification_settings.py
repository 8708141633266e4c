"""What a user is notified of: the document in `user_preferences.notification_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, TypedDict

from cream_store import JSONField
from cream_store.fields import Decoder
from cream_store.url import Kind

_STORED_KEYS: Final = {
    "risk_alerts": "riskAlerts",
    "email_alerts": "emailAlerts",
    "daily_summary": "dailySummary",
    "push_notifications": "pushNotifications",
    "trade_confirmations": "tradeConfirmations",
}
"""The keys that all programs store, in the order in which the column's default has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSettings:
    """What a user is notified of."""

    email_alerts: bool = True
    push_notifications: bool = False
    trade_confirmations: bool = True
    daily_summary: bool = True
    risk_alerts: bool = True

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The settings that a stored document holds, with defaults for those it lacks."""
        given = {name: document[key] for name, key in _STORED_KEYS.items() if key in document}
        for value in given.values():
            if not isinstance(value, bool):
                raise ValueError("a notification setting is true or false")
        return cls(**given)

    def document(self) -> dict[str, bool]:
        """What is stored."""
        return {key: getattr(self, name) for name, key in _STORED_KEYS.items()}


class NotificationChanges(TypedDict, total=False):
    """Some notification settings; those left out stay."""

    email_alerts: bool
    push_notifications: bool
    trade_confirmations: bool
    daily_summary: bool
    risk_alerts: bool


class NotificationSettingsField(JSONField):
    """The notification settings, as a JSON document."""

    def __init__(self, **options: Any) -> None:
        super().__init__(dict, server_default=NotificationSettings().document(), **options)

    @property
    def value_type(self) -> type:
        return NotificationSettings

    def encode(self, value: Any) -> str:
        if not isinstance(value, NotificationSettings):
            self.refuse(f"needs NotificationSettings, got {type(value).__name__}")
        return self.encode_changes(asdict(value))

    def encode_changes(self, changes: Mapping[str, Any]) -> str:
        """The document of some settings. Raises InvalidDataError for an unknown one, or a value that is no bool."""
        for name, value in changes.items():
            if name not in _STORED_KEYS:
                self.refuse(f"unknown setting {name!r}; known: {', '.join(sorted(_STORED_KEYS))}")
            if not isinstance(value, bool):
                self.refuse(f"{name} is True or False, got {type(value).__name__}")
        return super().encode({key: changes[name] for name, key in _STORED_KEYS.items() if name in changes})

    def _decoder(self, kind: Kind) -> Decoder | None:
        load = super()._decoder(kind)
        if load is None:
            return NotificationSettings.from_document
        return lambda text: NotificationSettings.from_document(load(text))
