"""The universe: which instruments may be traded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from cream_plugins.config.workflow import ConfigFilters, ConfigStatus, Configuration, WorkflowRepository
from cream_store import (
    BigIntegerField,
    BooleanField,
    EnumField,
    Environment,
    EnvironmentField,
    Row,
    SymbolsField,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    record,
    utc_now,
)


class UniverseSource(StrEnum):
    """Where the universe's instruments come from."""

    STATIC = "static"
    INDEX = "index"
    SCREENER = "screener"


class UniverseConfigRow(Row):
    """Table `universe_configs`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    source = EnumField(UniverseSource)
    static_symbols = SymbolsField(null=True, null_as=None)
    index_source = TextField(null=True)
    min_volume = BigIntegerField(null=True)
    min_market_cap = BigIntegerField(null=True)
    optionable_only = BooleanField(server_default=False)
    include_list = SymbolsField(null=True, server_default=[])
    exclude_list = SymbolsField(null=True, server_default=[])
    status = EnumField(ConfigStatus, server_default="draft")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "universe_configs"
        indexes = [
            index("idx_universe_configs_env_active", "environment", unique=True, where="status = 'active'"),
            index("idx_universe_configs_env_status", "environment", "status"),
            index("idx_universe_configs_status", "status"),
        ]


@record
class UniverseConfig(Configuration):
    """Which instruments an environment may trade. Symbols are stored in upper case."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    source: UniverseSource = UniverseSource.STATIC
    static_symbols: list[str] | None = None  # the instruments, when the source is static
    index_source: str | None = None  # the index, when the source is one: SP500, NDX100, DJIA ...
    min_volume: int | None = None  # shares a day
    min_market_cap: int | None = None  # US dollars
    optionable_only: bool = False
    include_list: list[str] = field(default_factory=list)  # in the universe whatever the source says
    exclude_list: list[str] = field(default_factory=list)  # never in the universe
    status: ConfigStatus = ConfigStatus.DRAFT
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    def _requirements(self) -> dict[str, bool]:
        static_symbols = self.static_symbols or []
        index_source = self.index_source or ""
        return {
            "static_symbols for the source static": self.source != UniverseSource.STATIC or bool(static_symbols),
            "index_source for the source index": self.source != UniverseSource.INDEX or bool(index_source.strip()),
            "min_volume >= 0": self.min_volume is None or self.min_volume >= 0,
            "min_market_cap >= 0": self.min_market_cap is None or self.min_market_cap >= 0,
            "each symbol once in static_symbols": _all_different(static_symbols),
            "each symbol once in include_list": _all_different(self.include_list),
            "each symbol once in exclude_list": _all_different(self.exclude_list),
            "no symbol in both include_list and exclude_list": set(self.include_list).isdisjoint(self.exclude_list),
        }


def _all_different(symbols: Sequence[str]) -> bool:
    return len(set(symbols)) == len(symbols)


class UniverseConfigFilters(ConfigFilters, total=False):
    """What `find_many` can be limited to."""

    source: UniverseSource | str | Sequence[UniverseSource | str] | None


class UniverseConfigChanges(TypedDict, total=False):
    """The values of a draft; lists are replaced whole."""

    source: UniverseSource
    static_symbols: list[str] | None
    index_source: str | None
    min_volume: int | None
    min_market_cap: int | None
    optionable_only: bool
    include_list: list[str]
    exclude_list: list[str]


class UniverseConfigsRepository(WorkflowRepository[UniverseConfig, UniverseConfigFilters, UniverseConfigChanges]):
    """The universes."""

    row = UniverseConfigRow
    default_order = ("-created_at",)
