# SPDX-License-Identifier: Apache-2.0
"""The MLPerf example, run as its readers run it, on the published readings."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "data/mlperf_power"
RUN = "result_5848-240517221859825376616_2"


def run(*args: Path, blocked: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The example in a process of its own; blocked: a folder that is found before the installed packages."""
    paths = [*([str(blocked)] if blocked else []), str(ROOT / "src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "mlperf.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def facts(printed: str) -> dict[str, str]:
    """Label → its text on one line, continuation lines included."""
    joined = re.sub(r"\n {22}", " ", printed)
    return {line[:22].strip(): " ".join(line[22:].split()) for line in joined.splitlines()}


@pytest.fixture
def without_pyarrow(tmp_path):
    """A folder in which the first pyarrow that Python meets cannot be imported."""
    (tmp_path / "blocked" / "pyarrow").mkdir(parents=True)
    (tmp_path / "blocked" / "pyarrow" / "__init__.py").write_text("raise ImportError('blocked')\n")
    return tmp_path / "blocked"


@pytest.fixture
def table(shared, tmp_path):
    """The readings of the run as the CSV that the example documents, with another run's line and runs.csv beside it."""
    parquet = pytest.importorskip("pyarrow.parquet")
    dataset = parquet.ParquetFile(shared(FOLDER) / "power_readings.parquet")
    place = tmp_path / "csv"
    place.mkdir()
    (place / "runs.csv").write_bytes((shared(FOLDER) / "runs.csv").read_bytes())
    with (place / "power.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run_id", "node", "time_ms", "watts"))
        writer.writerow(("another", "node_1", 1715960308000, 1.0))
        for batch in dataset.iter_batches():
            columns = [batch.column(name).cast("string") for name in ("run_id", "node")]
            columns += [batch.column("time_ms").cast("int64"), batch.column("watts")]
            rows = zip(*(column.to_pylist() for column in columns), strict=True)
            writer.writerows(row for row in rows if row[0].endswith(RUN))
    return place / "power.csv"


def check(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What must come out of these readings, however they are stored."""
    assert (done.returncode, done.stderr) == (0, "")
    said = facts(done.stdout)
    derived, own = re.match(r"([\d.]+) kWh by trapezoid; the submitter's own file: ([\d.]+)", said["energy"]).groups()
    assert float(derived) == pytest.approx(415.2552, abs=0.0005)
    assert (float(own), round(float(derived), 2)) == (415.22, 415.26)
    assert said["window"] == "2024-05-17T15:38:27Z to 2024-05-17T16:35:20Z, 3,413 s"
    assert said["accelerator-seconds"] == "1,747,287 in the run, 169 idle beside it"  # 512 x 3,412.67 of 512 x 3,413
    assert said["compute"].startswith("1,286,115 pflop by 6ND")
    assert "1,728,941 pflop by time x fp8 peak x 0.5" in said["compute"]
    assert said["utilisation"].startswith("0.372 of the fp8 peak")
    assert "0.744" in said["utilisation"]
    assert re.fullmatch(r"CONSISTENT: \d\d checks hold, 0 do not", said["ARMED"])
    assert "residual 629 Wh, z = 0.05" in said["energy against work"]
    assert said["PAUSED"].startswith("INCONSISTENT: ")
    assert re.findall(r"([A-Z]+-\d+) (VIOLATED|UNPROVEN):", said["PAUSED"]) == [
        ("CAP-2", "VIOLATED"),
        ("CAP-3", "VIOLATED"),
    ]
    filed_as_bf16 = said["ARMED, filed as BF16"]
    assert filed_as_bf16.startswith("INCONCLUSIVE: ")
    assert re.findall(r"([A-Z]+-\d+) (VIOLATED|UNPROVEN):", filed_as_bf16) == [("RUN-4", "UNPROVEN")]
    assert said["row 54,490 opened"].startswith("node_18: 7,015.000 W at 2024-05-17T15:38:30.616")
    return said


def test_a_folder_of_parquet(shared):
    pytest.importorskip("pyarrow")
    check(run(shared(FOLDER)))


def test_a_csv_needs_no_pyarrow_and_gives_the_same(table, without_pyarrow):
    said = check(run(table, blocked=without_pyarrow))
    assert said["sealed"].startswith("108,980 rows, 426 blocks, ")  # a reading each, and the end of each node's window


def test_parquet_without_pyarrow_says_what_to_install(shared, without_pyarrow):
    done = run(shared(FOLDER), blocked=without_pyarrow)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'pausectl[lab]'" in done.stderr


def test_power_that_the_work_does_not_explain_does_not_come_out_as_expected(table):
    """The same run with a fifth more power: the meter contradicts the filed hours, and the example says so."""
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    more = (line.rstrip().rpartition(",") for line in lines[1:])
    table.write_text(lines[0] + "".join(f"{row},{float(watts) * 1.2}\n" for row, _, watts in more), encoding="utf-8")
    done = run(table)
    assert (done.returncode, done.stderr) == (1, "")
    assert facts(done.stdout)["ARMED"].startswith("INCONSISTENT: ")
    assert "ENG-2 VIOLATED" in facts(done.stdout)["ARMED"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("node,time_ms,watts", "expected run_id, node, time_ms, watts"),
        ("run_id,node,time_ms,watts", "no reading of run"),
    ],
)
def test_a_table_that_is_not_as_documented_is_refused(shared, tmp_path, line, expected):
    (tmp_path / "runs.csv").write_bytes((shared(FOLDER) / "runs.csv").read_bytes())
    (tmp_path / "power.csv").write_text(f"{line}\nx,node_1,1,2\n", encoding="utf-8")
    done = run(tmp_path / "power.csv")
    assert done.returncode in (2, 4)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_there(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert "runs.csv: cannot be read" in done.stderr
