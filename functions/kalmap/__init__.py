"""Per-user Kalman filtering for very large batches of timestamped measurements."""
