"""What a column can hold comes back equal; what it can't hold is refused, and nothing is stored."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_UP, Decimal, localcontext
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cream_store import (
    BigIntegerField,
    BooleanField,
    Changes,
    ChoiceField,
    Database,
    EnumField,
    Environment,
    EnvironmentField,
    Filters,
    IntegerField,
    InvalidDataError,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    Secret,
    SecretField,
    SymbolField,
    TextField,
    TimestampField,
    UUIDField,
    UUIDv7Field,
    field,
    fields,
    new_id,
    query,
    record,
)
from cream_store.fields import DayField, SymbolsField, TimestampTextField
from cream_store.schema import push
from tests.conftest import BACK_ENDS, templates

# The same values in every run, and as many as a quick suite allows.
thoroughly = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Colour(StrEnum):
    RED = "red"
    GREEN = "GREEN"
    BLUE = "It's 100% blue"


class Old(str, Enum):  # noqa: UP042  # a kind that many programs have: `str` gives its name, not its value
    ONE = "one"


class EveryTypeRow(Row):
    id = UUIDv7Field(primary_key=True)
    text = TextField(null=True)
    symbol = SymbolField(null=True)
    flag = BooleanField(null=True)
    small = IntegerField(null=True)
    big = BigIntegerField(null=True)
    numeric_4_3 = NumericField(4, 3, null=True)
    numeric_14_4 = NumericField(14, 4, null=True)
    numeric_16_2 = NumericField(16, 2, null=True)
    numeric_18_0 = NumericField(18, 0, null=True)
    numeric_18_8 = NumericField(18, 8, null=True)
    numeric_30_0 = NumericField(30, 0, null=True)
    reference = UUIDField(null=True)
    moment = TimestampField(null=True)
    moment_text = TimestampTextField(null=True)
    choice = ChoiceField(Colour, null=True)
    colour = EnumField(Colour, null=True)
    environment = EnvironmentField(null=True)
    document = JSONField(dict, null=True)
    items = JSONField(list, null=True)
    symbols = SymbolsField(null=True)
    day = DayField(null=True)
    secret = SecretField(null=True)

    class Meta:
        table_name = "every_type"


@record
class EveryType(Record):
    id: UUID = field(default_factory=new_id)
    text: str | None = None
    symbol: str | None = None
    flag: bool | None = None
    small: int | None = None
    big: int | None = None
    numeric_4_3: Decimal | None = None
    numeric_14_4: Decimal | None = None
    numeric_16_2: Decimal | None = None
    numeric_18_0: int | None = None
    numeric_18_8: Decimal | None = None
    numeric_30_0: int | None = None
    reference: UUID | None = None
    moment: datetime | None = None
    moment_text: datetime | None = None
    choice: Colour | str | None = None
    colour: Colour | None = None
    environment: Environment | None = None
    document: dict[str, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    day: datetime | None = None
    secret: Secret | None = field(default=None, repr=False)


class EveryTypeRepository(Repository[EveryType, Filters, Changes]):
    row = EveryTypeRow


NUMERICS = [column for column in vars(EveryTypeRow)["_meta"].sorted_fields if isinstance(column, NumericField)]


@pytest.fixture(scope="module", params=BACK_ENDS[:2])
def scratch(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with a table that has a column of every type, on SQLite and on the newest PostgreSQL."""
    with templates(request.param, ("core-trading",), Environment.TEST).copy() as store:
        push(store.database, [EveryTypeRow])
        yield store.database


class RollBack(Exception):
    """Nothing that a test stores needs to stay."""


@pytest.fixture
def repository(scratch: Database) -> Iterator[EveryTypeRepository]:
    with suppress(RollBack), scratch.transaction():
        yield EveryTypeRepository(scratch)
        raise RollBack


def stored(repository: EveryTypeRepository, column: str, value: Any) -> Any:
    """What comes back of a value: the same from the statement that stores it and from one that reads it."""
    created = repository.create(EveryType(**{column: value}))
    assert repository.find_by_id(created.id) == created
    return getattr(created, column)


def assert_refused(repository: EveryTypeRepository, column: str, value: Any) -> None:
    """Asserts that a value is refused with an error that says where, and that nothing is stored."""
    given = EveryType(**{column: value})
    with pytest.raises(InvalidDataError) as refused:
        repository.create(given)
    assert refused.value.table == "every_type"
    assert refused.value.columns == (column,)
    assert f"every_type.{column}" in str(refused.value)
    assert repository.find_by_id(given.id) is None


def is_sqlite(repository: EveryTypeRepository) -> bool:
    return repository.database.kind == "sqlite"


def kind(value: object) -> str:
    """A name for a test's parameter."""
    return type(value).__name__


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


class TestText:
    @thoroughly
    @given(text=texts)
    @example(text="")
    @example(text=" \t\n\r")
    @example(text='it\'s "quoted" \\ %s %(name)s ? :x -- ; DROP')
    @example(text="\U0001f680 e\u0301 \u202e \ufeff \uffff \x01\x1f\x7f\x85\u2028")
    @example(text="0")
    @example(text="1e3")
    @example(text="x" * 100_000)
    def test_text_comes_back(self, repository: EveryTypeRepository, text: str) -> None:
        assert stored(repository, "text", text) == text

    @pytest.mark.parametrize(
        "value", ["a\x00b", "\x00", "half of \ud83d a pair", "\udc80", b"bytes", 5, True, ["text"]]
    )
    def test_what_is_no_text_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "text", value)

    def test_a_member_of_any_enum_of_text_is_its_value(self, repository: EveryTypeRepository) -> None:
        assert stored(repository, "text", Old.ONE) == "one"
        assert stored(repository, "text", Colour.RED) == "red"

    @thoroughly
    @given(text=texts.filter(str.strip))
    def test_a_symbol_is_stripped_and_in_upper_case(self, repository: EveryTypeRepository, text: str) -> None:
        assert stored(repository, "symbol", text) == text.strip().upper()
        assert stored(repository, "symbol", text.strip().upper()) == text.strip().upper()

    @pytest.mark.parametrize("value", ["", "  ", "\u3000\n", "A\x00", "\ud83d", 5])
    def test_what_is_no_symbol_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "symbol", value)


class TestSymbols:
    @thoroughly
    @given(symbols=st.lists(texts.filter(str.strip), max_size=4))
    def test_each_is_stripped_and_in_upper_case(self, repository: EveryTypeRepository, symbols: list[str]) -> None:
        assert stored(repository, "symbols", symbols) == [symbol.strip().upper() for symbol in symbols]

    @pytest.mark.parametrize(
        "value", [[""], ["A", " "], ["A", 5], ["A", None], ["A\x00"], ["\ud83d"], "A", ("A",), {"A": 1}]
    )
    def test_what_is_no_list_of_symbols_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "symbols", value)


class TestSecrets:
    @thoroughly
    @given(text=texts)
    @example(text="it's")
    def test_a_secret_comes_back(self, repository: EveryTypeRepository, text: str) -> None:
        assert stored(repository, "secret", Secret(text)) == Secret(text)
        assert stored(repository, "secret", text).reveal() == text

    @pytest.mark.parametrize(
        "value", ["hunter2\x00", Secret("hunter2\x00"), "hunter2\ud83d", b"hunter2", ["hunter2"], 5]
    )
    def test_what_is_no_secret_is_refused_without_being_told(
        self, repository: EveryTypeRepository, value: object
    ) -> None:
        assert_refused(repository, "secret", value)
        with pytest.raises(InvalidDataError) as refused:
            repository.create(EveryType(secret=value))  # type: ignore[arg-type]  # that is the test
        assert "hunter2" not in "".join(traceback.format_exception(refused.value))


class TestWholeNumbers:
    @thoroughly
    @given(number=st.integers(-(2**31), 2**31 - 1))
    @example(number=0)
    @example(number=-(2**31))
    @example(number=2**31 - 1)
    def test_32_bits_come_back(self, repository: EveryTypeRepository, number: int) -> None:
        assert stored(repository, "small", number) == number

    @thoroughly
    @given(number=st.integers(-(2**63), 2**63 - 1))
    @example(number=-(2**63))
    @example(number=2**63 - 1)
    def test_64_bits_come_back(self, repository: EveryTypeRepository, number: int) -> None:
        assert stored(repository, "big", number) == number

    def test_a_member_of_an_enum_of_numbers_is_its_value(self, repository: EveryTypeRepository) -> None:
        class Level(IntEnum):
            HIGH = 3

        assert stored(repository, "small", Level.HIGH) == 3

    @pytest.mark.parametrize(
        "value", [True, False, 1.0, Decimal(1), "1", math.nan, 2**31, -(2**31) - 1, 10**5000], ids=kind
    )
    def test_what_does_not_fit_32_bits_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "small", value)

    @pytest.mark.parametrize("value", [True, 1.0, 2**63, -(2**63) - 1])
    def test_what_does_not_fit_64_bits_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "big", value)

    @pytest.mark.parametrize("value", [True, False])
    def test_truth_comes_back(self, repository: EveryTypeRepository, value: bool) -> None:
        assert stored(repository, "flag", value) is value

    @pytest.mark.parametrize("value", [0, 1, "true", "", 1.0])
    def test_what_is_not_true_or_false_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "flag", value)


def numbers(column: NumericField, digits: int, digits_with_zeros: int) -> SearchStrategy[Decimal]:
    """Numbers with so many significant digits that the column can hold, of all sizes."""
    steps = st.integers(1, 10**digits - 1).flatmap(
        lambda significant: st.integers(0, digits_with_zeros - len(str(significant))).map(
            lambda zeros: significant * 10**zeros
        )
    )
    signed = st.tuples(st.sampled_from([1, -1]), steps).map(lambda pair: pair[0] * pair[1]) | st.just(0)
    return signed.map(lambda count: Decimal(f"{count}E-{column.scale}"))


def exact_digits(column: NumericField, repository: EveryTypeRepository) -> int:
    """How many significant digits the back end can hold."""
    return min(column.precision, 15) if is_sqlite(repository) and column.scale else width(column, repository)


def width(column: NumericField, repository: EveryTypeRepository) -> int:
    """How many digits the back end can hold, zeros included: SQLite's whole numbers have 63 bits."""
    return min(column.precision, 18) if is_sqlite(repository) and not column.scale else column.precision


def largest(column: NumericField) -> Decimal:
    """The largest number of the column's precision."""
    return Decimal(f"{10**column.precision - 1}E-{column.scale}")


@pytest.mark.parametrize("column", NUMERICS, ids=lambda column: column.column_name)
class TestNumerics:
    @thoroughly
    @given(data=st.data())
    def test_what_fits_comes_back(
        self, repository: EveryTypeRepository, column: NumericField, data: st.DataObject
    ) -> None:
        number = data.draw(numbers(column, exact_digits(column, repository), width(column, repository)))
        result = stored(repository, column.column_name, number)
        assert result == number
        assert type(result) is column.value_type
        if isinstance(result, Decimal):
            assert -result.as_tuple().exponent == column.scale  # type: ignore[operator]  # finite, so it is a number

    def test_the_extremes_come_back(self, repository: EveryTypeRepository, column: NumericField) -> None:
        digits = exact_digits(column, repository)
        extreme = Decimal("9" * digits + "0" * (width(column, repository) - digits) + f"E-{column.scale}")
        smallest = Decimal(f"1E-{column.scale}")
        for number in (
            extreme,
            extreme.copy_negate(),
            smallest,
            -smallest,
            Decimal(0),
            Decimal("-0"),
            Decimal("0E+10"),
        ):
            assert stored(repository, column.column_name, number) == number
        assert str(stored(repository, column.column_name, Decimal("-0"))) == str(Decimal(f"0E-{column.scale}"))

    def test_other_spellings_of_a_number_are_that_number(
        self, repository: EveryTypeRepository, column: NumericField
    ) -> None:
        places = width(column, repository) - column.scale - 1
        for spelling in (
            f"1E{places}",
            f"-1E{places}",
            f"{Decimal(f'1E{places}'):f}",
            f"{Decimal(f'1E{places}'):f}".rstrip("0"),
        ):
            assert stored(repository, column.column_name, Decimal(spelling)) == Decimal(f"{spelling}")

    def test_whole_numbers_are_taken(self, repository: EveryTypeRepository, column: NumericField) -> None:
        assert stored(repository, column.column_name, 0) == 0
        if column.precision > column.scale:
            assert stored(repository, column.column_name, -9) == -9

    @thoroughly
    @given(data=st.data())
    def test_what_does_not_fit_is_refused(
        self, repository: EveryTypeRepository, column: NumericField, data: st.DataObject
    ) -> None:
        sign = data.draw(st.sampled_from(["", "-"]))
        too_large = data.draw(st.integers(10**column.precision, 10 ** (column.precision + 40)))
        assert_refused(repository, column.column_name, Decimal(f"{sign}{too_large}E-{column.scale}"))
        too_fine, places = data.draw(st.integers(0, 10 ** (column.precision - 1) - 1)), data.draw(st.integers(1, 30))
        assert_refused(repository, column.column_name, Decimal(f"{sign}{too_fine}1E-{column.scale + places}"))

    def test_what_is_no_exact_number_is_refused(self, repository: EveryTypeRepository, column: NumericField) -> None:
        for text in ("NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1E+400", "1E-400", "1E+999999", "1E-999999"):
            assert_refused(repository, column.column_name, Decimal(text))
        for value in (0.0, 0.5, math.nan, math.inf, True, False, "1", b"1", 1j):
            assert_refused(repository, column.column_name, value)

    def test_digits_that_sqlite_would_lose_are_refused_there(
        self, repository: EveryTypeRepository, column: NumericField
    ) -> None:
        number = largest(column)
        if exact_digits(column, repository) == column.precision:
            assert stored(repository, column.column_name, number) == number
            return
        for refused in (number, -number, number - Decimal(f"8E-{column.scale}")):
            assert_refused(repository, column.column_name, refused)

    def test_the_callers_decimal_context_does_not_matter(
        self, repository: EveryTypeRepository, column: NumericField
    ) -> None:
        digits = exact_digits(column, repository)
        number = Decimal("7" * digits + "0" * (width(column, repository) - digits) + f"E-{column.scale}")
        with localcontext(prec=3):
            assert stored(repository, column.column_name, number) == number
            if digits < column.precision:
                assert_refused(repository, column.column_name, largest(column))


@pytest.mark.parametrize(
    ("column", "number", "rounded"),
    [
        (EveryTypeRow.numeric_14_4, "1.00005", "1.0000"),
        (EveryTypeRow.numeric_14_4, "1.00015", "1.0002"),
        (EveryTypeRow.numeric_14_4, "-0.00005", "-0.0000"),
        (EveryTypeRow.numeric_14_4, "9999999999.99994", "9999999999.9999"),
        (EveryTypeRow.numeric_14_4, "9999999999.99995", None),
        (EveryTypeRow.numeric_14_4, "1e400", None),
        (EveryTypeRow.numeric_18_8, "1e-400", "0E-8"),
        (EveryTypeRow.numeric_18_0, "2.5", "2"),
    ],
)
def test_a_number_is_rounded_half_even_to_what_its_column_holds(
    column: NumericField, number: str, rounded: str | None
) -> None:
    with localcontext(prec=5, rounding=ROUND_UP):  # however the caller calculates
        found = column.rounded(Decimal(number))
    assert (None if found is None else str(found)) == rounded


class Nowhere(tzinfo):
    """A time zone that doesn't know its offset: its times are naive ones."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "nowhere"


offsets = st.builds(
    lambda seconds: timezone(timedelta(seconds=seconds)), st.integers(-86_399, 86_399)
) | st.sampled_from([UTC, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("Europe/Berlin")])

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
# Without a time zone, and far enough from the ends for every one.
SECOND_DAY, LAST_DAY = datetime(1, 1, 2), datetime(9999, 12, 31)  # noqa: DTZ001


@pytest.mark.parametrize("column", ["moment", "moment_text"])
class TestMoments:
    @thoroughly
    @given(moment=st.datetimes(SECOND_DAY, LAST_DAY, timezones=offsets))
    @example(moment=FIRST)
    @example(moment=LAST)
    @example(moment=datetime(2024, 1, 1, 12, 30, 0, 1, tzinfo=UTC))
    @example(moment=datetime(2024, 1, 1, 12, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=45))))
    @example(moment=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    @example(moment=datetime(2024, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=0))
    @example(moment=datetime(2024, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=1))
    @example(moment=datetime(1890, 1, 1, tzinfo=ZoneInfo("America/New_York")))
    def test_a_moment_comes_back_in_utc(self, repository: EveryTypeRepository, column: str, moment: datetime) -> None:
        result = stored(repository, column, moment)
        # Converted first: Python calls a time that its zone has twice different from every other zone's times.
        assert result == moment.astimezone(UTC)
        assert result.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2024, 1, 1),  # noqa: DTZ001  # naive on purpose
            datetime(2024, 1, 1, tzinfo=Nowhere()),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-1))),
            date(2024, 1, 1),
            "2024-01-01T00:00:00Z",
            1_700_000_000,
        ],
        ids=kind,
    )
    def test_what_is_no_moment_is_refused(self, repository: EveryTypeRepository, column: str, value: object) -> None:
        assert_refused(repository, column, value)

    def test_stored_moments_sort_by_time(self, repository: EveryTypeRepository, column: str) -> None:
        moments = [
            FIRST,
            datetime(999, 1, 1, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
            LAST - timedelta.resolution,
            LAST,
        ]
        in_no_order: list[dict[str, Any]] = [{column: moment} for moment in reversed(moments)]
        repository.create_many(EveryType(**given) for given in in_no_order)
        assert [getattr(found, column) for found in repository.find_all(order_by=column)] == moments


class TestDays:
    @thoroughly
    @given(day=st.dates())
    @example(day=date.min)
    @example(day=date.max)
    def test_a_day_comes_back_as_its_first_moment(self, repository: EveryTypeRepository, day: date) -> None:
        first_moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert stored(repository, "day", day) == first_moment
        assert stored(repository, "day", first_moment) == first_moment

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            datetime(2024, 1, 1, 12, tzinfo=UTC),
            datetime(2024, 1, 1, tzinfo=ZoneInfo("America/New_York")),
            SECOND_DAY,
            "2024-01-01",
        ],
        ids=kind,
    )
    def test_another_time_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "day", value)


class TestIdentifiers:
    @thoroughly
    @given(identifier=st.uuids())
    @example(identifier=UUID(int=0))
    @example(identifier=UUID(int=2**128 - 1))
    def test_a_uuid_comes_back(self, repository: EveryTypeRepository, identifier: UUID) -> None:
        assert stored(repository, "reference", identifier) == identifier
        assert stored(repository, "reference", str(identifier).upper()) == identifier

    @pytest.mark.parametrize("value", ["", "nope", "0" * 33, 0, b"0" * 16, "\x00" * 32])
    def test_what_is_no_uuid_is_refused(self, repository: EveryTypeRepository, value: object) -> None:
        assert_refused(repository, "reference", value)


class TestValueSets:
    @pytest.mark.parametrize("column", ["colour", "choice"])
    @pytest.mark.parametrize("colour", list(Colour))
    def test_a_value_comes_back_as_a_member(self, repository: EveryTypeRepository, column: str, colour: Colour) -> None:
        assert stored(repository, column, colour) is colour
        assert stored(repository, column, colour.value) is colour

    @pytest.mark.parametrize("column", ["colour", "choice", "environment"])
    @pytest.mark.parametrize(
        "value", ["yellow", "RED", "", "red ", 0, None.__class__, ["red"], "red\x00", "\ud83d"], ids=kind
    )
    def test_an_undeclared_value_is_refused(self, repository: EveryTypeRepository, column: str, value: object) -> None:
        assert_refused(repository, column, value)

    @pytest.mark.parametrize("environment", [Environment.PAPER, Environment.LIVE])
    def test_an_environment_comes_back(self, repository: EveryTypeRepository, environment: Environment) -> None:
        assert stored(repository, "environment", environment) is environment

    def test_rows_belong_to_paper_or_live_only(self, repository: EveryTypeRepository) -> None:
        assert_refused(repository, "environment", Environment.TEST)

    def test_an_undeclared_text_of_another_program_reads_as_text(self, repository: EveryTypeRepository) -> None:
        created = repository.create(EveryType(choice=Colour.RED))
        repository.database.change("UPDATE every_type SET choice = 'mauve'")
        assert repository.find_by_id_or_raise(created.id).choice == "mauve"


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def same(one: Any, other: Any) -> bool:
    """Equal, where True is not 1."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def nested(levels: int, innermost: Any) -> list[Any]:
    """Lists within lists, so many levels deep."""
    document = [innermost]
    for _ in range(levels - 1):
        document = [document]
    return document


class TestDocuments:
    @thoroughly
    @given(items=st.lists(documents, max_size=5))
    @example(items=[])
    @example(items=[0, 0.0, -0.0, "", False, None, [], {}])
    @example(items=[1.5e300, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e16, 1e22, 1e23, 0.1])
    @example(items=[9007199254740993, 9999999999999998.0, 123456789012345680.0, 10**4000, -(10**400)])
    @example(items=["it's", '"', "\\", "\\u0000", "\u2028", "\U0001f680", "%s", "null", "{}"])
    def test_a_list_comes_back(self, repository: EveryTypeRepository, items: list[Any]) -> None:
        assert same(stored(repository, "items", items), items)

    @thoroughly
    @given(document=st.dictionaries(texts, documents, max_size=5))
    @example(document={})
    @example(document={"": 1, " ": 2, "a.b": 3, "$": 4, "'": 5, '"': 6})
    def test_an_object_comes_back(self, repository: EveryTypeRepository, document: dict[str, Any]) -> None:
        assert same(stored(repository, "document", document), document)

    def test_members_of_enums_are_their_values(self, repository: EveryTypeRepository) -> None:
        document: dict[str, Any] = {Old.ONE: Old.ONE, Colour.RED: [Colour.GREEN]}
        assert stored(repository, "document", document) == {"one": "one", "red": ["GREEN"]}

    @pytest.mark.parametrize("innermost", [1, "x", None, [], {}], ids=kind)
    def test_200_levels_come_back(self, repository: EveryTypeRepository, innermost: Any) -> None:
        levels = 199 if isinstance(innermost, list | dict) else 200
        assert stored(repository, "items", nested(levels, innermost)) == nested(levels, innermost)

    @pytest.mark.parametrize("innermost", [1, [], {"a": 1}], ids=kind)
    def test_deeper_ones_are_refused(self, repository: EveryTypeRepository, innermost: Any) -> None:
        levels = 200 if isinstance(innermost, list | dict) else 201
        assert_refused(repository, "items", nested(levels, innermost))
        assert_refused(repository, "items", nested(100_000, innermost))

    def test_a_document_within_itself_is_refused(self, repository: EveryTypeRepository) -> None:
        endless: list[Any] = []
        endless.append(endless)
        assert_refused(repository, "items", endless)

    @pytest.mark.parametrize(
        "item",
        [
            *(math.nan, math.inf, -math.inf, Decimal(1), 1j, b"x", (1, 2), {1}, object(), 10**5000),
            *(
                datetime(2024, 1, 1, tzinfo=UTC),
                UUID(int=1),
                "\x00",
                "\ud83d",
                {"\x00": 1},
                {"\udc80": 1},
                {1: 1},
                {None: 1},
            ),
        ],
        ids=kind,
    )
    def test_what_has_no_place_in_json_is_refused(self, repository: EveryTypeRepository, item: object) -> None:
        assert_refused(repository, "items", [1, {"a": [item]}])

    @pytest.mark.parametrize(("column", "value"), [("items", {}), ("items", "[]"), ("document", []), ("document", 1)])
    def test_a_document_of_another_kind_is_refused(
        self, repository: EveryTypeRepository, column: str, value: object
    ) -> None:
        assert_refused(repository, column, value)

    def test_nothing_stored_reads_as_an_empty_document(self, repository: EveryTypeRepository) -> None:
        created = repository.create(EveryType(document={"a": 1}, items=[1]))
        repository.update(created.id, {"document": None, "items": None})
        found = repository.find_by_id_or_raise(created.id)
        assert (found.document, found.items) == ({}, [])

    def test_an_empty_document_belongs_to_one_record(self, repository: EveryTypeRepository) -> None:
        one, other = repository.create(EveryType()), repository.create(EveryType())
        repository.update(one.id, {"items": None})
        repository.update(other.id, {"items": None})
        repository.find_by_id_or_raise(one.id).items.append(1)
        assert repository.find_by_id_or_raise(other.id).items == []


class TestMissingAndEmpty:
    def test_missing_values_come_back_as_missing(self, repository: EveryTypeRepository) -> None:
        empty = EveryType()
        assert repository.create(empty) == empty

    def test_zero_false_and_empty_are_values(self, repository: EveryTypeRepository) -> None:
        zeros = EveryType(text="", flag=False, small=0, big=0, numeric_14_4=Decimal(0), numeric_18_0=0)
        assert repository.create(zeros) == zeros
        assert repository.update(repository.create(EveryType()).id, {"text": "", "flag": False, "small": 0}).small == 0
        assert repository.count({"flag": False}) == 2
        assert repository.count({"small": 0}) == 2
        assert repository.count({"numeric_14_4": Decimal(0)}) == 1


def test_every_type_of_column_is_tested_here() -> None:
    types = {
        one
        for one in vars(fields).values()
        if isinstance(one, type) and issubclass(one, fields.Column) and not one.__name__.startswith("_")
    }
    tested = {type(column) for column in vars(EveryTypeRow)["_meta"].sorted_fields}
    assert types - tested == {fields.Column, fields.SerialField}  # a serial number is a key, which this table has


@dataclass(frozen=True)
class Sample:
    """A value and the column that holds it."""

    column: str
    value: Any


SAMPLES = [
    Sample("text", "it's"),
    Sample("symbol", "BRK.B"),
    Sample("flag", True),
    Sample("small", -5),
    Sample("big", 2**62),
    Sample("numeric_14_4", Decimal("0.1")),
    Sample("numeric_18_8", Decimal("1234567890.12345")),
    Sample("numeric_18_0", 123_456_789_012_345_678),
    Sample("reference", UUID(int=7)),
    Sample("moment", datetime(2024, 1, 1, 12, 30, 0, 1, tzinfo=UTC)),
    Sample("moment_text", datetime(2024, 1, 1, 12, 30, 0, 1, tzinfo=UTC)),
    Sample("choice", Colour.BLUE),
    Sample("colour", Colour.BLUE),
    Sample("environment", Environment.LIVE),
    Sample("secret", Secret("it's")),
    Sample("day", datetime(2024, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.column)
def test_a_stored_value_is_found_again(repository: EveryTypeRepository, sample: Sample) -> None:
    created = repository.create(EveryType(**{sample.column: sample.value}))
    repository.create(EveryType())
    assert repository.find_all({sample.column: sample.value}) == [created]
    assert repository.find(query().one_of(sample.column, [sample.value])) == [created]


UNSTORABLE: dict[str, Any] = {sample.column: object() for sample in SAMPLES} | {
    "text": "\x00",
    "moment": SECOND_DAY,
    "items": [{}.keys()],
}


@pytest.mark.parametrize("column", UNSTORABLE)
def test_no_way_of_writing_takes_what_cant_be_stored(repository: EveryTypeRepository, column: str) -> None:
    there = repository.create(EveryType())
    bad = EveryType(**{column: UNSTORABLE[column]})
    for write in (
        lambda: repository.create_many([EveryType(), bad]),
        lambda: repository.upsert(bad),
        lambda: repository.upsert(bad.replace(id=there.id)),
        lambda: repository.upsert_many([EveryType(), bad]),
        lambda: repository.update(there.id, {column: UNSTORABLE[column]}),
    ):
        with pytest.raises(InvalidDataError, match=f"every_type.{column}") as refused:
            write()
        assert (refused.value.table, refused.value.columns) == ("every_type", (column,))
    assert repository.find_all() == [there]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.column)
def test_peewees_own_queries_hold_to_the_same_rules(repository: EveryTypeRepository, sample: Sample) -> None:
    EveryTypeRow.insert({sample.column: sample.value}).execute(repository.database)
    column = getattr(EveryTypeRow, sample.column)
    [row] = EveryTypeRow.select().where(column == sample.value).execute(repository.database)
    assert getattr(row, sample.column) == sample.value
    with pytest.raises(InvalidDataError):
        EveryTypeRow.insert({sample.column: object()}).execute(repository.database)
