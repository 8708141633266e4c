"""Agent configurations: which agents deliberate, and with which prompts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict
from uuid import UUID

from cream_plugins.vocabulary import AgentType
from cream_store import (
    BooleanField,
    EnumField,
    Environment,
    EnvironmentField,
    InvalidDataError,
    NotFoundError,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SeedOutcome,
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
from cream_store.repository import Key

AGENT_TYPES: Final = tuple(AgentType)
"""All agents, in the order in which they are listed."""


class AgentConfigRow(Row):
    """Table `agent_configs`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    agent_type = EnumField(AgentType)
    system_prompt_override = TextField(null=True)
    enabled = BooleanField(server_default=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "agent_configs"
        indexes = [
            index("idx_agent_configs_agent_type", "agent_type"),
            index("idx_agent_configs_env_agent", "environment", "agent_type", unique=True),
        ]


@record
class AgentConfig(Record):
    """How an agent works in an environment. The language model is the trading configuration's."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    agent_type: AgentType
    system_prompt_override: str | None = None  # instead of the agent's own prompt
    enabled: bool = True
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class AgentConfigFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    environment: Environment | str | None
    agent_type: AgentType | str | Sequence[AgentType | str] | None
    enabled: bool | None


class AgentConfigChanges(TypedDict, total=False):
    """What can be changed; what is left out stays, while None clears the override."""

    system_prompt_override: str | None
    enabled: bool


_DEFAULTS: Final[AgentConfigChanges] = {"system_prompt_override": None, "enabled": True}


class AgentConfigsRepository(Repository[AgentConfig, AgentConfigFilters, AgentConfigChanges]):
    """The configuration of each agent: one per environment and agent type."""

    row = AgentConfigRow
    default_order = ("created_at",)
    conflict_target = ("environment", "agent_type")

    def get(self, environment: Environment | str | None, agent_type: AgentType | str) -> AgentConfig | None:
        """An agent's configuration, if there is one."""
        return self._first(self._of(environment).exactly("agent_type", agent_type))

    def get_or_raise(self, environment: Environment | str | None, agent_type: AgentType | str) -> AgentConfig:
        """An agent's configuration. Raises NotFoundError."""
        environment = self.one_environment_of(environment)
        found = self.get(environment, agent_type)
        if found is None:
            raise NotFoundError(
                f"agent_configs: {environment} has no configuration of {agent_type}; `cream-store db seed` creates it",
                table="agent_configs",
            )
        return found

    def get_all(self, environment: Environment | str | None = None) -> list[AgentConfig]:
        """The environment's agents, in the order of `AGENT_TYPES`."""
        return _as_listed(self.find(self._of(environment)))

    def get_enabled(self, environment: Environment | str | None = None) -> list[AgentConfig]:
        """The environment's enabled agents, in the order of `AGENT_TYPES`."""
        return _as_listed(self.find(self._of(environment).equals("enabled", True)))

    def upsert(  # type: ignore[override]  # by environment and agent type, and as little as is given
        self, environment: Environment | str | None, agent_type: AgentType | str, changes: AgentConfigChanges
    ) -> AgentConfig:
        """Writes the given changes, into a new configuration with defaults if the agent has none, and returns it."""
        new = AgentConfig(
            environment=self.one_environment_of(environment),
            agent_type=AgentType(AgentConfigRow.agent_type.encode(agent_type)),
        )
        return self._upsert_changes(new, self._checked_changes(changes))

    def set_enabled(self, id: Key, enabled: bool) -> AgentConfig:
        """Lets an agent take part, or not. Raises NotFoundError."""
        return self.update(id, {"enabled": enabled})

    def reset_to_defaults(self, environment: Environment | str | None, agent_type: AgentType | str) -> AgentConfig:
        """Enables an agent and clears its override; creates its configuration if there is none."""
        return self.upsert(environment, agent_type, _DEFAULTS)

    def delete_all(self, environment: Environment | str | None = None) -> int:
        """Deletes the configurations of the environment's agents and returns how many they were."""
        environment = self.one_environment_of(environment)
        self._guard_environment(environment)
        return self._delete(self._of(environment))

    def clone_to_environment(
        self,
        source_environment: Environment | str,
        target_environment: Environment | str,
        target: AgentConfigsRepository | None = None,
        *,
        delete_others: bool = False,
    ) -> list[AgentConfig]:
        """Copies overrides and enabled flags to the agents of another environment and returns those, as listed.

        `target` is the repository that has the other environment, this one by default. Agents that the source does
        not have stay as they are, unless `delete_others`. From a source without agents nothing is copied or deleted.
        Raises InvalidDataError when both environments are the same.
        """
        source_environment = self.one_environment_of(source_environment)
        target_environment = self.one_environment_of(target_environment)
        if source_environment == target_environment:
            raise InvalidDataError(
                f"agent_configs: {source_environment} can't be cloned to itself",
                table="agent_configs",
                columns=("environment",),
            )
        sources = self.get_all(source_environment)
        copies = [
            AgentConfig(
                environment=target_environment,
                agent_type=source.agent_type,
                system_prompt_override=source.system_prompt_override,
                enabled=source.enabled,
            )
            for source in sources
        ]
        return (target or self)._receive(copies, delete_others=delete_others) if copies else []

    @transactional
    def seed(self, environment: Environment | str | None = None, *, force: bool = False) -> SeedOutcome:
        """Creates the configurations that agents lack; with `force`, also resets those there are to the defaults."""
        environment = self.one_environment_of(environment)
        existing = {config.agent_type for config in self.get_all(environment)}
        wanted = [agent_type for agent_type in AGENT_TYPES if force or agent_type not in existing]
        for agent_type in wanted:
            # Nothing to change unless forced: whoever creates a configuration meanwhile keeps it.
            self.upsert(environment, agent_type, _DEFAULTS if force else {})
        if not wanted:
            return SeedOutcome.SKIPPED
        return SeedOutcome.REPLACED if force and existing else SeedOutcome.CREATED

    def _of(self, environment: Environment | str | None) -> QueryBuilder:
        return query().equals("environment", self.one_environment_of(environment))

    @transactional
    def _receive(self, copies: Sequence[AgentConfig], *, delete_others: bool) -> list[AgentConfig]:
        """Upserts configurations of one environment and returns those that are stored then."""
        environment = copies[0].environment
        agent_types = [copy.agent_type for copy in copies]
        self.upsert_many(copies)
        if delete_others:
            self._delete(self._of(environment).none_of("agent_type", agent_types))
        return _as_listed(self.find(self._of(environment).one_of("agent_type", agent_types)))


def _as_listed(configs: list[AgentConfig]) -> list[AgentConfig]:
    # Sorted here, because only PostgreSQL orders an enum's values as they are declared.
    return sorted(configs, key=lambda config: AGENT_TYPES.index(config.agent_type))
