"""The table of states: bulk reads, and bulk writes that neither lose nor repeat an update.

Every write is conditional on the version that the new state was computed from, and puts its own
token into the item. After any failure it is safe to send a request again. If the write was made
before, the condition fails, and the item has the write's token. If the item has another token,
another batch wrote it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kalmap.errors import StoreRefused, StoreUnavailable
from kalmap.store.backoff import Retry, RetryPolicy
from kalmap.store.dynamodb.deletes import delete_group
from kalmap.store.dynamodb.item import key, state_after, stored_state, user_state, version_token
from kalmap.store.dynamodb.table import DynamoDB, Table, capacity_units
from kalmap.store.dynamodb.write_modes import (
    Send,
    Verdict,
    Work,
    send_puts,
    send_statements,
    send_transaction,
)
from kalmap.store.ports import (
    Change,
    DatabaseUse,
    DeleteResult,
    Loaded,
    Lookup,
    StoredState,
    UserState,
    WriteResult,
)

T = TypeVar("T")
R = TypeVar("R")


class DynamoDBStateStore:
    """States in a DynamoDB table with the keys `user_id` and `profile`.

    `kalmap.store.ports.StateStore` describes the methods. Several threads may use a store at once.

    Args:
        client: A boto3 DynamoDB client that does not retry by itself.
        table: The table's name.
        retry: How to repeat requests that were throttled or not answered.
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
        self._write_size = write_size
        self._parallelism = parallelism
        self._modes: dict[str, tuple[int, Send]] = {
            "conditional": (write_size, send_statements),
            "transactional": (transaction_size, send_transaction),
            "overwrite": (write_size, send_puts),
        }

    def load(self, profile: str, users: Sequence[str], *, deadline: float | None = None) -> Loaded:
        """Read users' states, each as of its last completed write."""
        loaded, error = self.load_part(profile, users, deadline=deadline)
        if error:
            raise error
        return loaded

    def load_part(
        self, profile: str, users: Sequence[str], *, deadline: float | None = None
    ) -> tuple[Loaded, StoreUnavailable | None]:
        """Read users' states as `load` does, but return those that could be read."""

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
    ) -> WriteResult:
        """Write new states, and return the outcome of each.

        Each changed user costs one write unit, or two in transactional mode. A conflict costs the
        same.
        """
        if mode not in self._modes:
            raise ValueError(f"write mode must be one of {', '.join(self._modes)}, got {mode!r}.")
        size, send = self._modes[mode]

        def write(group: list[Change]) -> WriteResult:
            tokens = self.write_tokens(group, batch=batch, attempt=attempt, round_=round_)
            work = Work(profile, tokens, self._retry.start(deadline), DatabaseUse())
            return self._write_group(send, group, work)

        parts = self._each(write, _groups(changes, size))
        use = sum((part.use for part in parts), DatabaseUse())
        whole = WriteResult(
            {}, {}, {}, use, frozenset().union(*(part.unfinished for part in parts))
        )
        for part in parts:
            whole.stored.update(part.stored)
            whole.conflicts.update(part.conflicts)
            whole.failed.update(part.failed)
        return whole

    def find_written(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        batch: str,
        attempt: str,
        round_: int,
        deadline: float | None = None,
    ) -> set[str]:
        """Return the users whose change is in the table. Tokens identify changes."""
        tokens = self.write_tokens(changes, batch=batch, attempt=attempt, round_=round_)
        states = self.load(profile, list(tokens), deadline=deadline).states
        return {user for user, state in states.items() if tokens[user] in state.tokens}

    def write_tokens(
        self, changes: Sequence[Change], *, batch: str, attempt: str, round_: int
    ) -> dict[str, int]:
        """The version token that each user's write has."""
        return {c.user: version_token(batch, attempt, round_, c.user, c.old) for c in changes}

    def delete(
        self,
        profile: str,
        states: Mapping[str, StoredState | None],
        *,
        deadline: float | None = None,
    ) -> DeleteResult:
        """Delete users' states. Each costs one write unit, also if there is none."""

        def delete(group: list[str]) -> DeleteResult:
            own = {user: states[user] for user in group}
            return delete_group(self._table, profile, own, self._retry.start(deadline))

        whole = DeleteResult(set(), {}, {}, DatabaseUse())
        for part in self._each(delete, _groups(states, self._write_size)):
            whole.deleted.update(part.deleted)
            whole.conflicts.update(part.conflicts)
            whole.failed.update(part.failed)
            whole = whole._replace(use=whole.use + part.use)
        return whole

    def get(self, profile: str, user: str, *, deadline: float | None = None) -> Lookup:
        """Read one user's state with its readable fields, as of its last completed write."""
        use = DatabaseUse()
        response = self._table.call(
            "get_item",
            self._retry.start(deadline),
            use,
            TableName=self._table.name,
            Key=key(user, profile),
            ConsistentRead=True,
        )
        use.read_units += 1
        return Lookup(user_state(response["Item"]) if "Item" in response else None, use)

    def of_user(self, user: str) -> Iterator[UserState]:
        """Read one user's states under every profile."""
        return self._pages(
            "query",
            KeyConditionExpression="user_id = :user",
            ExpressionAttributeValues={":user": {"S": user}},
        )

    def scan(self) -> Iterator[UserState]:
        """Read the whole table, in no particular order."""
        return self._pages("scan")

    def _pages(self, operation: str, **request: Any) -> Iterator[UserState]:
        request |= {"TableName": self._table.name, "ConsistentRead": True}
        while True:
            page = self._table.call(operation, self._retry.start(), DatabaseUse(), **request)
            yield from map(user_state, page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _read(
        self, profile: str, users: Sequence[str], retry: Retry, use: DatabaseUse
    ) -> dict[str, StoredState]:
        """Read at most `get_size` users' states, and add the cost to `use`."""
        loaded, error = self._read_part(profile, users, retry, use)
        if error:
            raise error
        return loaded.states

    def _read_part(
        self, profile: str, users: Sequence[str], retry: Retry, use: DatabaseUse
    ) -> tuple[Loaded, StoreUnavailable | None]:
        """Read as `_read` does, but return the states that could be read, and any error."""
        states: dict[str, StoredState] = {}
        keys = [key(user, profile) for user in users]
        while keys:
            request = {
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
                response = self._table.call(
                    "batch_get_item",
                    retry,
                    use,
                    RequestItems={self._table.name: request},
                    ReturnConsumedCapacity="TOTAL",
                )
            except StoreUnavailable as error:
                return _part(states, use, keys), error
            for item in response["Responses"].get(self._table.name, ()):
                states[item["user_id"]["S"]] = stored_state(item)
            left = response.get("UnprocessedKeys", {}).get(self._table.name, {}).get("Keys", [])
            # If no cost is reported, each key costs one unit, with an item or without: a strongly
            # consistent read unit covers 4 KB, and every state is smaller.
            use.read_units += capacity_units(response, len(keys) - len(left))
            if left:
                use.throttles += 1
                if not retry.pause(progress=len(left) < len(keys)):
                    unavailable = self._table.unavailable(f"{len(left)} keys left unprocessed")
                    return _part(states, use, left), unavailable
                use.retries += 1
            keys = left
        return Loaded(states, use), None

    def _write_group(self, send: Send, group: list[Change], work: Work) -> WriteResult:
        """Send one request's changes until each has an outcome or the retries end."""
        result = WriteResult({}, {}, {}, work.use)
        pending = group
        look_up: list[Change] = []
        given_up: dict[str, StoreUnavailable] = {}

        def store(change: Change) -> None:
            result.stored[change.user] = state_after(change, work.tokens[change.user])

        def compare(change: Change, current: StoredState | None) -> None:
            """Store the change if the item has its token already. Otherwise it is a conflict."""
            if current and work.tokens[change.user] in current.tokens:
                store(change)
            else:
                result.conflicts[change.user] = current

        while pending:
            try:
                outcomes = send(self._table, pending, work)
            except StoreUnavailable as error:
                given_up = dict.fromkeys((change.user for change in pending), error)
                break
            repeated = []
            for change, outcome in zip(pending, outcomes, strict=True):
                if outcome is Verdict.STORED:
                    store(change)
                elif outcome is Verdict.LOOK_UP:
                    look_up.append(change)
                elif isinstance(outcome, Verdict):
                    repeated.append(change)
                elif isinstance(outcome, StoredState):
                    compare(change, outcome)
                else:
                    result.failed[change.user] = outcome
            work.use.throttles += Verdict.THROTTLED in outcomes
            if repeated and not work.retry.pause(progress=len(repeated) < len(pending)):
                unavailable = self._table.unavailable("try these users again")
                given_up = dict.fromkeys((change.user for change in repeated), unavailable)
                break
            work.use.retries += bool(repeated)
            pending = repeated

        if look_up:
            users = [change.user for change in look_up]
            try:
                states = self._read(work.profile, users, work.retry, work.use)
            except StoreUnavailable as error:
                given_up |= dict.fromkeys(users, error)
            else:
                for change in look_up:
                    compare(change, states.get(change.user))
        if given_up:
            in_table = self._find_unanswered(given_up, work)
            for change in group:
                if change.user in in_table:
                    store(change)
            left = {user: given_up[user] for user in given_up if user not in in_table}
            result.failed.update((user, str(error)) for user, error in left.items())
            return result._replace(
                unfinished=frozenset(u for u in left if not isinstance(left[u], StoreRefused))
            )
        return result

    def _find_unanswered(self, users: Iterable[str], work: Work) -> set[str]:
        """Look up which unanswered writes reached the table."""
        try:
            states = self._read(work.profile, list(users), work.retry.last(), work.use)
        except StoreUnavailable:
            return set()
        return {user for user, state in states.items() if work.tokens[user] in state.tokens}

    def _each(self, work: Callable[[list[T]], R], groups: Sequence[list[T]]) -> list[R]:
        if len(groups) <= 1 or self._parallelism == 1:
            return [work(group) for group in groups]
        with ThreadPoolExecutor(min(self._parallelism, len(groups))) as pool:
            return list(pool.map(work, groups))


def _part(
    states: dict[str, StoredState], use: DatabaseUse, left: Iterable[dict[str, Any]]
) -> Loaded:
    return Loaded(states, use, tuple(key["user_id"]["S"] for key in left))


def _groups(members: Iterable[T], size: int) -> list[list[T]]:
    listed = list(members)
    return [listed[start : start + size] for start in range(0, len(listed), size)]
