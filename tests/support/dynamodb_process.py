"""The emulator behind the local cloud's guard, on an inherited socket, without any storage."""

import asyncio
import os
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app

from kalmap_cli.local.cloud_process import secret_of
from kalmap_cli.local.emulator import parsed_statements
from kalmap_cli.local.guard import Guard

if __name__ == "__main__":
    parsed_statements.install()
    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.loglevel = "ERROR"
    asyncio.run(serve(Guard(app, int(os.environ["GATEWAY_PORT"]), secret_of), config))
