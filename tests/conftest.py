"""All tests use a local account, with a secret of their own."""

import tests.support.environment  # noqa: F401
