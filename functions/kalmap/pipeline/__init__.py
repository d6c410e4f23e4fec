"""The steps of a batch, one module for each state, and what several of them share.

`failed_readings`, `restore`, `caught_error` and `batch_summary` are shared. The rest are states.
"""
