"""Faults inside the Lambda workers of a local cloud, which plans choose while it runs."""

import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FAULTS_MODULE = Path(__file__).with_name("worker_faults") / "sitecustomize.py"
_PATIENCE = 90.0

#: The store's requests, as a rule of `inject` names them.
READ, WRITE = "BatchGetItem", "BatchExecuteStatement"
STORE = f"{READ}|{WRITE}"

#: What was injected in the whole session, for the last line of it.
faults: Counter[str] = Counter()


def rule(function: str, operation: str, kind: str, **more: Any) -> dict[str, Any]:
    """A rule for `Faults.inject`; `worker_faults` describes its fields."""
    return {"function": function, "operation": operation, "kind": kind} | more


class Faults:
    """Faults in the workers of each local cloud that is started with a folder on its PYTHONPATH.

    Args:
        modules: That folder, which is made. It has no faults at first.
        few_workers: Whether there are as few workers as without this folder. Else there are so
            many that some may be held while others go on.
    """

    def __init__(self, modules: Path, *, few_workers: bool = False) -> None:
        self.modules = modules
        modules.mkdir()
        if few_workers:
            (modules / "few-workers").touch()
        shutil.copy(FAULTS_MODULE, modules)
        self._plan = ""

    def inject(self, *rules: Mapping[str, Any]) -> None:
        """Inject these faults from now on. `worker_faults` describes the rules."""
        self._count()
        self._plan = uuid.uuid4().hex
        plan = self.modules / "plan.tmp"
        plan.write_text(json.dumps({"name": self._plan, "rules": rules}))
        plan.replace(self.modules / "plan.json")

    def stop_faults(self) -> None:
        """Stop injecting faults."""
        self._count()
        self._plan = ""
        (self.modules / "plan.json").unlink(missing_ok=True)

    def met(self) -> Counter[str]:
        """The faults injected since the last call of `inject`, by kind."""
        folder = self.modules / "met" / self._plan
        if not self._plan or not folder.exists():
            return Counter()
        parts = (path.name.split(".") for path in folder.iterdir())
        return Counter(part[2] for part in parts if len(part) == 3)

    def until_met(self, kind: str, number: int = 1) -> None:
        """Wait until a fault of a kind has happened."""
        give_up = time.monotonic() + _PATIENCE
        while self.met()[kind] < number:
            assert time.monotonic() < give_up, f"nothing was {kind}"
            time.sleep(0.01)

    def waker(self) -> Callable[[], None]:
        """What lets the calls that are held now go on, also when other faults are injected."""
        return (self.modules / "met" / self._plan / "go").touch

    def let_go(self) -> None:
        """Let all calls that are held go on."""
        self.waker()()

    def _count(self) -> None:
        faults.update(self.met())
