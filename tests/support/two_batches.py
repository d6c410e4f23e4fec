"""Two batches of readings. The second one meets the states that the first one has stored."""

import json
import random

from tests.support.faulty_cloud import assert_accounts_for_all, states

NOW = "2025-05-01T00:00:00Z"
USERS = 110
NEW_USERS = 10


def reading(user, day, value, hour=7):
    return {
        "user_id": f"user-{user:03d}",
        "timestamp": f"2025-{3 + day // 31:02d}-{1 + day % 31:02d}T{hour:02d}:00:00Z",
        "value": round(value, 2),
        "measurement_id": f"{user}-{day}-{hour}",
    }


def weighings(seed):
    """Both batches. The second has outliers, duplicates, late readings and unreadable lines."""
    chance = random.Random(seed)
    first, second = [], []
    for user in range(USERS + NEW_USERS):
        level = chance.uniform(55, 95)
        days = [reading(user, day, level + chance.gauss(0, 0.5)) for day in range(0, 20, 2)]
        if user < USERS:
            first += days[:6]
            second += chance.sample(days[:6], 1)
        second += days[6:]
        if user % 4 == 0:
            second.append(reading(user, 7, level, hour=9))
        if user % 7 == 0:
            second.append(reading(user, 21, level + 15))
        if user % 9 == 0:
            second.append(reading(user, 22, level + 4.5))
        if user % 50 == 0:
            second.append(reading(user, 21, 900.0, hour=8))
    chance.shuffle(second)
    second.insert(100, b"{not JSON")
    second.insert(200, reading(5, 8, 80.0) | {"timestamp": "yesterday"})
    return first, second


FIRST, SECOND = weighings(seed=20)


def jsonl(lines):
    """Readings as a file. Lines that are bytes stay as they are."""
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def batch(source, **options):
    return {"source": source, "now": NOW} | options


class FaultFreeRun:
    """The outcome of the second batch when nothing fails."""

    def __init__(self, cloud):
        cloud.stop_faults()
        cloud.restore({})
        assert cloud.run(batch(cloud.put(jsonl(FIRST)))).status == "SUCCEEDED"
        # Numbers are written in another way by PartiQL: compare with what `restore` makes of them.
        cloud.restore(cloud.items())
        self.before = cloud.items()
        self.ran = cloud.run(batch(cloud.put(jsonl(SECOND))))
        assert self.ran.status == "SUCCEEDED"
        self.after = states(cloud.items())
        self.changed = sum(
            state != states(self.before).get(user) for user, state in self.after.items()
        )


def assert_equals_fault_free_run(cloud, ran, fault_free_run):
    """Check that states, results and counts are those of the fault-free run."""
    assert ran.status == "SUCCEEDED", ran.cause
    assert states(cloud.items()) == fault_free_run.after
    assert ran.results == fault_free_run.ran.results
    assert_accounts_for_all(ran, len(SECOND))
    for part in ("readings", "users"):
        assert ran.summary[part] == fault_free_run.ran.summary[part]
    assert ran.summary["users"]["changed"] == fault_free_run.changed
    assert ran.summary["status"] == ran.record["status"].lower() == "succeeded"
    assert ran.summary["reason"] is None
    assert ran.summary["database"]["conflicts"] == 0
