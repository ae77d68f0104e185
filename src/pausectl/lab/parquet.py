# SPDX-License-Identifier: Apache-2.0
"""Parquet as records, batch by batch. The one module that needs pyarrow (extra `lab`); `table` imports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

from pausectl.errors import Malformed, UsageFault


def records(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One dict a row; a time column of a timestamp type comes as milliseconds."""
    try:
        file = parquet.ParquetFile(path)
        missing = set(columns) - set(file.schema_arrow.names)
        if missing:
            raise Malformed(
                f"expected the columns {', '.join(columns)}, without {', '.join(sorted(missing))}", where=str(path)
            )
        for batch in file.iter_batches(columns=list(columns)):
            times = batch.schema.field("time_ms").type
            if pa.types.is_timestamp(times):
                batch = batch.set_column(  # noqa: PLW2901
                    batch.schema.get_field_index("time_ms"), "time_ms",
                    batch.column("time_ms").cast(pa.timestamp("ms")).cast(pa.int64()),
                )  # fmt: skip
            yield from batch.to_pylist()
    except FileNotFoundError as error:
        raise UsageFault("no such file", where=str(path)) from error
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column name that is no UTF-8
        raise Malformed(f"expected Parquet: {error}", where=str(path)) from error


def header(path: Path) -> list[str]:
    """Names of its columns."""
    try:
        return list(parquet.ParquetFile(path).schema_arrow.names)
    except FileNotFoundError as error:
        raise UsageFault("no such file", where=str(path)) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Malformed(f"expected Parquet: {error}", where=str(path)) from error


def cells(path: Path, columns: Sequence[str], where: Mapping[str, Sequence[str]]) -> Iterator[tuple[int, list[Any]]]:
    """Row number and its cells, of the rows whose columns named in `where` have one of the texts there.

    A dictionary is decoded, whatever its indices are; a time with a zone comes as milliseconds, one without as it is.
    """
    try:
        file, number = parquet.ParquetFile(path), 0
        for batch in file.iter_batches(columns=list({**dict.fromkeys(columns), **dict.fromkeys(where)})):
            plain = [_plain(batch.column(name)) for name in columns]
            mask = None
            for name, texts in where.items():
                one = pc.is_in(_plain(batch.column(name)).cast(pa.string()), value_set=pa.array(texts, pa.string()))
                mask = one if mask is None else pc.and_(mask, one)
            numbers = pa.array(range(number + 1, number + 1 + len(batch)))
            number += len(batch)
            kept = [each if mask is None else each.filter(mask) for each in (numbers, *plain)]
            for row, *values in zip(*(each.to_pylist() for each in kept), strict=True):
                yield row, values
    except FileNotFoundError as error:
        raise UsageFault("no such file", where=str(path)) from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Malformed(f"expected Parquet: {error}", where=str(path)) from error


def _plain(column: Any) -> Any:  # noqa: ANN401 - pyarrow ships no types
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False)
        return column.cast(pa.int64()) if column.type.tz else column
    return column
