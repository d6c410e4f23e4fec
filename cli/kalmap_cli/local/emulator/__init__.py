"""What kalmap changes in the pinned ministack: the same answers for less.

One module for each change. Each has `install()`, says what ministack does without it, and has a
test in tests/unit/test_emulator_*.py that fails when a newer ministack makes it needless or breaks
it. None knows anything of kalmap's batches, so each could be part of ministack.
"""
