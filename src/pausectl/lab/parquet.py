# SPDX-License-Identifier: Apache-2.0
"""Parquet as records, batch by batch. The one module that needs pyarrow (extra `lab`); `table` imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
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
