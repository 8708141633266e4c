"""Theses: why an instrument is watched or held, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

import peewee
from peewee import SQL, fn

from cream_plugins.thesis.context import ThesisContext, context_of
from cream_plugins.thesis.cooldowns import (
    DEFAULT_COOLDOWN_HOURS,
    CooldownStatus,
    SymbolOnCooldown,
    cooldowns_in,
    in_hours,
    length_of_cooldown,
    running_cooldowns_in,
)
from cream_plugins.thesis.expressions import HELD_MICROSECONDS, HIGHER_PEAK, NOTES_WITH_ONE_MORE, ONE_MORE_ADDITION
from cream_plugins.thesis.history import ThesisStateHistoryEntry, ThesisStateHistoryRepository
from cream_plugins.thesis.profits import profit_in_percent
from cream_plugins.thesis.theses import (
    OPEN_STATES,
    POSITION_STATES,
    THESIS_STATES,
    CloseReason,
    Thesis,
    ThesisRow,
    ThesisState,
)
from cream_store import (
    UNSET,
    ConstraintViolationError,
    Environment,
    Repository,
    Unset,
    query,
    since,
    transactional,
    utc_now,
)
from cream_store.aggregates import ratio
from cream_store.repository import Key


class ThesisFilters(TypedDict, total=False):
    """What `find_many` can be limited to. An empty `states` limits nothing; another empty list matches nothing."""

    instrument_id: str | Sequence[str] | None
    state: ThesisState | str | Sequence[ThesisState | str] | None
    states: Sequence[ThesisState | str] | None
    environment: Environment | str | None
    closed_after: date | datetime | None
    created_after: date | datetime | None


class ThesisChanges(TypedDict, total=False):
    """What `update` can change: the texts. The course of a thesis has methods of its own."""

    entry_thesis: str | None
    invalidation_conditions: str | None
    notes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThesisStats:
    """Figures over a set of theses. Averages are unrounded; 0 where there is nothing to average."""

    total: int
    by_state: dict[ThesisState, int]  # every state
    avg_holding_days: Decimal  # of the closed ones that had a position
    win_rate: Decimal  # 0..1: those with a profit, of the closed ones that had a position and whose profit is known


@dataclass(frozen=True, slots=True, kw_only=True)
class ThesisMatch:
    """A thesis that a search found."""

    thesis_id: UUID
    instrument_id: str
    entry_thesis: str | None


_OTHER_WAY_TO: Final = {
    ThesisState.WATCHING: "create a new thesis",
    ThesisState.ENTERED: "use enter_position",
    ThesisState.CLOSED: "use close",
}


class ThesisStateRepository(Repository[Thesis, ThesisFilters, ThesisChanges]):
    """The theses. Every change of a state is written to the history in the same transaction.

    Storing a thesis refuses, with InvalidDataError, one that is not new. Storing it again (`upsert`) rewrites the plan
    of a thesis that is WATCHING; any other stays as it is, with ConstraintViolationError.
    """

    row = ThesisRow
    moved_on_update = "last_updated"
    default_order = ("-created_at",)
    default_limit = 50
    filter_rules = {
        "states": lambda builder, states: builder.one_of("state", list(states) or None),
        "closed_after": since("closed_at"),
        "created_after": since("created_at"),
    }
    kept_on_conflict = ("thesis_id", "environment", "created_at")
    stamped_on_upsert = ("last_updated",)
    overwrite_refusal = "a stored thesis is overwritten only while it is WATCHING, and by one of its own environment"
    beginning = {
        "state": ThesisState.WATCHING,
        "entry_price": None,
        "entry_date": None,
        "add_count": 0,
        "max_position_reached": False,
        "peak_unrealized_pnl": None,
        "close_reason": None,
        "exit_price": None,
        "realized_pnl": None,
        "realized_pnl_pct": None,
        "closed_at": None,
        "cooldown_until": None,
    }
    history_told_by = "enter_position, close and others"

    @property
    def history(self) -> ThesisStateHistoryRepository:
        """The changes of all theses' states, on the same database."""
        return ThesisStateHistoryRepository(self._database)

    # Find

    def find_active_for_instrument(
        self, instrument_id: str, environment: Environment | str | None = None
    ) -> Thesis | None:
        """The newest thesis on an instrument that is not closed."""
        return self.first({"instrument_id": instrument_id, "state": OPEN_STATES, "environment": environment})

    def find_active(self, environment: Environment | str | None = None, limit: int | None = None) -> list[Thesis]:
        """The theses that are not closed, newest first: all, unless there is a limit."""
        return self.find_all({"state": OPEN_STATES, "environment": environment}, limit=limit)

    def find_by_states(
        self, states: Sequence[ThesisState | str], environment: Environment | str | None = None, limit: int = 1_000
    ) -> list[Thesis]:
        """The newest theses in one of the states; of none, no thesis."""
        return self.find_all({"state": states, "environment": environment}, limit=limit)

    def search(self, query: str, limit: int = 5, environment: Environment | str | None = None) -> list[ThesisMatch]:
        """The newest theses whose instrument or text contains the words, in any case; none for blank text."""
        found = self._search(query, ("instrument_id", "entry_thesis"), limit, environment)
        return [
            ThesisMatch(thesis_id=match.thesis_id, instrument_id=match.instrument_id, entry_thesis=match.entry_thesis)
            for match in found
        ]

    def get_context(self, thesis_id: Key, current_price: Decimal | None = None) -> ThesisContext:
        """A thesis for those who decide about it; its profit, when the current price is given. Raises NotFoundError."""
        return context_of(self.find_by_id_or_raise(thesis_id), current_price)

    def get_history(self, thesis_id: UUID | str, limit: int | None = None) -> list[ThesisStateHistoryEntry]:
        """The changes of a thesis's state, oldest first: every one, unless there is a limit."""
        return self.history.find_by_thesis(thesis_id, limit)

    def get_stats(self, environment: Environment | str | None = None) -> ThesisStats:
        """Counts, average holding time and win rate, all of one state of the table."""
        row = ThesisRow
        had_position = row.entry_date.is_null(False)
        groups = self._aggregate(
            "stats",
            self._filtered({"environment": environment}),
            [
                fn.COUNT(SQL("*")),
                fn.COUNT(HELD_MICROSECONDS),
                fn.SUM(HELD_MICROSECONDS),
                fn.COUNT(row.realized_pnl).filter(had_position),
                fn.COUNT(SQL("*")).filter(had_position & (row.realized_pnl > Decimal(0))),
            ],
            group_by=[row.state],
        )
        figures = {state: [figure or 0 for figure in of_state] for state, *of_state in groups}
        _, held, microseconds, known, won = figures.get(ThesisState.CLOSED, [0] * 5)
        return ThesisStats(
            total=sum(count for count, *_ in figures.values()),
            by_state={state: figures[state][0] if state in figures else 0 for state in ThesisState},
            avg_holding_days=ratio(microseconds, held * _MICROSECONDS_OF_A_DAY) or Decimal(0),
            win_rate=ratio(won, known) or Decimal(0),
        )

    # The course of a thesis

    @transactional
    def transition_state(
        self,
        thesis_id: Key,
        to_state: ThesisState | str,
        trigger_reason: str | None = None,
        cycle_id: UUID | str | None = None,
        price_at_transition: Decimal | None = None,
        notes: str | None = None,
    ) -> Thesis:
        """Moves a thesis that holds a position on: to ADDING, MANAGING or EXITING.

        The history keeps why, in which cycle, at which price (> 0). Raises NotFoundError, and ConstraintViolationError
        for a move that `THESIS_STATES` does not allow, or to another state: `enter_position` and `close` do more.
        """
        state = ThesisState(ThesisRow.state.encode(to_state))
        if state in _OTHER_WAY_TO:
            raise ConstraintViolationError(
                f"thesis_state {thesis_id}: transition_state makes no thesis {state}; {_OTHER_WAY_TO[state]}",
                table="thesis_state",
                columns=("state",),
            )
        return self._advance(
            self._hold(thesis_id),
            state,
            {},
            trigger_reason=trigger_reason,
            cycle_id=cycle_id,
            price_at_transition=price_at_transition,
            notes=notes,
        )

    @transactional
    def enter_position(
        self,
        thesis_id: Key,
        entry_price: Decimal,
        stop_loss: Decimal,
        target: Decimal | Unset | None = UNSET,
        cycle_id: UUID | str | None = None,
    ) -> Thesis:
        """Enters the position of a thesis that is WATCHING. The planned target stays unless one is given.

        Raises NotFoundError, and ConstraintViolationError when the thesis is in another state, when its instrument is
        on cooldown in its environment, or for an entry price that is not above 0.
        """
        for column, price in ((ThesisRow.entry_price, entry_price), (ThesisRow.current_stop, stop_loss)):
            column.encode(price)  # refuses None, which the columns take
        thesis = self._hold_in_turn(thesis_id)
        now = utc_now()
        changes: dict[str, Any] = {
            "entry_price": entry_price,
            "entry_date": now,
            "current_stop": stop_loss,
            "last_updated": now,
        }
        if target is not UNSET:
            changes["current_target"] = target
        entered = self._advance(
            thesis,
            ThesisState.ENTERED,
            changes,
            trigger_reason="Entry conditions met",
            cycle_id=cycle_id,
            price_at_transition=entry_price,
        )
        # Asked last, as a thesis in another state has the better reason to be refused: the transaction takes all back.
        self._refuse_during_cooldown(entered, now)
        return entered

    @transactional
    def close(
        self,
        thesis_id: Key,
        reason: CloseReason | str,
        exit_price: Decimal | None = None,
        realized_pnl: Decimal | None = None,
        cycle_id: UUID | str | None = None,
        cooldown_hours: float | Decimal = DEFAULT_COOLDOWN_HOURS,
        quantity: Decimal | None = None,
    ) -> Thesis:
        """Closes a thesis for good. If it held a position, a cooldown of its instrument begins.

        `realized_pnl`: of the whole position of `quantity` units (> 0); without a quantity, of one unit.
        `realized_pnl_pct` is its part of what the position cost, in percent; unknown without an entry price or when
        the column can't hold it. `cooldown_hours`: 0 to 8,784; fractions count.

        Raises NotFoundError, InvalidDataError, and ConstraintViolationError when it is closed already or for an exit
        price that is not above 0.
        """
        reason = CloseReason(ThesisRow.close_reason.encode(reason))
        cooldown = length_of_cooldown(cooldown_hours)
        thesis = self._hold_in_turn(thesis_id)
        now = utc_now()
        changes = {
            "close_reason": reason,
            "exit_price": exit_price,
            "realized_pnl": realized_pnl,
            "realized_pnl_pct": profit_in_percent(realized_pnl, thesis.entry_price, quantity),
            "closed_at": now,
            "last_updated": now,
        }
        if thesis.state in POSITION_STATES:
            changes["cooldown_until"] = now + cooldown
        return self._advance(
            thesis,
            ThesisState.CLOSED,
            changes,
            trigger_reason=reason,
            cycle_id=cycle_id,
            price_at_transition=exit_price,
        )

    # Cooldowns: after a trade, its instrument is not entered again for a while

    def is_on_cooldown(self, instrument_id: str, environment: Environment | str | None = None) -> CooldownStatus:
        """Whether an instrument is on cooldown in one environment, by the cooldown that ends last of all its theses."""
        environment = self.one_environment_of(environment)
        latest = self._first(cooldowns_in(environment).equals("instrument_id", instrument_id))
        if latest is None or latest.cooldown_until is None:
            return CooldownStatus(on_cooldown=False)
        now = utc_now()
        return CooldownStatus(
            on_cooldown=latest.cooldown_until > now,
            cooldown_until=latest.cooldown_until,
            close_reason=latest.close_reason,
            hours_since_close=None if latest.closed_at is None else in_hours(now - latest.closed_at),
        )

    def find_symbols_on_cooldown(self, environment: Environment | str | None = None) -> list[SymbolOnCooldown]:
        """The instruments that are on cooldown in one environment, those first whose trade was closed last."""
        running = running_cooldowns_in(self.one_environment_of(environment), utc_now())
        latest = self._latest_of_each(("instrument_id",), running)
        return [
            SymbolOnCooldown(
                instrument_id=thesis.instrument_id,
                cooldown_until=thesis.cooldown_until,
                close_reason=thesis.close_reason,
                closed_at=thesis.closed_at,
            )
            for thesis in sorted(latest, key=lambda one: (one.closed_at or _NEVER, one.thesis_id), reverse=True)
            if thesis.cooldown_until is not None
        ]

    # Details

    def update_conviction(self, thesis_id: Key, conviction: Decimal) -> Thesis:
        """Writes how sure one is of a thesis: 0 to 1. Raises InvalidDataError otherwise, and NotFoundError."""
        if not 0 <= Decimal(ThesisRow.conviction.encode(conviction)) <= 1:
            ThesisRow.conviction.refuse(f"a conviction is 0 to 1, got {conviction}")
        return self._changed(thesis_id, {"conviction": conviction})

    def update_levels(
        self,
        thesis_id: Key,
        stop_loss: Decimal | Unset | None = UNSET,
        target: Decimal | Unset | None = UNSET,
    ) -> Thesis:
        """Writes the stop and the target that are given; None removes one.

        Raises NotFoundError, and ConstraintViolationError for a closed thesis.
        """
        levels = {"current_stop": stop_loss, "current_target": target}
        given = {name: level for name, level in levels.items() if level is not UNSET}
        return self._changed(thesis_id, given, among=OPEN_STATES)

    def increment_add_count(self, thesis_id: Key) -> Thesis:
        """Counts one more addition to the position.

        Raises NotFoundError, and ConstraintViolationError for a thesis without a position.
        """
        return self._changed(thesis_id, {}, among=POSITION_STATES, computed={"add_count": ONE_MORE_ADDITION})

    def mark_max_position_reached(self, thesis_id: Key) -> Thesis:
        """Says that the position is as large as it may become.

        Raises NotFoundError, and ConstraintViolationError for a thesis without a position.
        """
        return self._changed(thesis_id, {"max_position_reached": True}, among=POSITION_STATES)

    def update_peak_pnl(self, thesis_id: Key, peak_pnl: Decimal) -> Thesis:
        """Writes the profit of the open position, if it is the highest so far, or the first, even a loss.

        Raises NotFoundError, and ConstraintViolationError for a thesis without a position.
        """
        ThesisRow.peak_unrealized_pnl.encode(peak_pnl)  # refuses what is not even a number
        return self._changed(
            thesis_id,
            {"peak_unrealized_pnl": peak_pnl},
            among=POSITION_STATES,
            computed={"peak_unrealized_pnl": HIGHER_PEAK},
        )

    def update_close_reason(self, thesis_id: Key, close_reason: CloseReason | str) -> Thesis:
        """Corrects why a thesis was closed. Raises NotFoundError, and ConstraintViolationError for an open thesis."""
        ThesisRow.close_reason.encode(close_reason)  # refuses None, which the column takes
        return self._changed(thesis_id, {"close_reason": close_reason}, among=[ThesisState.CLOSED])

    @transactional
    def add_notes(self, thesis_id: Key, key: str, value: Any) -> Thesis:
        """Writes one note, over the one with the same key if there is one; the others stay. Raises NotFoundError.

        `value`: anything that has a place in JSON.
        """
        # What reads as no notes may be text that the database can't add to. Nobody changes it meanwhile.
        has_notes = bool(self._hold(thesis_id).notes)
        return self._changed(
            thesis_id, {"notes": {key: value}}, computed={"notes": NOTES_WITH_ONE_MORE} if has_notes else None
        )

    # The rest is how it is done

    def _advance(self, thesis: Thesis, to: ThesisState, changes: Mapping[str, Any], **told: Any) -> Thesis:
        """Brings a thesis that is held into a state, if it may go there, and tells that to the history."""
        advanced = self._changed(thesis.thesis_id, {"state": to, **changes}, among=THESIS_STATES.before(to))
        self.history.create(
            ThesisStateHistoryEntry(
                thesis_id=thesis.thesis_id,
                from_state=thesis.state,
                to_state=to,
                conviction_at_transition=advanced.conviction,
                created_at=advanced.last_updated,
                **told,
            )
        )
        return advanced

    def _changed(
        self,
        id: Key,
        changes: Mapping[str, Any],
        *,
        among: Iterable[ThesisState] | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> Thesis:
        """Changes a thesis that is in one of the states, which is decided inside the UPDATE, and returns it.

        Raises NotFoundError, EnvironmentMismatchError, ConstraintViolationError.
        """
        states = None if among is None else tuple(among)
        changed = self._update_one(id, changes, query().one_of("state", states), computed)
        if changed is not None:
            return changed
        thesis = self.find_by_id_or_raise(id)
        self._guard_environment(thesis.environment)
        reason = f"it is {thesis.state}; this needs one that is {' or '.join(states or ())}"
        if thesis.state is ThesisState.CLOSED:
            reason += "; the result of a trade is never overwritten: to trade again, create a new thesis"
        raise ConstraintViolationError(f"thesis_state {id}: {reason}", table="thesis_state", columns=("state",))

    def _hold_in_turn(self, id: Key) -> Thesis:
        """The thesis, which nobody else changes until the transaction ends.

        Positions in one instrument open and close in turn, so that none opens while a cooldown is about to begin.
        """
        thesis = self.find_by_id_or_raise(id)
        self.database.advisory_lock(f"positions in {thesis.instrument_id} {thesis.environment}")
        return self._hold(id)

    def _refuse_during_cooldown(self, thesis: Thesis, now: datetime) -> None:
        cooldowns = running_cooldowns_in(thesis.environment, now)
        running = self._first(cooldowns.equals("instrument_id", thesis.instrument_id))
        if running is not None:
            raise ConstraintViolationError(
                f"thesis_state {thesis.thesis_id}: {thesis.instrument_id} is on cooldown until {running.cooldown_until}"
                f" in {thesis.environment}, since thesis {running.thesis_id} was closed",
                table="thesis_state",
                columns=("cooldown_until",),
            )

    def _may_overwrite(self) -> Any:
        return super()._may_overwrite() & (ThesisRow.state == ThesisState.WATCHING)


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_MICROSECONDS_OF_A_DAY: Final = 86_400_000_000
