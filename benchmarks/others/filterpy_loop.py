"""A loop over users and their readings, a KalmanFilter of filterpy each; of a part of the users."""

import json
import math
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from filterpy.kalman import KalmanFilter
from model import GATE, HIGHEST, LOWEST, SECONDS_PER_DAY, SLOPE_PRIOR, decoded, transition

#: One user in so many is filtered.
SAMPLE = 25


def main(source: Path, out: Path) -> None:
    """Filter the readings of some users of a file."""
    of_user = defaultdict(list)
    with source.open() as lines:
        for index, line in enumerate(lines):
            user, when, kg, noise = decoded(json.loads(line))
            if zlib.crc32(user.encode()) % SAMPLE == 0 and LOWEST <= kg <= HIGHEST:
                of_user[user].append((when, kg, noise, index))
    with (out / "results.jsonl").open("w") as results:
        for user, readings in of_user.items():
            readings.sort()
            for index, *found in filtered(readings):
                results.write(json.dumps([index, user, *found]) + "\n")


def filtered(readings):
    """Results of a user's readings."""
    before, kg, noise, index = readings[0]
    kalman = KalmanFilter(dim_x=2, dim_z=1)
    kalman.H = np.array([[1.0, 0.0]])
    kalman.x = np.array([[kg], [0.0]])
    kalman.P = np.diag([noise, SLOPE_PRIOR**2])
    yield index, "accepted", kg, math.sqrt(noise), 0.0, None, None
    for when, kg, noise, index in readings[1:]:
        gain, left, q00, q01, q11 = transition((when - before) / SECONDS_PER_DAY)
        before = when
        kalman.predict(F=np.array([[1.0, gain], [0.0, left]]), Q=np.array([[q00, q01], [q01, q11]]))
        predicted = float(kalman.x[0, 0])
        nis = (kg - predicted) ** 2 / float(kalman.P[0, 0] + noise)
        if nis <= GATE:
            kalman.update(kg, R=noise)
        status = "accepted" if nis <= GATE else "rejected"
        level, slope = kalman.x[:, 0].tolist()
        yield index, status, level, math.sqrt(kalman.P[0, 0]), slope, predicted, nis


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
