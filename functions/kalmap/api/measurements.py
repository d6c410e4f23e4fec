"""POST /measurements: its JSON is read into a request, and an answer is encoded as JSON."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from kalmap.api.answer_request import Answer
from kalmap.api.schemas import Answered, Measurements
from kalmap.api.user_group import Request
from kalmap.errors import TooLarge
from kalmap.profile import Profile, builtin_profile, load_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.store.profiles import Profiles

#: Bytes of result lines above which an answer has a link instead.
LINK_FROM = 1_000_000
_PROFILES = 64

#: Stores the result lines of an answer, and signs a link to them.
LinkResults = Callable[[bytes], str]


class RequestProfiles:
    """The profiles that requests name or carry, each checked and stored once per container.

    Args:
        profiles: The store of profiles.
    """

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._load = lru_cache(maxsize=_PROFILES)(self._load_and_store)

    def get(self, profile: str | dict[str, Any]) -> Profile:
        """Return the built-in profile of a name, or the profile that these fields make.

        Raises:
            InvalidProfile: There is no such profile, or a field of it is wrong.
        """
        if isinstance(profile, str):
            return builtin_profile(profile)
        return self._load(msgspec.json.encode(profile))

    def _load_and_store(self, data: bytes) -> Profile:
        profile = load_profile(data)
        self._profiles.save(profile)
        return profile


def read_request(
    sent: Measurements, *, name: str, now: int, limit: int, profiles: RequestProfiles
) -> Request:
    """Parse the measurements of a request.

    Args:
        sent: The request's JSON.
        name: Names the request's writes. No two requests have the same name.
        now: Wall-clock time in microseconds since 1970 UTC.
        limit: Most measurements that a request may have.
        profiles: The profiles of requests.

    Raises:
        TooLarge: There are more measurements than `limit`.
        InvalidProfile: The profile is wrong or unknown.
    """
    count = len(sent.measurements)
    if count > limit:
        raise TooLarge(
            f"The request has {count:,} measurements. At most {limit:,} are answered at once. "
            "Send them as a batch: POST /batches, or POST /batches/uploads."
        )
    profile = profiles.get(sent.profile)
    return Request(
        name=name,
        measurements=parse([_json_lines(sent.measurements)], Jsonl(), profile),
        profile=profile,
        adopt_profile=sent.adopt_profile,
        now=now,
    )


def encode_answer(answer: Answer, link_results: LinkResults | None) -> bytes:
    """Encode an answer as JSON. Its lines are JSON already.

    Args:
        answer: The answer to a request.
        link_results: Stores results that are too long for an answer. None: no results are.
    """
    link = None
    if link_results is not None and len(answer.results) > LINK_FROM:
        link = link_results(answer.results)
    unreadable = _json_array(answer.unreadable)
    return msgspec.json.encode(
        Answered(
            results=_json_array(answer.results) if link is None else None,
            results_url=link,
            unreadable=unreadable,
            rejected=unreadable,
            revisions=_json_array(answer.revisions),
            summary=answer.summary,
        )
    )


def _json_lines(measurements: list[msgspec.Raw]) -> bytes:
    """Measurements as the lines of a JSONL file, each as it was sent."""
    # A line end between JSON values is white space. Inside a text it would not be JSON.
    return b"\n".join(
        bytes(record).replace(b"\r", b" ").replace(b"\n", b" ") for record in measurements
    )


def _json_array(lines: bytes) -> Any:
    """JSON lines as a JSON array, which is encoded as it is."""
    return msgspec.Raw(b"[" + lines.rstrip(b"\n").replace(b"\n", b",") + b"]")
