"""Lambda entry points of the state machine's steps."""
