"""Python imports a module of this name when it starts: local clouds fork their workers."""

import forked_workers

forked_workers.install()
