"""polars reads, sorts and writes; simdkalman filters all users step by step."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from model import (
    GATE,
    HIGHEST,
    KG,
    LOWEST,
    NOISE,
    OTHER_SOURCE,
    SECONDS_PER_DAY,
    SLOPE_PRIOR,
    SOURCES,
    transition,
)
from simdkalman.primitives import predict, update


def main(source: Path, out: Path) -> None:
    """Filter a file."""
    read = pl.read_parquet if source.suffix == ".parquet" else pl.read_ndjson
    table = (
        read(source)
        .with_row_index("index")
        .with_columns(
            time=pl.col("timestamp").str.to_datetime(time_zone="UTC")
            if source.suffix != ".parquet"
            else pl.col("timestamp"),
            kg=pl.col("value") * pl.col("unit").replace_strict(KG, default=None),
            noise=(NOISE * pl.col("source").replace_strict(SOURCES, default=OTHER_SOURCE)) ** 2,
        )
        .filter(pl.col("kg").is_between(LOWEST, HIGHEST))
        .sort("user_id", "time", maintain_order=True)
    )
    counts = table.group_by("user_id", maintain_order=True).len()["len"].to_numpy()
    results = filtered(
        table["time"].dt.epoch("us").to_numpy() / 1e6, table["kg"].to_numpy(),
        table["noise"].to_numpy(), counts,
    )  # fmt: skip
    table = table.select("index", "user_id", "measurement_id", "time", "kg").with_columns(
        **results, status=pl.Series(np.where(results["nis"] > GATE, "rejected", "accepted")),
    )  # fmt: skip
    table.sort("index").write_ndjson(out / "results.jsonl")
    table.group_by("user_id", maintain_order=True).last().write_parquet(out / "states.parquet")


def filtered(time, kg, noise, counts):
    """Columns of results, for readings sorted by user and time."""
    first = np.cumsum(counts) - counts
    order = np.argsort(-counts, kind="stable")
    first, counts = first[order], counts[order]
    observe = np.array([[[1.0, 0.0]]])
    mean, covariance = np.zeros((order.size, 2, 1)), np.zeros((order.size, 2, 2))
    mean[:, 0, 0], covariance[:, 0, 0] = kg[first], noise[first]
    covariance[:, 1, 1] = SLOPE_PRIOR**2
    names = ("level", "level_sd", "slope", "predicted", "nis")
    columns = {name: np.full(kg.size, np.nan) for name in names}
    columns["level"][first], columns["level_sd"][first] = kg[first], np.sqrt(noise[first])
    for step in range(1, int(counts[0])):
        width = int(np.searchsorted(-counts, -step))
        at = first[:width] + step
        gain, left, q00, q01, q11 = transition((time[at] - time[at - 1]) / SECONDS_PER_DAY, np.exp)
        moves, spreads = np.zeros((width, 2, 2)), np.empty((width, 2, 2))
        moves[:, 0, 0], moves[:, 0, 1], moves[:, 1, 1] = 1.0, gain, left
        spreads[:, 0, 0], spreads[:, 1, 1] = q00, q11
        spreads[:, 0, 1] = spreads[:, 1, 0] = q01
        prior, spread = predict(mean[:width], covariance[:width], moves, spreads)
        value, r = kg[at], noise[at]
        posterior, narrowed = update(prior, spread, observe, r[:, None, None], value[:, None, None])
        nis = (value - prior[:, 0, 0]) ** 2 / (spread[:, 0, 0] + r)
        outside = nis > GATE
        posterior[outside], narrowed[outside] = prior[outside], spread[outside]
        mean[:width], covariance[:width] = posterior, narrowed
        columns["level"][at], columns["level_sd"][at] = (
            posterior[:, 0, 0],
            np.sqrt(narrowed[:, 0, 0]),
        )
        columns["slope"][at], columns["predicted"][at] = posterior[:, 1, 0], prior[:, 0, 0]
        columns["nis"][at] = nis
    return columns


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
