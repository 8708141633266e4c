"""The studio's pages."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException

from cream_store.environment import Environment
from cream_store.errors import (
    DatabaseConnectionError,
    InvalidDataError,
    NotFoundError,
    RepositoryError,
    StatementCancelledError,
)
from cream_store.fields import ForeignKey
from cream_store.row import StoredColumn
from cream_store.store import Store
from cream_store.studio import charts, views
from cream_store.studio.catalogue import Reference, Table, by_plugin, catalogue, holds_json, is_secret
from cream_store.studio.editor import Editor, Form, kind_of, may_write
from cream_store.studio.gate import HEADERS, Gate, Refused
from cream_store.studio.reader import MOST_EXPORTED, SECONDS, Count, Malformed, Reader, Values
from cream_store.studio.selection import OPERATORS, PAGE_SIZES, Filter, Selection
from cream_store.studio.values import MASK, text_of

logger = logging.getLogger("cream_store.studio")

VIEW_SECONDS: Final = 2.0
"""What each part of the first page may take."""
MOST_COUNTED_AT_ONCE: Final = 10_000
"""Rows of each table that the first page counts at most."""
MOST_COUNTED_REFERRERS: Final = 1_000
LONGEST_CELL: Final = 80
"""Characters of a value in a list at most; the row's own page has all."""
LARGEST_FORM: Final = 8 * 1024**2
"""Bytes that a form may have."""

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class ShownView:
    """A plugin's part of the first page, or why there is none."""

    title: str
    blocks: Sequence[views.Block] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Referrers:
    """The rows of another table that refer to a row."""

    reference: Reference
    filter: Filter
    count: Count | None
    """None when counting them would take too long."""


class Studio:
    """What the pages are made of: a store, its tables, and who may do what."""

    def __init__(self, store: Store, gate: Gate, *, write: bool) -> None:
        self.store = store
        self.gate = gate
        self.tables = catalogue(store.plugins)
        self.can_write = write and may_write(store.environment) and not store.database.location.is_live_fallback

    @property
    def why_read_only(self) -> str:
        """Why nothing can be changed here."""
        if self.store.environment is not Environment.PAPER:
            return f"{self.store.environment} is read-only."
        if self.store.database.location.is_live_fallback:
            return "PAPER has no database of its own here, and LIVE's is read-only."
        return "The studio was started without --write."

    def table(self, name: str) -> Table:
        """The table of that name; a page that says so when there is none."""
        if name not in self.tables:
            abort(HTTPStatus.NOT_FOUND, f"No loaded plugin has a table {name!r}.")
        return self.tables[name]

    def reader(self, table: Table) -> Reader:
        """What reads a table."""
        return Reader(self.store.database, table)

    def editor(self, table: Table) -> Editor:
        """What changes a table; a page that says so when nothing may be changed."""
        if not self.can_write:
            abort(HTTPStatus.FORBIDDEN, self.why_read_only)
        return Editor(self.store.database, table)


def create_app(store: Store, gate: Gate, *, write: bool = False) -> Flask:
    """The studio over a store, as a WSGI application. `write` lets PAPER be changed, and nothing else."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_FORM, MAX_FORM_MEMORY_SIZE=LARGEST_FORM)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    studio = Studio(store, gate, write=write)
    _guard(app, gate)
    _explain_errors(app)
    _help_templates(app, studio)
    _show_first_page(app, studio)
    _show_tables(app, studio)
    _change_rows(app, studio)
    return app


def _guard(app: Flask, gate: Gate) -> None:
    @app.before_request
    def check() -> Response | None:
        gate.check_host(request)
        if request.endpoint == "static":
            return None
        if request.path == "/" and (entered := gate.enter(request)):
            return entered
        gate.check(request)
        return None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


def _explain_errors(app: Flask) -> None:
    def page(title: str, message: str, status: int) -> tuple[str, int]:
        return render_template("message.html", title=title, message=message), status

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple[str, int]:
        message = str(error)
        return render_template("message.html", title="Not allowed", message=message, bare=True), HTTPStatus.FORBIDDEN

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[str, int]:
        return page(error.name, error.description or "", error.code or HTTPStatus.INTERNAL_SERVER_ERROR)

    @app.errorhandler(RepositoryError)
    def store_error(error: RepositoryError) -> tuple[str, int]:
        match error:
            case StatementCancelledError():
                return page("This takes too long", _TOO_LONG, HTTPStatus.GATEWAY_TIMEOUT)
            case NotFoundError():
                return page("Not found", error.message, HTTPStatus.NOT_FOUND)
            case InvalidDataError():
                return page("This makes no sense", error.message, HTTPStatus.BAD_REQUEST)
            case DatabaseConnectionError():
                return page("No database", error.message, HTTPStatus.SERVICE_UNAVAILABLE)
        return page("The database refused", error.message, HTTPStatus.CONFLICT)

    @app.errorhandler(Exception)
    def failure(error: Exception) -> tuple[str, int]:
        logger.error("the studio failed at %s", request.path, exc_info=error)
        message = f"{type(error).__name__}. The terminal that runs the studio shows where."
        return page("The studio failed", message, HTTPStatus.INTERNAL_SERVER_ERROR)


def _help_templates(app: Flask, studio: Studio) -> None:
    app.jinja_env.globals.update(
        MASK=MASK,
        charts=charts,
        database=studio.store.database.url.display,
        environment=studio.store.environment,
        form_token=studio.gate.form_token,
        holds_json=holds_json,
        is_secret=is_secret,
        kind_of=kind_of,
        plugins=by_plugin(studio.tables),
        studio=studio,
        text_of=text_of,
    )
    app.jinja_env.tests.update({block.__name__.lower(): _is_instance_of(block) for block in _SHOWN})

    @app.template_filter()
    def shortened(text: str) -> str:
        return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"

    @app.template_global()
    def breakable(name: str) -> Markup:
        """A name that may be broken behind its underscores."""
        return escape(name).replace("_", Markup("_<wbr>"))

    @app.template_global()
    def kind_class(column: StoredColumn) -> str:
        """The style of a column's values in a list."""
        kind = column.value_type
        if kind in (int, Decimal) and not isinstance(column, ForeignKey):
            return "number"
        return "mono" if kind in (UUID, dict, list) else ""

    @app.template_global()
    def row_address(table: Table, row: Values) -> str | None:
        """The address of a row's page; None for one that no address can name."""
        values = [row[name] for name in table.keys]
        if not values or any(value is None or isinstance(value, Malformed) for value in values):
            return None
        return url_for("row", name=table.name, key=[text_of(value) for value in values])

    @app.template_global()
    def target_address(table: Table, name: str, value: Any) -> str | None:
        """The address of the row that a foreign key's value refers to."""
        column = table.columns[name]
        if value is None or not isinstance(column, ForeignKey) or isinstance(value, Malformed) or is_secret(column):
            return None
        target = next((one for one in studio.tables.values() if one.row is column.rel_model), None)
        if target is None:
            return None
        if target.keys == (column.rel_field.record_name,):
            return url_for("row", name=target.name, key=text_of(value))
        return url_for("rows", name=target.name, where=f"{column.rel_field.record_name} is {text_of(value)}")

    @app.template_global()
    def link_address(link: views.Link) -> str | None:
        """The address of what a view links to; None when no loaded plugin has the table."""
        if link.table not in studio.tables:
            return None
        if link.key is None:
            return url_for("rows", name=link.table)
        return url_for("row", name=link.table, key=text_of(link.key))

    @app.template_global()
    def rows_address(table: Table, selection: Selection) -> str:
        """The address of a list."""
        return url_for("rows", name=table.name, **selection.parameters)


_SHOWN: Final = (views.Facts, views.BarChart, views.LineChart, views.Transcript, views.Link, Malformed)
"""What templates tell apart: `{% if block is barchart %}`."""


def _is_instance_of(kind: type) -> Any:
    return lambda value: isinstance(value, kind)


def _show_first_page(app: Flask, studio: Studio) -> None:
    store = studio.store

    @app.get("/")
    def first_page() -> str:
        shown = {
            plugin.name: [_read_view(store, plugin.name, view) for view in plugin.studio_views]
            for plugin in store.plugins
            if plugin.studio_views
        }
        counts, error = _counts(studio)
        return render_template(
            "first.html", counts=counts, error=error, views=shown, pool=store.pool_stats(), is_first=True
        )


def _read_view(store: Store, plugin: str, view: views.StudioView) -> ShownView:
    own_environment = store.environment
    environment = Environment.PAPER if own_environment is Environment.TEST else own_environment
    try:
        with store.database.read_only(VIEW_SECONDS):
            return ShownView(view.title, view.read(store, environment))
    except StatementCancelledError:
        return ShownView(view.title, error=f"Left out: it takes more than {VIEW_SECONDS:g} seconds.")
    except RepositoryError as error:
        return ShownView(view.title, error=error.message)
    except Exception as error:  # a plugin's mistake must not take the page away from the others
        logger.exception("the studio view %r of plugin %r failed", view.title, plugin)
        return ShownView(view.title, error=f"It failed with {type(error).__name__}; the terminal shows where.")


def _counts(studio: Studio) -> tuple[dict[str, Count | None], str]:
    """How many rows each table has, as far as that can be told quickly: None for a table that does not exist."""
    database = studio.store.database
    counts: dict[str, Count | None] = {}
    try:
        with database.read_only(VIEW_SECONDS):
            existing = set(database.existing_tables(list(studio.tables)))
            for name, table in studio.tables.items():
                exists = name in existing
                counts[name] = studio.reader(table).count(Selection(), MOST_COUNTED_AT_ONCE) if exists else None
    except RepositoryError as error:
        return counts, error.message
    return counts, ""


def _show_tables(app: Flask, studio: Studio) -> None:
    store = studio.store

    @app.get("/tables/<name>")
    def rows(name: str) -> Any:
        table = studio.table(name)
        selection = Selection()
        try:
            selection = _selection(table)
            if request.args.get("column"):
                added = Filter.parse(
                    table, " ".join(request.args.get(part, "") for part in ("column", "operator", "value"))
                )
                return redirect(url_for("rows", name=name, **selection.with_filter(added).parameters))
            counted = None
            with store.database.read_only(SECONDS):
                page = studio.reader(table).page(selection)
                if request.args.get("count"):
                    counted = studio.reader(table).count(selection)
        except InvalidDataError as error:
            return _table_page(table, selection, None, error=error.message), HTTPStatus.BAD_REQUEST
        except StatementCancelledError:
            return _table_page(table, selection, None, error=_TOO_LONG), HTTPStatus.GATEWAY_TIMEOUT
        return _table_page(table, selection, page, counted=counted)

    def _table_page(table: Table, selection: Selection, page: Any, **more: Any) -> str:
        return render_template(
            "table.html",
            table=table,
            selection=selection,
            page=page,
            operators=OPERATORS,
            sizes=PAGE_SIZES,
            can_create=studio.can_write and studio.editor(table).can_create,
            most_exported=MOST_EXPORTED,
            typed=request.args,
            **more,
        )

    @app.get("/tables/<name>/export.csv")
    def export(name: str) -> Response:
        table = studio.table(name)
        rows = studio.reader(table).export(_selection(table).but())
        first = next(rows, None)  # what fails, fails before the file begins
        response = Response(_csv(table, first, rows), mimetype="text/csv")
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        return response

    @app.get("/tables/<name>/row")
    def row(name: str) -> str:
        table = studio.table(name)
        keys = request.args.getlist("key")
        with store.database.read_only(SECONDS):
            found = studio.reader(table).find(keys)
        if found is None:
            raise NotFoundError(f"{name} has no row with the key {', '.join(keys) or '(none given)'}.")
        return render_template(
            "row.html",
            table=table,
            row=found,
            keys=keys,
            referrers=_referrers(studio, table, found),
            can_update=studio.can_write and studio.editor(table).can_update,
            saved="saved" in request.args,
        )


_TOO_LONG = (
    f"This takes the database more than {SECONDS:g} seconds, so it was ended. Filter by a column with an index first:"
    " only then can a large table be searched or sorted by what has none."
)


def _selection(table: Table) -> Selection:
    return Selection.parse(table, request.args, request.args.getlist("where"))


def _referrers(studio: Studio, table: Table, row: Values) -> list[Referrers]:
    """What refers to a row. Where no index helps, the rows are not counted."""
    found: list[Referrers] = []
    for reference in table.referrers:
        value = row[reference.key]
        if value is None or is_secret(reference.table.columns[reference.column]):
            continue
        condition = Filter(reference.column, "is", text_of(value))
        count = None
        if reference.column in reference.table.indexed:
            try:
                with studio.store.database.read_only(SECONDS):
                    reader = studio.reader(reference.table)
                    count = reader.count(Selection(filters=(condition,)), MOST_COUNTED_REFERRERS)
            except RepositoryError:  # the row itself is worth showing all the same
                logger.exception(
                    "what refers to a row of %s from %s can't be counted", table.name, reference.table.name
                )
        found.append(Referrers(reference, condition, count))
    return found


def _csv(table: Table, first: Values | None, rows: Iterator[Values]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    names = [name for name, column in table.columns.items() if not is_secret(column)]
    writer.writerow(names)
    if first is not None:
        writer.writerow(_csv_values(names, first))
    for row in rows:
        writer.writerow(_csv_values(names, row))
        if line.tell() > 64 * 1024:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _csv_values(names: Sequence[str], row: Values) -> list[str]:
    return [_inert(row[name]) for name in names]


def _inert(value: Any) -> str:
    """The value's text; one that a spreadsheet would run as a formula begins with an apostrophe."""
    text = text_of(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA_STARTS) else text


def _change_rows(app: Flask, studio: Studio) -> None:
    @app.get("/tables/<name>/row/edit")
    def edit(name: str) -> str:
        table = studio.table(name)
        editor = _updating_editor(studio, table)
        key = request.args.get("key", "")
        return _form_page(table, editor.form_of(editor.key(key)), key)

    @app.post("/tables/<name>/row/edit")
    def save(name: str) -> Any:
        table = studio.table(name)
        editor = _updating_editor(studio, table)
        key = request.args.get("key", "")
        form = editor.form_of(editor.key(key))
        form.fill(request.form)
        editor.update(editor.key(key), form)
        if form.has_errors:
            return _form_page(table, form, key), HTTPStatus.UNPROCESSABLE_ENTITY
        return redirect(url_for("row", name=name, key=key, saved=1), HTTPStatus.SEE_OTHER)

    @app.get("/tables/<name>/new")
    def new(name: str) -> str:
        table = studio.table(name)
        return _form_page(table, _creating_editor(studio, table).new_form())

    @app.post("/tables/<name>/new")
    def create(name: str) -> Any:
        table = studio.table(name)
        editor = _creating_editor(studio, table)
        form = editor.new_form()
        form.fill(request.form)
        stored = editor.create(form)
        if stored is None:
            return _form_page(table, form), HTTPStatus.UNPROCESSABLE_ENTITY
        key = [text_of(getattr(stored, one)) for one in table.keys]
        address = url_for("row", name=name, key=key, saved=1) if key else url_for("rows", name=name)
        return redirect(address, HTTPStatus.SEE_OTHER)


def _form_page(table: Table, form: Form, key: str | None = None) -> str:
    return render_template("form.html", table=table, form=form, key=key)


def _updating_editor(studio: Studio, table: Table) -> Editor:
    editor = studio.editor(table)
    if not editor.can_update:
        abort(HTTPStatus.FORBIDDEN, f"Rows of {table.name} are not changed by hand: its repository has other ways.")
    return editor


def _creating_editor(studio: Studio, table: Table) -> Editor:
    editor = studio.editor(table)
    if not editor.can_create:
        abort(HTTPStatus.FORBIDDEN, f"Rows of {table.name} are not made by hand: they need a secret, or a repository.")
    return editor
