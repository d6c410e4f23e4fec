"""PySpark on all cores of this machine: a function of pandas for each user's readings."""

import os
import sys
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

HERE = str(Path(__file__).resolve().parent)
RESULT = (
    "user_id string, measurement_id string, timestamp string, value double, status string, "
    "level double, level_sd double, slope double, predicted double, nis double"
)


def filtered(readings: pd.DataFrame) -> pd.DataFrame:
    """Results of a user's readings."""
    sys.path.insert(0, HERE)
    from model import decoded, step

    rows, state = [], None
    read = [(decoded(row), row) for row in readings.to_dict("records")]
    for (user, when, kg, noise), row in sorted(read, key=lambda one: one[0][1]):
        state, found = step(state, when, kg, noise)
        rows.append((user, row["measurement_id"], row["timestamp"], kg, *found))
    frame = pd.DataFrame(rows, columns=[field.split()[0] for field in RESULT.split(", ")])
    # pandas 3 holds texts in a form of Arrow's that PySpark 4.3 does not take.
    return frame.astype(dict.fromkeys(("user_id", "measurement_id", "timestamp", "status"), object))


def main(source: Path, out: Path) -> None:
    """Filter a file."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
    )
    readings = spark.read.schema(
        "user_id string, timestamp string, value double, unit string, source string, "
        "measurement_id string"
    ).json(str(source))
    results = readings.groupBy("user_id").applyInPandas(filtered, RESULT)
    results.write.json(str(out / "results"))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
