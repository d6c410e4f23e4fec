"""The Lambda entry point of the HTTP API."""
