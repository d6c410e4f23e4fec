"""A record of the permissions that each function of the pipeline needs."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.support.moto_engine import Engine
from tests.support.policies import Cloud, Need, record


@contextmanager
def recorded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[Need]]]:
    """Every permission that each function needed while the block lasted.

    The steps of one execution follow each other, so a call belongs to the function that was
    invoked last.
    """
    used: dict[str, set[Need]] = defaultdict(set)
    invoked: list[str] = []
    clients: list[Any] = []
    invoke = engine.invoke

    def note_function(function: str, event: dict[str, Any]) -> Any:
        invoked.append(function)
        try:
            return invoke(function, event)
        finally:
            invoked.remove(function)

    def note_client(*args: Any, **options: Any) -> Any:
        clients.append(boto3.client(*args, **options))
        return clients[-1]

    def ledger(client: Any) -> set[Need] | None:
        # The interpreter and the tests call, too, with clients of their own.
        return used[invoked[-1]] if any(client is ours for ours in clients) else None

    with monkeypatch.context() as patch:
        patch.setattr("kalmap_handlers.clients.boto3", SimpleNamespace(client=note_client))
        patch.setattr(engine, "invoke", note_function)
        record(Cloud.of(engine.template, "work", engine.tables), patch, ledger)
        yield used
