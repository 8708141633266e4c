"""Changing rows: through the repositories, so that their guards and validation hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cream_store.backend import Database
from cream_store.database import with_transaction
from cream_store.environment import Environment
from cream_store.errors import ConstraintViolationError, InvalidDataError, NotFoundError, RepositoryError
from cream_store.fields import (
    EnvironmentField,
    ForeignKey,
    NumericField,
    SerialField,
    SymbolField,
    TextField,
    TimestampField,
)
from cream_store.row import StoredColumn
from cream_store.studio.catalogue import AnyRepository, Table, can_be_typed, holds_json, is_secret, own
from cream_store.studio.values import choices, parse, text_of

Control = Literal["choice", "document", "line", "text"]


@dataclass(slots=True)
class Field:
    """A column in a form."""

    name: str
    control: Control
    kind: str
    """What it takes, in words."""
    text: str = ""
    was: str = ""
    """The text that the form began with."""
    is_null: bool = False
    was_null: bool = False
    may_be_null: bool = False
    is_required: bool = False
    choices: Sequence[str] = ()
    error: str = ""

    @property
    def is_changed(self) -> bool:
        """Whether somebody typed something."""
        return self.is_null != self.was_null or (not self.is_null and self.text != self.was)

    def given(self, column: StoredColumn) -> Any:
        """The value that was typed. Raises InvalidDataError."""
        if self.is_null:
            return None
        return parse(column, self.text)


@dataclass(slots=True)
class Form:
    """What somebody wants a row to be."""

    fields: list[Field]
    error: str = ""
    """What is wrong with no field in particular."""

    @property
    def has_errors(self) -> bool:
        """Whether anything has to be corrected."""
        return bool(self.error or any(one.error for one in self.fields))

    def fill(self, typed: Mapping[str, str]) -> None:
        """Takes what a browser sent: for each field its text, the text before, and whether it is to be empty."""
        for one in self.fields:
            one.text = _lines(typed.get(f"value.{one.name}", ""))
            one.was = _lines(typed.get(f"was.{one.name}", ""))
            one.was_null = f"was-null.{one.name}" in typed
            if one.control == "text":
                # Whoever types a text means it, even if the box that says "none" is still ticked.
                one.is_null = one.may_be_null and f"null.{one.name}" in typed and one.text in ("", one.was)
            else:
                one.is_null = one.may_be_null and not one.text.strip()

    def read(self, table: Table) -> dict[str, Any]:
        """The values of the fields that were changed; notes an error at each that has none."""
        values: dict[str, Any] = {}
        for one in self.fields:
            if one.is_changed:
                try:
                    values[one.name] = one.given(table.columns[one.name])
                    if values[one.name] is not None:
                        table.columns[one.name].encode(values[one.name])
                except InvalidDataError as error:
                    one.error = _reason(error)
            elif one.is_required:
                one.error = "is needed"
        return values

    def note(self, error: RepositoryError, table: Table) -> None:
        """Puts an error at the fields that it is about, or else over the form."""
        concerned = [
            one
            for one in self.fields
            if one.name in error.columns or table.columns[one.name].column_name in error.columns
        ]
        for one in concerned:
            one.error = _reason(error)
        if not concerned:
            self.error = error.message


class Editor:
    """Changes the rows of one table of a database."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    @property
    def can_update(self) -> bool:
        """Whether the table's rows can be changed here."""
        return bool(self._table.changeable) and len(self._table.keys) == 1

    @property
    def can_create(self) -> bool:
        """Whether rows can be added here. A row that needs a secret can't: none is typed into a page."""
        columns = self._table.columns
        return self._table.repository is not None and not any(is_secret(columns[name]) for name in self._required())

    def key(self, text: str) -> Any:
        """The key that a text means. Raises NotFoundError when it can be no row's."""
        try:
            return parse(self._table.column(self._table.keys[0]), text)
        except InvalidDataError:
            raise NotFoundError(f"{self._table.name}: no row with key {text}", table=self._table.name) from None

    def form_of(self, key: Any) -> Form:
        """A form with the changeable values of the row with that key. Raises NotFoundError."""
        stored = self._repository.find_by_id_or_raise(key)
        fields = [self._field(name) for name in self._table.columns if name in self._table.changeable]
        for one in fields:
            value = getattr(stored, one.name)
            one.text = one.was = _lines(text_of(value, indent=2))
            one.is_null = one.was_null = value is None
        return Form(fields)

    def new_form(self) -> Form:
        """A form for a new row. A field that is left as it is has its default."""
        required = self._required()
        form = Form([self._field(name) for name, column in self._table.columns.items() if _can_be_given(column)])
        for one in form.fields:
            one.is_required = one.name in required
            one.is_null = one.was_null = one.may_be_null
            if isinstance(own(self._table.columns[one.name]), EnvironmentField):
                one.text, one.is_null = str(self._database.environment), False
        return form

    def update(self, key: Any, form: Form) -> None:
        """Writes what was changed in a form. What prevents it is noted in the form.

        A value that somebody else changed since the form was opened is not overwritten.
        """
        changes = form.read(self._table)
        if form.has_errors or not changes:
            return
        texts = {one.name: (one.was, one.was_null) for one in form.fields}

        def write() -> None:
            stored = self._repository.find_by_id_or_raise(key)
            for name in changes:
                value = getattr(stored, name)
                if not _is_same(value, *texts[name]):
                    raise ConstraintViolationError(
                        f"was changed meanwhile: it is now {text_of(value) or 'empty'}", columns=(name,)
                    )
            if self._repository.update(key, changes) is None:
                raise NotFoundError(f"{self._table.name}: no row with key {key}", table=self._table.name)

        self._write(form, write)

    def create(self, form: Form) -> Any:
        """Stores a new row and returns its record, or None when the form has errors to correct."""
        values = form.read(self._table)
        if form.has_errors:
            return None
        return self._write(form, lambda: self._repository.create(self._repository.record(**values)))

    def _write(self, form: Form, write: Any) -> Any:
        try:
            # One state of the database: what was compared is what is overwritten, or the transaction runs again.
            return with_transaction(write, self._database, snapshot=True)
        except NotFoundError:
            raise
        except RepositoryError as error:
            form.note(error, self._table)
            return None

    @property
    def _repository(self) -> AnyRepository:
        assert self._table.repository is not None
        return self._table.repository(self._database)

    def _required(self) -> set[str]:
        """The fields of the record that have no default."""
        if self._table.repository is None:
            return set()
        missing = dataclasses.MISSING
        return {
            one.name
            for one in dataclasses.fields(self._table.repository.record)
            if one.default is missing and one.default_factory is missing
        }

    def _field(self, name: str) -> Field:
        column = self._table.columns[name]
        known = choices(column)
        control: Control = "line"
        if known:
            control = "choice"
        elif holds_json(column):
            control = "document"
        elif isinstance(own(column), TextField) and not isinstance(own(column), SymbolField):
            control = "text"
        return Field(name, control, kind=kind_of(column), may_be_null=_may_be_null(column), choices=known)


def kind_of(column: StoredColumn) -> str:
    """What a column holds, in words."""
    match own(column):
        case NumericField() as number if number.scale:
            return f"number with {number.scale} decimals"
        case NumericField():
            return "whole number"
        case TimestampField():
            return "date and time, UTC"
    return {"list": "JSON list", "dict": "JSON object", "str": "text", "int": "whole number", "bool": "yes or no"}.get(
        column.value_type.__name__, "choice" if choices(column) else column.value_type.__name__
    )


def may_write(environment: Environment) -> bool:
    """Whether rows of an environment are ever changed here: PAPER's only."""
    return environment is Environment.PAPER


def _can_be_given(column: StoredColumn) -> bool:
    return can_be_typed(column) and not isinstance(column, SerialField)


def _may_be_null(column: StoredColumn) -> bool:
    """Whether a record tells NULL from every other value."""
    return bool(column.null) and (isinstance(column, ForeignKey) or column.null_as is None)


def _is_same(value: Any, text: str, is_null: bool) -> bool:
    if value is None or is_null:
        return (value is None) == is_null
    return _lines(text_of(value, indent=2)) == text


def _lines(text: str) -> str:
    """Text with the line ends that it has here; browsers send others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _reason(error: RepositoryError) -> str:
    """The error without the column's name, beside which it stands."""
    return error.message.partition(": ")[2] if isinstance(error, InvalidDataError) else error.message
