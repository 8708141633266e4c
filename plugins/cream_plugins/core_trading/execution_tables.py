"""What the tables of execution recovery share.

An engine acts on what it reads back after a crash. So the environment is always named, a row of the other one is
neither seen nor overwritten, and a stored value that can't be read is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from cream_store import (
    ChoiceField,
    ConfigurationError,
    ConstraintViolationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NumericField,
    QueryBuilder,
    Record,
    TableAccess,
    transactional,
)
from cream_store.queries import Condition
from cream_store.row import key_of, table_of
from cream_store.table_access import chunks
from cream_store.url import Kind

R = TypeVar("R", bound=Record)


class EngineTextField(ChoiceField):
    """Text in the engine's own spelling. Unlike other text of declared values, an undeclared one can't be read."""

    def _decoder(self, kind: Kind) -> Callable[[Any], Any]:
        return self.enum


class EngineNumericField(NumericField):
    """A quantity or price. The NaN that PostgreSQL lets other programs store can't be read."""

    def _decoder(self, kind: Kind) -> Callable[[Any], Any]:
        decode = super()._decoder(kind) or Decimal

        def decode_number(value: Any) -> Decimal:
            number: Decimal = decode(value)
            if number.is_nan():
                raise ValueError("not a number")
            return number

        return decode_number


def named_environment(environment: Environment | str) -> Environment:
    """The environment of rows that a caller names. Raises InvalidDataError for any but PAPER and LIVE."""
    if not isinstance(environment, str):
        raise InvalidDataError(f"an environment is text, got {type(environment).__name__}", columns=("environment",))
    try:
        named = Environment.parse(environment)
    except ConfigurationError as error:
        raise InvalidDataError(str(error), columns=("environment",)) from None
    if named is Environment.TEST:
        raise InvalidDataError("rows belong to PAPER or LIVE, not to TEST", columns=("environment",))
    return named


class SnapshotsAccess(TableAccess[R]):
    """Rows that are saved over and over, each over the last one, found by their key and environment.

    The environment is no part of the key: a row of the other one is in the way, which is an error.
    """

    stamped_on_upsert = ("updated_at",)

    def find_by_id(self, id: str, environment: Environment | str) -> R | None:
        """The record with that key, or None."""
        return self._first(self._with_key(id, environment))

    def find_by_id_or_raise(self, id: str, environment: Environment | str) -> R:
        """The record with that key. Raises NotFoundError."""
        return self.find_by_id(id, environment) or self._raise_not_found(id)

    def exists(self, id: str, environment: Environment | str) -> bool:
        """Whether there is a record with that key, readable or not."""
        return self.count_of(self._with_key(id, environment)) > 0

    def delete(self, id: str, environment: Environment | str) -> bool:
        """Deletes the record with that key; False when there is none."""
        return self._delete(self._with_key(id, environment)) > 0

    def _save(self, record: R) -> R:
        """Saves a record and returns the one that is stored then, which is the stored one if that may not go.

        Raises ConstraintViolationError when a row of the other environment has the key.
        """
        self._guard(record)
        while True:
            if written := self._write([self._stamped(record)], over_stored=True):
                return written[0]
            if kept := self._kept_instead_of([record]):
                return self._decode(kept)[0]
            # else it was deleted between the two statements

    @transactional
    def _save_all(self, records: Iterable[R], environment: Environment | str) -> int:
        """Saves records, all or none, each as `_save` does, and returns how many were given.

        Raises EnvironmentMismatchError for a record of another environment than the named one.
        """
        rounds: list[dict[Any, R]] = []
        given = self._all_of(environment, records)
        for record in self._guarded(given):
            key = self._encoded_key(record)
            # One statement can't write a row twice: a repeated key goes to the next round, where the rule meets it.
            free = next((one for one in rounds if key not in one), None)
            if free is None:
                rounds.append(free := {})
            free[key] = self._stamped(record)
        for one in rounds:
            # In the order of the keys, so that two engines queue instead of locking each other out.
            for chunk in chunks(one[key] for key in sorted(one)):
                written = {self._encoded_key(record) for record in self._write(chunk, over_stored=True)}
                self._kept_instead_of([record for record in chunk if self._encoded_key(record) not in written])
        return len(given)

    def _all_of(self, environment: Environment | str, records: Iterable[R]) -> list[R]:
        """The records, which all belong to the environment. Raises EnvironmentMismatchError."""
        named, given = named_environment(environment), list(records)
        for record in given:
            own = getattr(record, "environment", None)
            if own != named:
                raise EnvironmentMismatchError(
                    f"{table_of(self.row)}: a row of environment {own} was given with the rows of {named}",
                    table=table_of(self.row),
                    columns=("environment",),
                )
        return given

    def _matching(self, environment: Environment | str, **values: Any) -> QueryBuilder:
        """The environment's rows with exactly these values; None matches no row, instead of leaving a condition out."""
        values = {"environment": named_environment(environment), **values}
        return QueryBuilder(tuple(Condition(name, "=", value) for name, value in values.items()))

    def _with_key(self, id: str, environment: Environment | str) -> QueryBuilder:
        return self._matching(environment, **{key_of(self.row).record_name: id})

    def _encoded_key(self, record: R) -> Any:
        key = key_of(self.row)
        return key.encode(getattr(record, key.record_name))

    def _kept_instead_of(self, records: Sequence[R]) -> list[tuple[Any, ...]]:
        """The stored rows that records could not replace. Raises ConstraintViolationError for another environment's."""
        key = key_of(self.row).record_name
        environments = {self._encoded_key(record): getattr(record, "environment", None) for record in records}
        rows = self._select(QueryBuilder().one_of(key, tuple(environments)))
        positions = {name: i for i, name in enumerate(self._columns)}
        for row in rows:
            stored, own = row[positions["environment"]], environments[row[positions[key]]]
            if stored != own:
                table = table_of(self.row)
                raise ConstraintViolationError(
                    f"{table}: {row[positions[key]]} belongs to environment {stored} and can't be stored for {own}",
                    table=table,
                    columns=("environment",),
                )
        return rows
