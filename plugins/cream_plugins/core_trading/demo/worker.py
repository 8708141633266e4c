"""A worker's cycle: observe prices, orient, decide, act, and store every step of it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from cream_plugins.core_trading.agent_outputs import AgentOutput, AgentOutputsRepository, AgentVote
from cream_plugins.core_trading.cycle_events import CycleEvent, CycleEventType
from cream_plugins.core_trading.cycle_row import CyclePhase
from cream_plugins.core_trading.cycle_summaries import DecisionSummary, OrderSummary, OrderSummaryStatus
from cream_plugins.core_trading.cycles import Cycle, CycleResult, CyclesRepository
from cream_plugins.core_trading.decisions import (
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
    DecisionStatus,
)
from cream_plugins.core_trading.demo import strategy
from cream_plugins.core_trading.demo.strategy import Orientation, Signal, Trade
from cream_plugins.core_trading.orders import Order, OrderSide, OrdersRepository, OrderStatus, OrderType
from cream_plugins.core_trading.portfolio_snapshots import PortfolioSnapshot, PortfolioSnapshotsRepository
from cream_plugins.vocabulary import AgentType
from cream_plugins.vocabulary.demo import Bar, RoundTrip, Story
from cream_store import Environment, InvalidDataError, Store

STRATEGY_FAMILY: Final = "moving-average crossing"
COMMISSION_PER_SHARE: Final = Decimal("0.005")
FEWEST_APPROVALS: Final = 2

_CENT: Final = Decimal("0.01")
_RATIO_STEP: Final = Decimal("0.0001")


@dataclass(slots=True)
class Account:
    """The worker's money while it walks through the prices."""

    cash: Decimal = strategy.STARTING_EQUITY
    shares: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    peak: Decimal = strategy.STARTING_EQUITY
    worst_drawdown: Decimal = Decimal(0)  # percent of the peak

    @property
    def equity(self) -> Decimal:
        """Cash and shares at the last price."""
        return self.cash + self.shares * self.last_price

    def mark(self, price: Decimal) -> None:
        """Values the shares at a price."""
        self.last_price = price
        self.peak = max(self.peak, self.equity)
        self.worst_drawdown = max(self.worst_drawdown, 100 * (self.peak - self.equity) / self.peak)


@dataclass(slots=True)
class Worker:
    """Runs one cycle over an instrument's price bars."""

    store: Store
    environment: Environment
    symbol: str
    bars: Sequence[Bar]
    account: Account = field(default_factory=Account)
    plan: Trade | None = None  # of the position that is held, or was last
    entry: tuple[Decision, Decimal] | None = None  # into the position that is held, and its price
    decisions: list[Decision] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    trades: list[RoundTrip] = field(default_factory=list)  # that are over

    def run(self) -> Story:
        """One whole cycle. If it fails half-way, the cycle is stored as failed with its error, which goes on."""
        cycles = self.store[CyclesRepository]
        cycle = cycles.start(self.environment, total_symbols=1, config_version="demo")
        try:
            self._observe(cycle)
            self._orient_decide_act(cycle)
            self._take_snapshot()
            cycles.complete(cycle.id, self._result())
        except Exception as error:
            cycles.fail(cycle.id, f"{type(error).__name__}: {error}", stack=traceback.format_exc())
            raise
        return Story(
            environment=self.environment,
            symbol=self.symbol,
            cycle_id=cycle.id,
            bars=tuple(self.bars),
            trades=tuple(self.trades),
        )

    def _observe(self, cycle: Cycle) -> None:
        if len(self.bars) <= strategy.SLOW:
            raise InvalidDataError(f"{len(self.bars)} prices are too few: the rule looks back over {strategy.SLOW}")
        message = f"{len(self.bars)} prices of {self.symbol}, {self.bars[0].time} to {self.bars[-1].time}"
        self.store[CyclesRepository].update_progress(cycle.id, CyclePhase.OBSERVE, 0, 10, message)

    def _orient_decide_act(self, cycle: Cycle) -> None:
        cycles = self.store[CyclesRepository]
        cycles.update_progress(cycle.id, CyclePhase.ORIENT, 0, 20, "averages and ranges of every bar")
        signals = self._signals()
        cycles.update_progress(cycle.id, CyclePhase.DECIDE, 0, 30, f"{len(signals)} signals")
        for number, (i, now, why) in enumerate(signals, start=1):
            decision = self._decide(cycle, self.bars[i], now, why)
            if decision is not None and self._deliberate(cycle, decision, now):
                cycles.update_progress(cycle.id, CyclePhase.ACT, 0, 30 + 60 * number // len(signals))
                self._act(cycle, decision, self.bars[min(i + 1, len(self.bars) - 1)])

    def _signals(self) -> list[tuple[int, Orientation, Signal]]:
        """Where the rule wants to trade, as if every wish came true; whether it does is decided later."""
        found: list[tuple[int, Orientation, Signal]] = []
        trade: Trade | None = None
        for i, before, now in strategy.walk(self.bars):
            why = strategy.signal(self.bars[i], before, now, trade)
            if why is not None:
                found.append((i, now, why))
                trade = strategy.plan(self.bars[i], now) if why is Signal.CROSSED_UP else None
        return found

    def _decide(self, cycle: Cycle, bar: Bar, now: Orientation, why: Signal) -> Decision | None:
        """The decision that a signal calls for; none to close a position that was never opened."""
        is_entry = why is Signal.CROSSED_UP
        if not is_entry and not self.account.shares:
            return None
        self.account.mark(strategy.price(bar.close))
        planned = strategy.plan(bar, now)
        size = strategy.size(planned, self.account.equity, self.account.cash) if is_entry else self.account.shares
        if is_entry:
            self.plan = planned
        decision = self.store[DecisionsRepository].create(
            Decision(
                cycle_id=cycle.id,
                symbol=self.symbol,
                action=DecisionAction.BUY if is_entry else DecisionAction.CLOSE,
                direction=DecisionDirection.LONG if is_entry else DecisionDirection.FLAT,
                size=size,
                entry_price=planned.entry,
                stop_price=planned.stop if is_entry else None,
                target_price=planned.target if is_entry else None,
                strategy_family=STRATEGY_FAMILY,
                time_horizon="weeks",
                bullish_factors=[why.value] if is_entry or why is Signal.TARGET_REACHED else [],
                bearish_factors=[] if is_entry or why is Signal.TARGET_REACHED else [why.value],
                confidence_score=now.confidence,
                risk_score=min(strategy.RISK_PER_TRADE * 10, Decimal(1)),
                metadata={"bar": bar.time, "signal": why.name},
                rationale=f"{bar.time}: {why.value}",
                environment=self.environment,
            )
        )
        self._tell(cycle, CycleEventType.DECISION, CyclePhase.DECIDE, f"{decision.action} {size} on {bar.time}")
        return decision

    def _deliberate(self, cycle: Cycle, decision: Decision, now: Orientation) -> bool:
        """The agents vote: at least two approvals make an entry stand; an exit needs the trader's."""
        votes = _votes(decision, now)
        events: list[CycleEvent] = []
        for agent, (vote, reason) in votes.items():
            for kind, data in (
                (CycleEventType.AGENT_START, {}),
                (CycleEventType.TEXT_DELTA, {"text": reason}),
                (CycleEventType.AGENT_COMPLETE, {"vote": vote}),
            ):
                events.append(
                    CycleEvent(
                        cycle_id=cycle.id,
                        event_type=kind,
                        phase=CyclePhase.DECIDE,
                        agent_type=agent,
                        symbol=self.symbol,
                        data=data,
                    )
                )
        self.store[CyclesRepository].add_events_batch(events)
        self.store[AgentOutputsRepository].create_many(
            [
                AgentOutput(
                    decision_id=decision.id,
                    agent_type=agent,
                    vote=vote,
                    confidence=now.confidence,
                    reasoning_summary=reason,
                    tokens_used=len(reason.split()),
                )
                for agent, (vote, reason) in votes.items()
            ]
        )
        approvals = sum(vote is AgentVote.APPROVE for vote, _ in votes.values())
        needed = FEWEST_APPROVALS if decision.action is DecisionAction.BUY else 1
        approved = approvals >= needed and decision.size > 0
        status = DecisionStatus.APPROVED if approved else DecisionStatus.REJECTED
        decided = self.store[DecisionsRepository].update_status(decision.id, status)
        self.decisions.append(decided)
        return approved

    def _act(self, cycle: Cycle, decision: Decision, next_bar: Bar) -> None:
        """The order is submitted, accepted, and filled at the next bar's opening price."""
        orders = self.store[OrdersRepository]
        side = OrderSide.BUY if decision.action is DecisionAction.BUY else OrderSide.SELL
        order = orders.create(
            Order(
                decision_id=decision.id,
                symbol=self.symbol,
                side=side,
                quantity=decision.size,
                order_type=OrderType.MARKET,
                environment=self.environment,
            )
        )
        orders.update_status(order.id, OrderStatus.SUBMITTED, broker_order_id=f"demo-{order.id}")
        orders.update_status(order.id, OrderStatus.ACCEPTED)
        price = strategy.price(next_bar.open)
        commission = order.quantity * COMMISSION_PER_SHARE
        filled = orders.update_fill(order.id, order.quantity, price, commission)
        self.orders.append(filled)
        self._settle(filled, price, commission)
        self._remember(decision, price)
        self.decisions[-1] = self.store[DecisionsRepository].update_status(decision.id, DecisionStatus.EXECUTED)
        self._tell(cycle, CycleEventType.ORDER, CyclePhase.ACT, f"{side} {order.quantity} filled at {price}")

    def _settle(self, order: Order, price: Decimal, commission: Decimal) -> None:
        signed = order.quantity if order.side is OrderSide.BUY else -order.quantity
        self.account.cash -= signed * price + commission
        self.account.shares += signed
        self.account.mark(price)

    def _remember(self, decision: Decision, price: Decimal) -> None:
        """Keeps an entry until its exit makes it a round trip."""
        if decision.action is DecisionAction.BUY:
            self.entry = (decision, price)
        elif self.entry is not None and self.plan is not None:
            entry, entry_price = self.entry
            self.entry = None
            self.trades.append(
                RoundTrip(
                    quantity=decision.size,
                    confidence=entry.confidence_score,
                    entry_price=entry_price,
                    entry_bar=entry.metadata["bar"],
                    stop=self.plan.stop,
                    target=self.plan.target,
                    exit_price=price,
                    exit_bar=decision.metadata["bar"],
                    exit_signal=decision.metadata["signal"],
                )
            )

    def _take_snapshot(self) -> None:
        account = self.account
        account.mark(strategy.price(self.bars[-1].close))
        exposure = account.shares * account.last_price / account.equity
        self.store[PortfolioSnapshotsRepository].create(
            PortfolioSnapshot(
                environment=self.environment,
                nav=_rounded(account.equity, _CENT),
                cash=_rounded(account.cash, _CENT),
                equity=_rounded(account.equity, _CENT),
                gross_exposure=_rounded(exposure, _RATIO_STEP),
                net_exposure=_rounded(exposure, _RATIO_STEP),
                open_positions=int(account.shares > 0),
                total_return_pct=_rounded(100 * (account.equity / strategy.STARTING_EQUITY - 1), _RATIO_STEP),
                max_drawdown=_rounded(account.worst_drawdown, _RATIO_STEP),
            )
        )

    def _result(self) -> CycleResult:
        return CycleResult(
            approved=any(decision.status is DecisionStatus.EXECUTED for decision in self.decisions),
            iterations=1,
            decisions=[
                DecisionSummary(
                    symbol=decision.symbol,
                    action=decision.action,
                    direction=decision.direction,
                    confidence=decision.confidence_score,
                )
                for decision in self.decisions
            ],
            orders=[
                OrderSummary(
                    order_id=str(order.id),
                    symbol=order.symbol,
                    side=order.side,
                    quantity=order.quantity,
                    status=OrderSummaryStatus.FILLED,
                )
                for order in self.orders
            ],
        )

    def _tell(self, cycle: Cycle, kind: CycleEventType, phase: CyclePhase, message: str) -> None:
        event = CycleEvent(cycle_id=cycle.id, event_type=kind, phase=phase, symbol=self.symbol, message=message)
        self.store[CyclesRepository].add_event(event)


def _votes(decision: Decision, now: Orientation) -> dict[AgentType, tuple[AgentVote, str]]:
    """What each agent makes of a decision, and why."""
    is_exit = decision.action is DecisionAction.CLOSE
    if is_exit:
        return {AgentType.TRADER: (AgentVote.APPROVE, f"the position is to be closed: {decision.rationale}")}
    rising = now.fast > now.slow
    stretched = now.close > now.slow + strategy.STOP_RANGES * now.true_range
    return {
        AgentType.BULLISH_RESEARCHER: (
            AgentVote.APPROVE if rising and now.close > now.fast else AgentVote.ABSTAIN,
            f"close {strategy.price(now.close)} against the fast average {strategy.price(now.fast)}",
        ),
        AgentType.BEARISH_RESEARCHER: (
            AgentVote.REJECT if stretched else AgentVote.APPROVE,
            "the price has run far ahead of its average" if stretched else "the price is near its average",
        ),
        AgentType.RISK_MANAGER: (
            AgentVote.APPROVE if now.confidence >= Decimal("0.2") else AgentVote.REJECT,
            f"confidence {now.confidence}, one percent of the equity at risk",
        ),
    }


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    return value.quantize(step, ROUND_HALF_EVEN)
