"""Arrow tables hold the values of records: the same on both databases, exact, of the documented types."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import polars
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cream_store import (
    BigIntegerField,
    BooleanField,
    Changes,
    ChoiceField,
    ConfigurationError,
    Database,
    DayField,
    EnumField,
    Environment,
    Filters,
    ForeignKey,
    IntegerField,
    InvalidDataError,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    Secret,
    SecretField,
    SerialField,
    TextField,
    TimestampField,
    TimestampTextField,
    UUIDField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
)
from cream_store.schema import push
from tests.conftest import BACK_ENDS, templates


class Colour(StrEnum):
    RED = "red"
    GREEN = "GREEN"
    BLUE = "It's 100% blue"


class OwnerRow(Row):
    id = UUIDv7Field(primary_key=True)

    class Meta:
        table_name = "owners"


class SampleRow(Row):
    id = SerialField()
    owner = ForeignKey(OwnerRow, null=True)
    text = TextField(null=True)
    flag = BooleanField(null=True)
    small = IntegerField(null=True)
    big = BigIntegerField(null=True)
    ratio = NumericField(4, 3, null=True)
    price = NumericField(14, 4, null=True)
    value = NumericField(18, 8, null=True)
    volume = NumericField(18, 0, null=True)
    supply = NumericField(30, 0, null=True)
    reference = UUIDField(null=True)
    moment = TimestampField(null=True)
    moment_text = TimestampTextField(null=True)
    day = DayField(null=True)
    choice = ChoiceField(Colour, null=True)
    colour = EnumField(Colour, null=True)
    document = JSONField(dict, null=True, null_as=None)
    items = JSONField(list, null=True)
    counter = IntegerField(null=True, null_as=0)
    total = NumericField(14, 4, null=True, null_as=Decimal(0))
    shade = EnumField(Colour, type_name="colour", null=True, null_as=Colour.RED)
    secret = SecretField(null=True)

    class Meta:
        table_name = "samples"


@record
class Sample(Record):
    id: int | None = None
    owner_id: UUID | None = None
    text: str | None = None
    flag: bool | None = None
    small: int | None = None
    big: int | None = None
    ratio: Decimal | None = None
    price: Decimal | None = None
    value: Decimal | None = None
    volume: int | None = None
    supply: int | None = None
    reference: UUID | None = None
    moment: datetime | None = None
    moment_text: datetime | None = None
    day: datetime | None = None
    choice: Colour | str | None = None
    colour: Colour | None = None
    document: dict[str, Any] | None = None
    items: list[Any] = field(default_factory=list)
    counter: int = 0
    total: Decimal = Decimal(0)
    shade: Colour = Colour.RED
    secret: Secret | None = field(default=None, repr=False)


class Samples(Repository[Sample, Filters, Changes]):
    row = SampleRow


DOCUMENTS = {"document", "items"}
TYPES = {
    "id": pa.int32(),
    "owner_id": pa.string(),
    "text": pa.string(),
    "flag": pa.bool_(),
    "small": pa.int32(),
    "big": pa.int64(),
    "ratio": pa.decimal128(4, 3),
    "price": pa.decimal128(14, 4),
    "value": pa.decimal128(18, 8),
    "volume": pa.int64(),
    "supply": pa.decimal128(30, 0),
    "reference": pa.string(),
    "moment": pa.timestamp("us", tz="UTC"),
    "moment_text": pa.timestamp("us", tz="UTC"),
    "day": pa.timestamp("us", tz="UTC"),
    "choice": pa.string(),
    "colour": pa.dictionary(pa.int8(), pa.string()),
    "document": pa.string(),
    "items": pa.string(),
    "counter": pa.int32(),
    "total": pa.decimal128(14, 4),
    "shade": pa.dictionary(pa.int8(), pa.string()),
}

# The same values in every run, and as many as a quick suite allows.
thoroughly = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class RollBack(Exception):
    """Nothing that a test stores needs to stay."""


@pytest.fixture(scope="module", params=BACK_ENDS)
def scratch(request: pytest.FixtureRequest) -> Iterator[Database]:
    with templates(request.param, ("core-trading",), Environment.TEST).copy() as store:
        push(store.database, [OwnerRow, SampleRow])
        yield store.database


@pytest.fixture
def samples(scratch: Database) -> Iterator[Samples]:
    """Inside a transaction, as every test of this module."""
    with suppress(RollBack), scratch.transaction():
        yield Samples(scratch)
        raise RollBack


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The table's rows, with JSON documents read."""
    return [
        {name: json.loads(value) if name in DOCUMENTS and value else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def values_of(sample: Sample) -> dict[str, Any]:
    """What the table has for a record."""
    values = {name: getattr(sample, name) for name in TYPES}
    return {name: str(value) if isinstance(value, UUID | StrEnum) else value for name, value in values.items()}


def decimals(digits: int, scale: int) -> SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda units: Decimal(units).scaleb(-scale))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")) | st.sampled_from(
    [
        "",
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\\N",
        "\\.",
        "NULL",
        "t",
        "NaN",
        "1",
        " ",
        "a,b\n\"c\"'d'",
        "%s %(x)s ?",
        "\U0001f680",
    ]
)
moments = st.datetimes(timezones=st.just(UTC))
documents = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, max_size=3)

records = st.builds(
    Sample,
    text=st.none() | texts,
    flag=st.none() | st.booleans(),
    small=st.none() | st.integers(-(2**31), 2**31 - 1),
    big=st.none() | st.integers(-(2**63), 2**63 - 1),
    ratio=st.none() | decimals(4, 3),
    price=st.none() | decimals(14, 4),
    value=st.none() | decimals(15, 8) | st.sampled_from([Decimal("9999999999"), Decimal("-0.00000001")]),
    volume=st.none() | st.integers(-(10**18) + 1, 10**18 - 1),
    supply=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    reference=st.none() | st.uuids(),
    moment=st.none() | moments,
    moment_text=st.none() | moments,
    day=st.none() | st.dates().map(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)),
    choice=st.none() | st.sampled_from(Colour),
    colour=st.none() | st.sampled_from(Colour),
    document=st.none() | documents,
    items=st.lists(texts, max_size=3),
    counter=st.integers(0, 9),
    total=decimals(14, 4),
    shade=st.sampled_from(Colour),
)


@thoroughly
@given(given=st.lists(records, max_size=5))
@example(given=[])
@example(given=[Sample()])
@example(given=[Sample(text="x" * 3_000_000), Sample(text=""), Sample(text="y" * 1_500_000)])
def test_a_table_holds_the_values_of_the_records(samples: Samples, given: list[Sample]) -> None:
    samples._delete(query())
    stored = samples.create_many(given)

    table = samples.find_arrow(order_by="id")

    table.validate(full=True)
    assert {name: table.schema.field(name).type for name in table.column_names} == TYPES
    assert rows_of(table) == [values_of(sample) for sample in stored]


@thoroughly
@given(given=st.lists(records, min_size=1, max_size=5), copies=st.sampled_from([1, 40]))
def test_a_table_that_was_read_can_be_written_again(samples: Samples, given: list[Sample], copies: int) -> None:
    samples._delete(query())
    stored = samples.create_many(given * copies)
    table = samples.find_arrow()
    samples._delete(query())

    written = samples.upsert_many(table)

    assert written.inserted == len(stored)
    assert samples.find(query().order_by("id")) == stored


def test_a_number_with_more_digits_than_sqlite_keeps_is_refused_there_in_a_table_too(samples: Samples) -> None:
    fitting, exact = Decimal("12345678.00000001"), Decimal("1000000000")
    table = pa.table({"id": [1, 2], "value": pa.array([exact, fitting], pa.decimal128(18, 8))})
    if samples.database.kind == "sqlite":
        with pytest.raises(InvalidDataError, match=r"samples\.value: 12345678\.00000001 has more digits.*record 2"):
            samples.upsert_many(table)
        table = table.slice(0, 1)
    assert samples.upsert_many(table).inserted == table.num_rows
    assert [one.value for one in samples.find(query().order_by("id"))] == table["value"].to_pylist()


def test_null_is_what_it_is_in_records(samples: Samples) -> None:
    samples.database.change("INSERT INTO samples (text) VALUES (NULL)")
    [row] = rows_of(samples.find_arrow())
    [sample] = samples.find_all()
    assert row == values_of(sample)
    assert (row["text"], row["items"], row["counter"], row["total"], row["shade"]) == (None, [], 0, Decimal(0), "red")


def test_a_lone_column_keeps_its_nulls_and_its_empty_texts(samples: Samples) -> None:
    samples.create_many(Sample(text=text) for text in [None, "", "a", None])
    table = samples.find_arrow(columns=["text"], order_by="id")
    assert table.to_pydict() == {"text": [None, "", "a", None]}


def test_columns_come_in_the_order_in_which_they_are_named(samples: Samples) -> None:
    samples.create(Sample(text="a", price=Decimal("1.5")))
    table = samples.find_arrow(columns=("price", "text", "moment"))
    assert table.to_pylist() == [{"price": Decimal("1.5"), "text": "a", "moment": None}]
    assert samples.find_arrow(columns="text").to_pydict() == {"text": ["a"]}


def test_enums_have_their_members_in_declared_order_whatever_is_stored(samples: Samples) -> None:
    samples.create_many([Sample(colour=Colour.BLUE), Sample(), Sample(colour=Colour.RED)])
    [colours] = samples.find_arrow(columns=["colour"], order_by="id")["colour"].chunks
    assert colours.dictionary.to_pylist() == list(Colour)
    assert colours.indices.to_pylist() == [2, None, 0]


def test_decimals_become_floats_on_request_and_whole_numbers_stay(samples: Samples) -> None:
    samples.create(Sample(price=Decimal("0.1"), value=Decimal("-1234.00000001"), volume=10**18 - 1))
    table = samples.find_arrow(columns=["price", "value", "volume", "supply", "total"], floats=True)
    assert [str(type) for type in table.schema.types] == ["double", "double", "int64", "decimal128(30, 0)", "double"]
    assert table.to_pylist() == [
        {"price": 0.1, "value": -1234.00000001, "volume": 10**18 - 1, "supply": None, "total": 0.0}
    ]


def test_filters_order_and_limit_are_those_of_records(samples: Samples) -> None:
    samples.create_many(Sample(text=text, small=i) for i, text in enumerate(["b", "a", "it's 100%", "a"]))
    table = samples.find_arrow({"text": ["a", "it's 100%"]}, order_by="-small", limit=2, columns=["text", "small"])
    assert table.to_pylist() == [{"text": "a", "small": 3}, {"text": "it's 100%", "small": 2}]


def test_more_rows_than_a_page_has_may_be_asked_for(samples: Samples) -> None:
    samples.create(Sample())
    assert samples.find_arrow(limit=1_000_000).num_rows == 1


def test_conditions_that_no_row_meets_give_an_empty_table_of_the_same_columns(samples: Samples) -> None:
    samples.create(Sample())
    tables = [samples.find_arrow({"text": "nowhere"}), samples.find_arrow({"reference": "no UUID"})]
    assert [table.num_rows for table in tables] == [0, 0]
    assert tables[0].schema == tables[1].schema == samples.find_arrow().schema


def test_secrets_are_left_out_and_refused(samples: Samples) -> None:
    samples.create(Sample(secret=Secret("hunter2")))
    assert "secret" not in samples.find_arrow().column_names
    with pytest.raises(InvalidDataError, match=r"samples\.secret: a secret has no place"):
        samples.find_arrow(columns=["id", "secret"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"columns": ["colr"]},
        {"columns": []},
        {"columns": ["text", "text"]},
        {"limit": 0},
        {"limit": -1},
        {"limit": True},
        {"limit": "5"},
        {"order_by": "colr"},
        {"filters": {"colr": 1}},
    ],
)
def test_arguments_that_make_no_sense_are_refused(samples: Samples, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        samples.find_arrow(**arguments)


@pytest.mark.parametrize(
    ("column", "on_postgresql", "on_sqlite"),
    [
        ("price", "'NaN'", "'a lot'"),
        ("value", "'NaN'", "9e999"),
        ("moment", "'infinity'", "'yesterday'"),
        ("moment_text", "'2024-01-01T00:00:00'", "'2024-01-01T00:00:00'"),
    ],
)
def test_what_other_programs_stored_and_the_column_cannot_mean_is_named(
    samples: Samples, column: str, on_postgresql: str, on_sqlite: str
) -> None:
    literal = on_sqlite if samples.database.kind == "sqlite" else on_postgresql
    samples.create(Sample())
    samples.database.change(f"INSERT INTO samples (text, {column}) VALUES ('it', {literal})")
    with pytest.raises(InvalidDataError, match=rf"samples\.{column}: something stored there can't be read") as raised:
        samples.find_arrow()
    assert raised.value.columns == (column,)
    assert samples.find_arrow(columns=["text"], order_by="id").to_pydict() == {"text": [None, "it"]}


def test_moments_in_text_are_read_as_records_read_them(samples: Samples) -> None:
    for text in ("2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00.123456789Z", "20240101T000000Z"):
        samples.database.change(f"INSERT INTO samples (moment_text) VALUES ('{text}')")
    table = samples.find_arrow(order_by="id")
    assert rows_of(table) == [values_of(sample) for sample in samples.find(query().order_by("id"))]


def test_pandas_and_polars_read_it(samples: Samples) -> None:
    samples.create_many(
        [Sample(price=Decimal("1.5"), colour=Colour.GREEN, moment=datetime(2024, 1, 1, tzinfo=UTC)), Sample()]
    )
    table = samples.find_arrow(columns=["price", "colour", "moment", "owner_id"], order_by="id")

    frame = table.to_pandas()
    assert frame["price"].tolist() == [Decimal("1.5"), None]
    assert frame["colour"].tolist()[0] == "GREEN"
    assert frame["moment"][0] == datetime(2024, 1, 1, tzinfo=UTC)

    assert polars.DataFrame(polars.from_arrow(table)).rows() == [
        (Decimal("1.5"), "GREEN", datetime(2024, 1, 1, tzinfo=UTC), None),
        (None, None, None, None),
    ]


def test_keys_of_other_tables_are_text(samples: Samples) -> None:
    owner = new_id()
    samples.database.change(f"INSERT INTO owners (id) VALUES ('{owner}')")
    samples.create(Sample(owner_id=owner))
    assert samples.find_arrow(columns=["owner_id"]).to_pydict() == {"owner_id": [str(owner)]}


def test_without_pyarrow_it_says_what_to_install(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cream_store.arrow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install cream-store\[arrow\]"):
        samples.find_arrow()
