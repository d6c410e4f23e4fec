"""The steps of a batch, one module for each state, and what several of them share.

A state's module imports no other state's. The shared modules are `batch_summary`, `caught_error`,
`chunk_partition`, `failed_readings`, `restore` and `shard_list`.
"""
