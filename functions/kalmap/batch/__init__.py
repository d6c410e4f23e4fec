"""A batch: its identity, its input's chunks, its folder in the work bucket, its commit gate."""
