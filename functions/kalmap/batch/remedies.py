"""What a user can do about a batch that did not end well."""

START_AGAIN = "Start the same batch again: what was written counts once."
#: The same for a batch that was interrupted while it may have been writing.
START_INTERRUPTED_AGAIN = f"Some states may have been written. {START_AGAIN}"
