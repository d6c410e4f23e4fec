"""A batch: its identity, the claim on it, its input's chunks and its folder in the work bucket."""
