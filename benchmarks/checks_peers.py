"""The twelve checks of benchmarks/checks.py in another library; run by the interpreter that `--peers` names.

python benchmarks/checks_peers.py great_expectations|pandera_pandas|pandera_polars FILE

Prints the version, seconds to read the file, seconds to check, and the verdict, as JSON. Each library reads only the
columns it checks, and is timed on its second run.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from typing import Any

FLOATS, INTEGERS = [f"f{number}" for number in range(4)], [f"i{number}" for number in range(2)]
SET = [f"c{number}" for number in range(50)]
COLUMNS = [*FLOATS, *INTEGERS, "c0", "c1"]


def great_expectations(file: str) -> tuple[str, float, float, bool]:
    import great_expectations as gx  # type: ignore[import-not-found]
    import great_expectations.expectations as gxe  # type: ignore[import-not-found]
    import pandas as pd

    start = time.perf_counter()
    frame = pd.read_parquet(file, columns=COLUMNS)
    read = time.perf_counter() - start
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = gx.ExpectationSuite(name="twelve")
    for name in FLOATS:
        suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=name))
        suite.add_expectation(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=-10, max_value=10))
    for name in INTEGERS:
        suite.add_expectation(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=1_000_000)
        )
    suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column="c0", value_set=SET))
    suite.add_expectation(gxe.ExpectColumnValuesToMatchRegex(column="c1", regex="^c[0-9]+$"))
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    start = time.perf_counter()
    result = batch.validate(suite, result_format="BOOLEAN_ONLY")
    return gx.__version__, read, time.perf_counter() - start, bool(result.success)


def pandera_pandas(file: str) -> tuple[str, float, float, bool]:
    import pandas as pd
    import pandera.pandas as pa  # type: ignore[import-not-found]

    return _pandera(pa, lambda: pd.read_parquet(file, columns=COLUMNS))


def pandera_polars(file: str) -> tuple[str, float, float, bool]:
    import pandera.polars as pa  # type: ignore[import-not-found]
    import polars as pl

    return _pandera(pa, lambda: pl.read_parquet(file, columns=COLUMNS))


def _pandera(pa: Any, load: Any) -> tuple[str, float, float, bool]:  # noqa: ANN401 - a module, a function
    import pandera

    columns = {name: pa.Column(checks=pa.Check.in_range(-10, 10), nullable=False) for name in FLOATS}
    columns |= {name: pa.Column(checks=pa.Check.in_range(0, 1_000_000), nullable=True) for name in INTEGERS}
    columns["c0"] = pa.Column(checks=pa.Check.isin(SET), nullable=True)
    columns["c1"] = pa.Column(checks=pa.Check.str_matches("^c[0-9]+$"), nullable=True)
    schema = pa.DataFrameSchema(columns)
    start = time.perf_counter()
    frame = load()
    read = time.perf_counter() - start
    start = time.perf_counter()
    schema.validate(frame, lazy=True)  # raises when a check fails
    return pandera.__version__, read, time.perf_counter() - start, True


def main() -> None:
    """Run one library once to warm up on what it loads late, and once for the figure."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    library, file = sys.argv[1:3]
    run = {"great_expectations": great_expectations, "pandera_pandas": pandera_pandas, "pandera_polars": pandera_polars}[library]  # fmt: skip
    run(file)
    version, read, checked, is_passed = run(file)
    print(json.dumps({"version": version, "read_s": read, "check_s": checked, "is_passed": is_passed}))


if __name__ == "__main__":
    main()
