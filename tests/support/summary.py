"""A batch's summary, as the command line gets it."""

SUMMARY = {
    "batch_id": "3f9a",
    "status": "succeeded",
    "readings": {
        "received": 1007,
        "accepted": 1000,
        "rejected": {"outlier": 1, "implausible_rate": 2, "in_future": 0},
        "duplicate": 0,
        "unreadable": {"malformed": 4},
        "failed": {},
    },
    "users": {"total": 9, "new": 5, "changed": 9, "failed": 0},
    "quality": {"mean": 0.912},
    "time": {"total_seconds": 3.21},
    "database": {"requests": 4, "read_units": 9.0, "write_units": 9.0, "conflicts": 1},
    "memory_mb": {"filter": 81.2, "load": 70.0},
    "cost_usd": 0.00123,
}
