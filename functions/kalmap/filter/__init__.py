"""The Kalman filters of many users at once: from stored states and new readings to new states."""
