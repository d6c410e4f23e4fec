"""Every reading that was sent, every result that came back, and what both say of the states."""

import itertools
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

#: An answer that never came: the reading may count or not.
LOST = ("lost", None)
#: Results of a reading that another delivery has decided, or that came too late.
_AGAIN = {("duplicate", "duplicate"), ("rejected", "too_late")}
#: A user's next reading is so much later, so that a window holds 24 of them.
_STEP = timedelta(hours=6)
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)

Record = Mapping[str, Any]
Decision = tuple[str, str | None]


class Ledger:
    """Makes readings, and keeps what became of each. Safe to use from several threads.

    Args:
        users: How many users there are. Every request and batch draws its users from all of them.
        seed: Draws users and values.
    """

    def __init__(self, users: int, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._levels = [self._random.uniform(55, 95) for _ in range(users)]
        self._steps: Counter[int] = Counter()
        self._numbers = itertools.count()
        self.sent: dict[str, Record] = {}
        self.results: dict[str, list[Decision]] = defaultdict(list)
        self.done = 0
        """Results that came back."""

    def new(self, count: int) -> list[Record]:
        """Readings of users drawn at random: mostly plausible, some outliers, few out of range."""
        with self._lock:
            return [self._reading() for _ in range(count)]

    def known(self, count: int) -> list[Record]:
        """Readings that were decided before, to be sent once more."""
        with self._lock:
            decided = [
                name
                for name in self._random.sample([*self.sent], min(4 * count, len(self.sent)))
                if self.results[name] and self.results[name][0] in {("accepted", None), *_AGAIN}
            ]
        return [self.sent[name] for name in decided[:count]]

    def add(self, records: Sequence[Record], decisions: Iterable[Decision]) -> list[Record]:
        """Add the results of a delivery; gives the readings that must be sent again."""
        again = []
        with self._lock:
            for record, decision in zip(records, decisions, strict=True):
                self.results[record["measurement_id"]].append(decision)
                self.done += decision != LOST
                if decision[0] in {"failed", "lost"}:
                    again.append(record)
        return again

    def judge(self) -> tuple[list[Record], set[str], list[str]]:
        """Judge every reading by all of its results.

        Returns:
            The readings that count; users of whom one may count or not, since its answer was lost
            and it then came too late; and what is wrong, in sentences.
        """
        counted, unsure, wrong = [], set(), []
        for name, record in self.sent.items():
            results = self.results[name]
            known = [one for one in results if one != LOST and one[0] != "failed"]
            decided = [one for one in known if one not in _AGAIN]
            if not known:
                wrong.append(f"{name} has no result, only {results}.")
            elif len(decided) > 1:
                wrong.append(f"{name} was decided {len(decided)} times: {results}.")
            elif decided or ("duplicate", "duplicate") in known:
                if not decided and len(known) == len(results):
                    wrong.append(f"{name} is a duplicate of nothing: {results}.")
                counted.append(record)
            elif len(known) < len(results):
                unsure.add(record["user_id"])
        return counted, unsure, wrong

    def totals(self) -> Counter[str]:
        """How many results there were of each kind."""
        return Counter(
            reason or status for results in self.results.values() for status, reason in results
        )

    def _reading(self) -> Record:
        user = self._random.randrange(len(self._levels))
        self._steps[user] += 1
        level = self._levels[user] + self._random.gauss(0, 0.4)
        kind = self._random.random()
        value = 900.0 if kind < 0.003 else level + 15 if kind < 0.02 else level
        name = f"m-{next(self._numbers)}"
        reading = {
            "user_id": f"user-{user:04d}",
            "timestamp": (_BEGIN + self._steps[user] * _STEP).isoformat(),
            "value": round(value, 2),
            "measurement_id": name,
        }
        self.sent[name] = reading
        return reading
