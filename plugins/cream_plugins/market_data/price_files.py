"""Files of price bars: CSV or Parquet, read a part at a time, replaced as a whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Protocol

from cream_store.errors import ConfigurationError, InvalidDataError

_ROWS_AT_ONCE = 1_000


class PriceFile(Protocol):
    """A file with named columns. `done` and `total` tell how much of it was read, in a unit of its own."""

    header: list[str]
    total: int

    @property
    def done(self) -> int: ...

    def lines(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Number and values of each line. Raises InvalidDataError when the file can't be read any further."""
        ...


@contextmanager
def open_prices(path: Path) -> Iterator[PriceFile]:
    """Opens a file, Parquet if its name says so, else CSV. Raises InvalidDataError for a file that is neither."""
    if is_parquet(path):
        yield _ParquetPrices(path)
    else:
        with path.open("rb") as file:
            yield _CsvPrices(path, file)


@contextmanager
def replacing(target: Path | None) -> Iterator[Path | None]:
    """A file to write, which takes the target's place at the end; an error leaves the target as it was."""
    if target is None:
        yield None
        return
    temporary = target.with_name(f"{target.name}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def is_parquet(path: Path) -> bool:
    """Whether the file's name says that it is Parquet."""
    return path.suffix.lower() == ".parquet"


def import_pyarrow() -> Any:
    """The package pyarrow with its Parquet part. Raises ConfigurationError when it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError("Parquet files need pyarrow: pip install 'cream-store[arrow]'") from None
    return pyarrow


class _CsvPrices:
    """Lines of text. The first one names the columns; blank ones don't count."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        # A spreadsheet's CSV may begin with a byte order mark.
        self._lines = csv.reader(TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        self.total = os.fstat(file.fileno()).st_size
        self.header: list[str] = next((line for _, line in self.lines()), [])

    @property
    def done(self) -> int:
        return self._file.tell()

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for line in self._lines:
                if line:
                    yield self._lines.line_num, line
        except (csv.Error, UnicodeDecodeError) as error:
            number = self._lines.line_num + 1
            raise InvalidDataError(f"{self._path}, line {number}: not CSV in UTF-8: {error}") from error


class _ParquetPrices:
    """Rows of a Parquet file, numbered from 1."""

    def __init__(self, path: Path) -> None:
        self._arrow = import_pyarrow()
        try:
            self._file = self._arrow.parquet.ParquetFile(path)
        except self._arrow.ArrowInvalid as error:
            raise InvalidDataError(f"{path}: not a Parquet file: {error}") from error
        self._path = path
        self.header: list[str] = self._file.schema_arrow.names
        self.total: int = self._file.metadata.num_rows
        self.done = 0

    def lines(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        try:
            for batch in self._file.iter_batches(_ROWS_AT_ONCE):
                columns = [self._python_values(column) for column in batch.columns]
                for row in zip(*columns, strict=True):
                    self.done += 1
                    yield self.done, row
        except (self._arrow.ArrowException, OSError) as error:
            raise InvalidDataError(f"{self._path}, after row {self.done}: {error}") from error

    def _python_values(self, column: Any) -> list[Any]:
        types = self._arrow.types
        if types.is_timestamp(column.type):
            # Python's datetimes end at microseconds; a finer time is refused, not cut.
            column = column.cast(self._arrow.timestamp("us", column.type.tz))
        elif types.is_dictionary(column.type):
            column = column.dictionary_decode()
        values: list[Any] = column.to_pylist()
        return values
