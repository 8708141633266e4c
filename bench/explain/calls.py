"""Every way to read through the repositories of the loaded plugins, with arguments that mean something.

Methods are found, not listed: one that is added to a repository is called here, and reported when it can't be.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final

from cream_store import Environment, Repository, Store, query, utc_now
from cream_store.queries import KeysetPage
from cream_store.row import columns_of, key_of, table_of
from cream_store.table_access import TableAccess

AnyRepository = TableAccess[Any]

_READING: Final = (
    "compare", "count", "exists", "find", "first", "get", "has", "is", "iterate", "list", "load", "lock", "reconstruct",
    "resolve_many", "resolve_to", "search", "was",
)  # fmt: skip
_WRITING: Final = (
    "acknowledge", "activate", "add", "archive", "bulk", "cancel", "claim", "clear", "clone", "close", "complete",
    "consume", "create", "deactivate", "delete", "disable", "enable", "enter", "extend", "fail", "increment", "insert",
    "link", "log", "mark", "promote", "prune", "purge", "refresh", "replace", "reset", "resolve",
    "revoke", "rotate", "save", "seed", "set", "start", "sync", "touch", "transition", "unlink", "update", "upsert",
)  # fmt: skip
_ASKING_NOTHING: Final = ("environment_of", "one_environment_of")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a repository's method."""

    method: str  # with its repository
    arguments: str  # the names of what is given beside the required ones
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A method that nobody knows how to call."""

    method: str
    reason: str


def repositories(store: Store) -> list[AnyRepository]:
    """All repositories of a store."""
    return [store[kind] for plugin in store.plugins for kind in plugin.repositories]


def reads_of(repository: AnyRepository) -> Iterator[Call | NotCovered]:
    """All reads of a repository whose table `fill` filled."""
    sample = _sample_of(repository)
    for name, function in inspect.getmembers(type(repository), inspect.isfunction):
        if name.startswith("_") or name in _ASKING_NOTHING or (_begins(name, _WRITING) and not _begins(name, _READING)):
            continue
        method = f"{type(repository).__name__}.{name}"
        if not _begins(name, _READING):
            yield NotCovered(method, "whether it reads or writes is not known: say it in bench/explain/calls.py")
            continue
        try:
            yield from _calls(repository, sample, name, function)
        except LookupError as error:
            yield NotCovered(method, f"no value for its parameter {error.args[0]}: say it in bench/explain/calls.py")


def _begins(name: str, verbs: tuple[str, ...]) -> bool:
    return any(name == verb or name.startswith(f"{verb}_") for verb in verbs)


def _calls(repository: AnyRepository, sample: Any, name: str, function: Callable[..., Any]) -> Iterator[Call]:
    """The method with its required arguments alone, then with each optional one, and with each filter."""
    method = getattr(repository, name)
    title = f"{type(repository).__name__}.{name}"
    required: dict[str, Any] = {}
    optional: dict[str, tuple[str, Any]] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.name in ("filters", "options"):
            filters = _filters_of(repository, function)
            optional |= {
                f"{parameter.name}: {key}": (parameter.name, {key: _value(repository, name, key, sample)})
                for key in filters
            }
        elif parameter.name == "order_by":
            optional["order_by"] = ("order_by", key_of(repository.row).record_name)
        elif parameter.default is inspect.Parameter.empty:
            required[parameter.name] = _value(repository, name, parameter.name, sample)
        elif parameter.name in _VALUES or hasattr(sample, parameter.name):
            optional[parameter.name] = (parameter.name, _value(repository, name, parameter.name, sample))
    if name in _BOUNDED:
        required["limit"] = 100
    if name == "find_keyset" and len({column.startswith("-") for column in repository.default_order}) > 1:
        required["order_by"] = repository.default_order[0]  # a position needs an order in one direction
    call = partial(_run, method)
    yield Call(title, "", partial(call, required))
    for label, (parameter_name, value) in optional.items():
        if parameter_name not in required:
            yield Call(title, label, partial(call, {**required, parameter_name: value}))


def _filters_of(repository: AnyRepository, function: Callable[..., Any]) -> Iterable[str]:
    """The names of the filters that a method takes: those that it declares, else the repository's."""
    for name in ("filters", "options"):
        # This annotation alone: others may name what is imported for type checkers only.
        annotated = SimpleNamespace(__annotations__={name: function.__annotations__.get(name)})
        for hint in typing.get_args(typing.get_type_hints(annotated, function.__globals__)[name]):
            if typing.is_typeddict(hint):
                return typing.get_type_hints(hint)
    return sorted(repository._filterable) if isinstance(repository, Repository) else ()


def _value(repository: AnyRepository, method: str, parameter: str, sample: Any) -> Any:
    """What to give for a parameter. Raises LookupError when that is not known."""
    if parameter in ("id", "id1", "id2"):
        return getattr(sample, key_of(repository.row).record_name)
    own = type(repository).__name__
    for name in (f"{own}.{method}.{parameter}", f"{own}.{parameter}", f"{method}.{parameter}", parameter):
        if name in _VALUES:
            value = _VALUES[name]
            return value(sample) if callable(value) else value
    value = getattr(sample, parameter, None)
    if value is None:
        raise LookupError(parameter)
    return value


_NOW: Final = utc_now()
_WEEK_AGO: Final = _NOW - timedelta(days=7)

_VALUES: Final[Mapping[str, Any]] = {
    "acknowledged_only": True,
    "actions": ["BUY", "SELL"],
    "after_date": _WEEK_AGO.date(),
    "after_id": 1_000,
    "as_of": _WEEK_AGO,
    "builder": query().limit(100),
    "change_types": ["rename"],
    "closed_after": _WEEK_AGO,
    "computed_at_gte": _WEEK_AGO,
    "computed_at_lte": _NOW,
    "created_after": _WEEK_AGO,
    "current_price": Decimal(100),
    "current_symbol": "NEW2000",
    "CyclesRepository.cycle_id": lambda cycle: cycle.id,
    "date": _WEEK_AGO.date(),
    "date_gte": _WEEK_AGO.date(),
    "date_lte": _NOW.date(),
    "days": 30,
    "end": _NOW,
    "end_date": _NOW.date(),
    "environment": Environment.PAPER,
    "ExecutionOrderSnapshotsRepository.find_by_status.status": "New",
    "event_type": "error",
    "event_types": ["error", "order"],
    "exclude_current_bar": True,
    "ExternalEventsRepository.event_type": lambda event: event.event_type,
    "ExternalEventsRepository.symbol": "SYM0007",
    "fetched_at_gte": _WEEK_AGO,
    "fetched_at_lte": _NOW,
    "from_date": _WEEK_AGO.date(),
    "from_time": _WEEK_AGO,
    "historical_symbol": "OLD2000",
    "hours": 24,
    "hours_ahead": 24,
    "include_expired": True,
    "include_flat": True,
    "indicator_names": ["indicator 7", "indicator 8"],
    "iterate.builder": query(),
    "kalshi_ticker": "kalshi_ticker 7",
    "known_at": _WEEK_AGO,
    "impact": ["high"],
    "last_cycle_id": "cycle 7",
    "limit": 50,
    "lookback_hours": 24,
    "max_age_days": 7,
    "max_age_hours": 24,
    "max_value": Decimal("0.9"),
    "min_confidence": Decimal("0.9"),
    "min_divergence": Decimal("0.95"),
    "min_importance": Decimal("0.95"),
    "min_settlement_date": _WEEK_AGO.date(),
    "min_short_pct_float": Decimal("0.95"),
    "min_value": Decimal("0.9"),
    "offset": 20,
    "page": 2,
    "page_size": 50,
    "polymarket_token": "polymarket_token 7",
    "previous_close": _WEEK_AGO,
    "query": "12345",
    "resolved": False,
    "same_timestamp": False,
    "sentiment_score_gte": Decimal("0.9"),
    "sentiment_score_lte": Decimal("0.1"),
    "settlement_date_gte": _WEEK_AGO.date(),
    "settlement_date_lte": _NOW.date(),
    "short_pct_float_gte": Decimal("0.95"),
    "signal_type": "fed_cut_probability",
    "since": _WEEK_AGO,
    "skip_invalid": True,
    "start": _WEEK_AGO,
    "start_date": _WEEK_AGO.date(),
    "states": ["ENTERED", "MANAGING"],
    "symbols": ["SYM0007", "SYM0008", "SYM0009"],
    "ticker": "market 7",
    "resolve_many_to_current.symbols": ["OLD1", "OLD2", "OLD3"],
    "resolve_many_to_historical.symbols": ["NEW1", "NEW2", "NEW3"],
    "to_date": _NOW.date(),
    "to_time": _NOW,
    "until": _NOW,
    "zero_fill": True,
}
"""Values by parameter, perhaps of one method or repository; a function makes one of a stored record.

For other parameters and filters a stored record's value of that name is taken.
"""


_BOUNDED: Final = ("find_all", "find_arrow", "iterate_arrow")
"""Methods that give the whole table when nobody asks for less."""


def _run(method: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    result = method(**arguments)
    if isinstance(result, KeysetPage) and result.next_cursor is not None:
        method(**arguments, after=result.next_cursor)
    elif isinstance(result, AbstractContextManager):
        with result as reader:
            next(iter(reader), None)
    elif isinstance(result, Iterator):
        for _ in islice(result, 2_500):  # some parts of a thousand
            pass


def _sample_of(repository: AnyRepository) -> Any:
    """A record from the middle of the table."""
    key = key_of(repository.row)
    table = table_of(repository.row)
    of_paper = "WHERE environment = 'PAPER'" if "environment" in columns_of(repository.row) else ""
    rows = repository.database.fetch_all(
        f'SELECT "{key.column_name}" FROM "{table}" {of_paper} ORDER BY 1'
        f' OFFSET (SELECT COUNT(*) / 2 FROM "{table}" {of_paper}) LIMIT 1'
    )
    return repository.find(query().equals(key.record_name, rows[0][0]))[0]
