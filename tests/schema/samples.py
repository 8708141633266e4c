"""Tables to change: customers and their orders, as they are and as they are to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from cream_store import (
    EnumField,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    Row,
    SerialField,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    index,
    unique,
)
from cream_store.backend import Database
from cream_store.schema import Plan, Step, plan, push

OWNER = "shop"


class Status(StrEnum):
    OPEN = "open"
    SENT = "sent"


def make_row(table: str, *, constraints: Any = (), indexes: Any = (), **columns: Any) -> type[Row]:
    """A model of a table; without a key of its own it gets an `id` of text."""
    if not any(column.primary_key for column in columns.values()):
        columns = {"id": TextField(primary_key=True), **columns}
    meta = type("Meta", (), {"table_name": table, "constraints": list(constraints), "indexes": list(indexes)})
    return type(f"{table.title()}Row", (Row,), {"__module__": __name__, **columns, "Meta": meta})


def shop() -> list[type[Row]]:
    """Customers and orders, with one of everything."""
    customers = make_row("customers", name=TextField(), constraints=[unique("customers_name_unique", "name")])
    orders = make_row(
        "orders",
        number=SerialField(),
        customer=ForeignKey(customers, null=True, on_delete="CASCADE"),
        status=EnumField(Status, server_default="open"),
        price=NumericField(10, 4, null=True),
        note=TextField(null=True),
        details=JSONField(dict, null=True, server_default={}),
        created_at=TimestampField(default_now=True),
        constraints=[check("positive_price", "price > 0")],
        indexes=[
            index("idx_orders_status", "status"),
            index("idx_orders_open", "customer_id", where="status = 'open'"),
            index("idx_orders_details", "details", using="gin"),
        ],
    )
    return [customers, orders]


class NewStatus(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    SENT = "sent"


def changed_shop() -> list[type[Row]]:
    """The same with something changed everywhere: no step is blocked, some lose something."""
    customers = make_row(
        "customers",
        name=TextField(null=True),
        email=TextField(null=True),
        constraints=[unique("customers_name_unique", "name", "email")],
    )
    items = make_row("items", id=UUIDv7Field(primary_key=True), customer=ForeignKey(customers))
    orders = make_row(
        "orders",
        number=SerialField(),
        customer=ForeignKey(customers, null=True, on_delete="SET NULL"),
        status=EnumField(NewStatus, type_name="status", server_default="draft"),
        price=NumericField(10, 2, null=True),
        quantity=IntegerField(server_default=1),
        details=JSONField(dict, null=True),
        created_at=TimestampField(default_now=True),
        constraints=[check("positive_price", "price >= 0"), check("positive_quantity", "quantity > 0")],
        indexes=[
            index("idx_orders_status", "status", "created_at"),
            index("idx_orders_open", "customer_id", where="status = 'paid'"),
        ],
    )
    return [customers, items, orders]


def owners_of(rows: list[type[Row]]) -> dict[str, str]:
    """All tables belong to one plugin, so that those it declares no more are found."""
    return {row._meta.table_name: OWNER for row in rows}


def push_shop(database: Database, rows: list[type[Row]], *allow: str, **options: Any) -> Plan:
    """Pushes tables that belong to the shop."""
    return push(database, rows, owners=owners_of(rows), allow=allow, **options)


def plan_shop(database: Database, rows: list[type[Row]], *allow: str) -> Plan:
    """Plans tables that belong to the shop."""
    return plan(database, rows, owners=owners_of(rows), allow=allow)


def push_everything(database: Database, rows: list[type[Row]]) -> Plan:
    """Pushes with all that is refused allowed."""
    return push_shop(database, rows, *(step.name for step in plan_shop(database, rows).refused))


def fill_shop(database: Database) -> None:
    """Three orders of two customers."""
    database.change("INSERT INTO customers (id, name) VALUES ('c1', 'Ann'), ('c2', 'It''s 100% Bob')")
    database.change(
        "INSERT INTO orders (customer_id, status, price, note) VALUES"
        " ('c1', 'open', 10.25, 'first'), ('c2', 'sent', 20.5, 'second'), (NULL, 'open', NULL, NULL)"
    )


def step_named(made: Plan, name: str) -> Step:
    """The step of that name."""
    [step] = [step for step in made.steps if step.name == name]
    return step


def names(steps: tuple[Step, ...]) -> list[str]:
    """The names of steps, in order."""
    return [step.name for step in steps]
