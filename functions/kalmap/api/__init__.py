"""The HTTP API without HTTP: requests answered at once, batches, users, and their JSON objects."""
