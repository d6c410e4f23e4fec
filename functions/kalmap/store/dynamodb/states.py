"""The table of states: bulk reads, and bulk writes that neither lose nor repeat an update.

Every write is conditional on the version that the new state was computed from, and marks the
item with a token of its own. Whatever happens to a request or to its answer, it is safe to
send again: a write that was made already shows as a failed condition with our token in the
item, and is told from another batch's by that.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from kalmap.errors import StoreRefused, StoreUnavailable
from kalmap.store.backoff import Retry, RetryPolicy
from kalmap.store.dynamodb.item import (
    Change,
    StoredItem,
    StoredState,
    key,
    stored_item,
    stored_state,
    version_token,
)
from kalmap.store.dynamodb.table import DatabaseUse, DynamoDB, Table, units
from kalmap.store.dynamodb.write_modes import (
    Send,
    Verdict,
    Work,
    send_puts,
    send_statements,
    send_transaction,
)

__all__ = [
    "Change",
    "DatabaseUse",
    "Found",
    "Loaded",
    "StateStore",
    "StoredItem",
    "StoredState",
    "Written",
]

T = TypeVar("T")
R = TypeVar("R")


class Loaded(NamedTuple):
    """Stored states by user; a user without one is absent."""

    states: dict[str, StoredState]
    use: DatabaseUse
    left: tuple[str, ...] = ()
    """Users who were not read, where not all could be."""


class Found(NamedTuple):
    """A user's item, or None where there is none."""

    item: StoredItem | None
    use: DatabaseUse


class Written(NamedTuple):
    """What became of each change; every user is in exactly one of the first three."""

    written: list[str]
    conflicts: dict[str, StoredState | None]
    """Users whose state another write has changed, with that state; None: it is gone."""
    failed: dict[str, str]
    """Users whose write was given up, with a sentence why. It was not in the table at a last
    look, or there was no time for one; running the same write again settles it."""
    use: DatabaseUse
    unfinished: frozenset[str] = frozenset()
    """Of those who failed, the users whom the same write may still write when it is made again:
    the retries or the time ended."""


class StateStore:
    """States in a DynamoDB table with the keys `user_id` and `profile`.

    Safe to use from several threads, as the client is.

    Args:
        client: A boto3 DynamoDB client that does not retry by itself.
        table: The table's name.
        retry: How to try again what was throttled or not answered.
        get_size: Keys per read request, at most 100.
        write_size: Statements or items per write request, at most 25.
        transaction_size: Actions per transaction, at most 100.
        parallelism: Requests in flight per call of a method.
    """

    def __init__(
        self,
        client: DynamoDB,
        table: str,
        *,
        retry: RetryPolicy | None = None,
        get_size: int = 100,
        write_size: int = 25,
        transaction_size: int = 100,
        parallelism: int = 8,
    ) -> None:
        self._table = Table(client, table)
        self._retry = retry or RetryPolicy()
        self._get_size = get_size
        self._parallelism = parallelism
        self._modes: dict[str, tuple[int, Send]] = {
            "conditional": (write_size, send_statements),
            "transactional": (transaction_size, send_transaction),
            "overwrite": (write_size, send_puts),
        }

    def load(self, profile: str, users: Sequence[str], *, deadline: float | None = None) -> Loaded:
        """Reads users' states, each as of its last completed write.

        Args:
            profile: Name of the profile, the items' range key.
            users: User ids; repeated ones are read once.
            deadline: Time on the retry policy's clock after which nothing is tried.

        Raises:
            StoreUnavailable: A state could not be read; nothing is returned then.
        """
        loaded, trouble = self.load_part(profile, users, deadline=deadline)
        if trouble:
            raise trouble
        return loaded

    def load_part(
        self, profile: str, users: Sequence[str], *, deadline: float | None = None
    ) -> tuple[Loaded, StoreUnavailable | None]:
        """As `load`, but gives what could be read, and the error where that is not all."""

        def read(group: list[str]) -> tuple[Loaded, StoreUnavailable | None]:
            return self._read_part(profile, group, self._retry.start(deadline), DatabaseUse())

        parts = self._each(read, _groups(dict.fromkeys(users), self._get_size))
        states: dict[str, StoredState] = {}
        for part, _ in parts:
            states |= part.states
        left = tuple(user for part, _ in parts for user in part.left)
        use = sum((part.use for part, _ in parts), DatabaseUse())
        return Loaded(states, use, left), next((error for _, error in parts if error), None)

    def write(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        batch: str,
        attempt: str,
        round_: int,
        mode: str = "conditional",
        deadline: float | None = None,
    ) -> Written:
        """Writes new states, at most one per user, and says what became of each.

        The same call made twice writes once: what the first one wrote, the second reports
        as written. It costs one write unit per changed user, two in transactional mode;
        a conflict costs its unit too.

        Args:
            profile: Name of the profile, the items' range key.
            changes: New states, each with the state that it was computed from.
            batch: The batch's identity.
            attempt: The execution's name.
            round_: The conflict round, from 0.
            mode: "conditional": each user for itself, refused if the state has changed.
                "transactional": the same, but a request's users are all written or none;
                those that only shared a request with a conflict are sent again without it.
                "overwrite": whatever is stored is replaced, for a single writer.
            deadline: Time on the retry policy's clock after which nothing is tried.

        Raises:
            ValueError: The mode is none of the three.
        """
        if mode not in self._modes:
            raise ValueError(f"write mode must be one of {', '.join(self._modes)}, got {mode!r}.")
        size, send = self._modes[mode]

        def write(group: list[Change]) -> Written:
            tokens = _tokens(group, batch, attempt, round_)
            work = Work(profile, tokens, self._retry.start(deadline), DatabaseUse())
            return self._write_group(send, group, work)

        parts = self._each(write, _groups(changes, size))
        use = sum((part.use for part in parts), DatabaseUse())
        whole = Written([], {}, {}, use, frozenset().union(*(part.unfinished for part in parts)))
        for part in parts:
            whole.written.extend(part.written)
            whole.conflicts.update(part.conflicts)
            whole.failed.update(part.failed)
        return whole

    def written(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        batch: str,
        attempt: str,
        round_: int,
        deadline: float | None = None,
    ) -> set[str]:
        """Finds the users whose change is in the table, by its token.

        A write that four others have followed since is no longer found.

        Raises:
            StoreUnavailable: A state could not be read.
        """
        tokens = _tokens(changes, batch, attempt, round_)
        states = self.load(profile, list(tokens), deadline=deadline).states
        return {user for user, state in states.items() if tokens[user] in state.tokens}

    def find(self, profile: str, user: str, *, deadline: float | None = None) -> Found:
        """Reads a user's whole item, as of its last completed write.

        Raises:
            StoreUnavailable: It could not be read.
        """
        use = DatabaseUse()
        answer = self._table.call(
            "get_item",
            self._retry.start(deadline),
            use,
            TableName=self._table.name,
            Key=key(user, profile),
            ConsistentRead=True,
        )
        use.read_units += 1
        return Found(stored_item(answer["Item"]) if "Item" in answer else None, use)

    def scan(self, *, deadline: float | None = None) -> Iterator[StoredItem]:
        """Reads the whole table, in no particular order.

        Raises:
            StoreUnavailable: A page could not be read.
        """
        request: dict[str, Any] = {"TableName": self._table.name, "ConsistentRead": True}
        while True:
            page = self._table.call("scan", self._retry.start(deadline), DatabaseUse(), **request)
            yield from map(stored_item, page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _read(
        self, profile: str, users: Sequence[str], retry: Retry, use: DatabaseUse
    ) -> dict[str, StoredState]:
        """Reads at most `get_size` users' states, adding to `use`."""
        loaded, trouble = self._read_part(profile, users, retry, use)
        if trouble:
            raise trouble
        return loaded.states

    def _read_part(
        self, profile: str, users: Sequence[str], retry: Retry, use: DatabaseUse
    ) -> tuple[Loaded, StoreUnavailable | None]:
        """As `_read`, but gives what could be read, and the error where that is not all."""
        states: dict[str, StoredState] = {}
        keys = [key(user, profile) for user in users]
        while keys:
            ask = {
                "Keys": keys,
                "ConsistentRead": True,
                "ProjectionExpression": "#user_id, #version, #state",
                "ExpressionAttributeNames": {
                    "#user_id": "user_id",
                    "#version": "version",
                    "#state": "state",
                },
            }
            try:
                answer = self._table.call(
                    "batch_get_item",
                    retry,
                    use,
                    RequestItems={self._table.name: ask},
                    ReturnConsumedCapacity="TOTAL",
                )
            except StoreUnavailable as error:
                return _part(states, use, keys), error
            for item in answer["Responses"].get(self._table.name, ()):
                states[item["user_id"]["S"]] = stored_state(item)
            left = answer.get("UnprocessedKeys", {}).get(self._table.name, {}).get("Keys", [])
            # One unit a key, found or not, where the engine does not say: no state of ours
            # reaches the 4 KB that a strongly consistent read unit covers.
            use.read_units += units(answer, len(keys) - len(left))
            if left:
                use.throttles += 1
                if not retry.pause(progress=len(left) < len(keys)):
                    ended = self._table.unavailable(f"{len(left)} keys left unprocessed")
                    return _part(states, use, left), ended
                use.retries += 1
            keys = left
        return Loaded(states, use), None

    def _write_group(self, send: Send, group: list[Change], work: Work) -> Written:
        """Sends one request's changes until each has an outcome or the retries end."""
        result = Written([], {}, {}, work.use)
        pending = group
        look_up: list[str] = []
        given_up: dict[str, StoreUnavailable] = {}

        def settle(user: str, found: StoredState | None) -> None:
            if found and work.tokens[user] in found.tokens:
                result.written.append(user)
            else:
                result.conflicts[user] = found

        while pending:
            try:
                outcomes = send(self._table, pending, work)
            except StoreUnavailable as error:
                given_up = dict.fromkeys((change.user for change in pending), error)
                break
            again = []
            for change, outcome in zip(pending, outcomes, strict=True):
                if outcome is Verdict.WRITTEN:
                    result.written.append(change.user)
                elif outcome is Verdict.LOOK_UP:
                    look_up.append(change.user)
                elif isinstance(outcome, Verdict):
                    again.append(change)
                elif isinstance(outcome, StoredState):
                    settle(change.user, outcome)
                else:
                    result.failed[change.user] = outcome
            work.use.throttles += Verdict.THROTTLED in outcomes
            if again and not work.retry.pause(progress=len(again) < len(pending)):
                ended = self._table.unavailable("try these users again")
                given_up = dict.fromkeys((change.user for change in again), ended)
                break
            work.use.retries += bool(again)
            pending = again

        if look_up:
            try:
                found = self._read(work.profile, look_up, work.retry, work.use)
            except StoreUnavailable as error:
                given_up |= dict.fromkeys(look_up, error)
            else:
                for user in look_up:
                    settle(user, found.get(user))
        if given_up:
            made = self._last_look(given_up, work)
            result.written.extend(made)
            left = {user: given_up[user] for user in given_up if user not in made}
            result.failed.update((user, str(error)) for user, error in left.items())
            return result._replace(
                unfinished=frozenset(u for u in left if not isinstance(left[u], StoreRefused))
            )
        return result

    def _last_look(self, given_up: Iterable[str], work: Work) -> list[str]:
        """Finds which of the writes that got no answer were made all the same."""
        try:
            found = self._read(work.profile, list(given_up), work.retry.last(), work.use)
        except StoreUnavailable:
            return []
        return [user for user, state in found.items() if work.tokens[user] in state.tokens]

    def _each(self, work: Callable[[list[T]], R], groups: Sequence[list[T]]) -> list[R]:
        if len(groups) <= 1 or self._parallelism == 1:
            return [work(group) for group in groups]
        with ThreadPoolExecutor(min(self._parallelism, len(groups))) as pool:
            return list(pool.map(work, groups))


def _part(
    states: dict[str, StoredState], use: DatabaseUse, left: Iterable[dict[str, Any]]
) -> Loaded:
    return Loaded(states, use, tuple(key["user_id"]["S"] for key in left))


def _tokens(changes: Iterable[Change], batch: str, attempt: str, round_: int) -> dict[str, int]:
    return {c.user: version_token(batch, attempt, round_, c.user, c.old) for c in changes}


def _groups(members: Iterable[T], size: int) -> list[list[T]]:
    whole = list(members)
    return [whole[start : start + size] for start in range(0, len(whole), size)]
