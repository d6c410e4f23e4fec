"""Whether a request to the local cloud is signed with its secret (AWS Signature Version 4).

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

A signature stands in the Authorization header or, in a presigned link, in the query. It covers
the method, the path, the query, the headers that it names, and the body's SHA-256 where one is
declared. Clients disagree on how a path and a query are written when they are signed: old
versions of curl sign them as they stand. Both ways cover all that is sent, so both are taken.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from ministack.core.sigv4 import build_string_to_sign, calculate_signature, signatures_match

#: How far a request's time may be from ours, and how long a presigned link may live.
CLOCK_SKEW = timedelta(minutes=15)
MAX_LINK_LIFETIME = timedelta(days=7)

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
#: A body that comes in chunks with a checksum at its end. Signed chunks are not among them.
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_HEADER = re.compile(
    rf"{_ALGORITHM} +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})"
)
_SCOPE = re.compile(r"([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request", re.ASCII)
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNRESERVED = "-_.~"


class Refused(Exception):
    """A request is not signed as it must be.

    Args:
        code: AWS's name for the error.
        message: the sentence for the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SentRequest(NamedTuple):
    """A request as it came, except for its body."""

    method: str
    path: str
    """Percent-encoded, as it was sent."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case; what came on several lines is joined with commas."""


class Signature(NamedTuple):
    """What a request says about its signature."""

    key: str
    date: str
    region: str
    service: str
    time: str
    headers: tuple[str, ...]
    signature: str
    lifetime: timedelta | None
    """Of a presigned link."""


def read_signature(sent: SentRequest) -> Signature:
    """Find a request's signature.

    Raises:
        Refused: there is none, or it is not in AWS's form.
    """
    query = dict(parse_qsl(sent.query, keep_blank_values=True))
    if "authorization" in sent.headers:
        if "X-Amz-Signature" in query:
            raise Refused("InvalidArgument", "The request is signed twice.")
        found = _HEADER.fullmatch(sent.headers["authorization"].strip())
        if found is None:
            raise Refused("IncompleteSignature", "The Authorization header is not in AWS's form.")
        credential, names, signature = found.groups()
        time, lifetime = sent.headers.get("x-amz-date", ""), None
    elif query.get("X-Amz-Algorithm") == _ALGORITHM:
        credential = query.get("X-Amz-Credential", "")
        names = query.get("X-Amz-SignedHeaders", "")
        signature = query.get("X-Amz-Signature", "")
        time, lifetime = query.get("X-Amz-Date", ""), _lifetime(query.get("X-Amz-Expires", ""))
    else:
        raise Refused(
            "MissingAuthenticationToken",
            "The request is not signed. Sign it with the secret in the local cloud's data "
            "directory.",
        )
    scope = _SCOPE.fullmatch(credential)
    if scope is None:
        raise Refused("IncompleteSignature", "The signature's credential is not in AWS's form.")
    key, date, region, service = scope.groups()
    if not _TIME.fullmatch(time) or date != time[:8]:
        raise Refused("IncompleteSignature", "X-Amz-Date is missing or not the signature's date.")
    return Signature(key, date, region, service, time, tuple(names.split(";")), signature, lifetime)


def check_time(signature: Signature, now: datetime) -> None:
    """Check that a request was signed about now, or that its link has not expired.

    Raises:
        Refused: it was not, or it has.
    """
    try:
        signed = datetime.strptime(signature.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("IncompleteSignature", "X-Amz-Date is not a time.") from None
    if signed - now > CLOCK_SKEW or (signature.lifetime is None and now - signed > CLOCK_SKEW):
        raise Refused("RequestTimeTooSkewed", "The request was not signed at this time.")
    if signature.lifetime is not None and now - signed > signature.lifetime:
        raise Refused("AccessDenied", "The link has expired.")


def check_headers(signature: Signature, sent: SentRequest) -> None:
    """Check that the host and all that AWS gives a meaning to is signed.

    Raises:
        Refused: something is not, or a signed header is missing.
    """
    must = {"host"} | {name for name in sent.headers if name.startswith("x-amz-")}
    missing = must - set(signature.headers) or set(signature.headers) - set(sent.headers)
    if missing:
        raise Refused(
            "SignatureDoesNotMatch",
            f"The signature and the headers do not agree about {', '.join(sorted(missing))}.",
        )


def declared_body(signature: Signature, sent: SentRequest) -> str | None:
    """What stands for the body in what was signed: its SHA-256, or a word when it is not covered.

    Returns:
        None: nothing was declared; it is the SHA-256 of whatever comes.

    Raises:
        Refused: it is declared in a way that is not known here.
    """
    declared = sent.headers.get("x-amz-content-sha256")
    if signature.lifetime is not None and signature.service == "s3":
        return _UNSIGNED
    if declared in {None, _UNSIGNED, _UNSIGNED_CHUNKS} or covers_body(declared or ""):
        return declared
    raise Refused(
        "NotImplemented", f"The local cloud does not know the x-amz-content-sha256 {declared!r}."
    )


def covers_body(declared: str) -> bool:
    """Whether what was declared is a SHA-256, which the body must have."""
    return _SHA256.fullmatch(declared) is not None


def check_signature(signature: Signature, sent: SentRequest, secret: str, body: str) -> None:
    """Check that a request was signed with a secret.

    Args:
        signature: what it says.
        sent: what came.
        secret: of the key that it names.
        body: the body's SHA-256, or the word that stands for it.

    Raises:
        Refused: it was not, or something was changed since.
    """
    headers = "".join(
        f"{name}:{' '.join(sent.headers[name].split())}\n" for name in signature.headers
    )
    matches = False
    for path in _paths(signature, sent):
        for query in _queries(sent):
            canonical = "\n".join(
                (sent.method, path, query, headers, ";".join(signature.headers), body)
            )
            to_sign = build_string_to_sign(
                signature.time, signature.date, signature.region, signature.service, canonical
            )
            computed = calculate_signature(
                secret, signature.date, signature.region, signature.service, to_sign
            )
            matches |= signatures_match(computed.encode(), signature.signature.encode())
    if not matches:
        raise Refused(
            "SignatureDoesNotMatch",
            "The signature is not the one that this request has under the local cloud's secret.",
        )


def sha256(body: Iterable[bytes]) -> str:
    """The SHA-256 of a body that came in parts."""
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return digest.hexdigest()


def _lifetime(seconds: str) -> timedelta:
    if not re.fullmatch(r"\d{1,6}", seconds, re.ASCII):
        raise Refused("AuthorizationQueryParametersError", "X-Amz-Expires is not a time.")
    lifetime = timedelta(seconds=int(seconds))
    if lifetime > MAX_LINK_LIFETIME:
        raise Refused("AuthorizationQueryParametersError", "X-Amz-Expires is more than a week.")
    return lifetime


def _paths(signature: Signature, sent: SentRequest) -> set[str]:
    """The path as it stands; except in S3, where it is an object's name, also as AWS writes it."""
    as_it_stands = sent.path or "/"
    if signature.service == "s3":
        return {as_it_stands}
    kept: list[str] = []
    for segment in as_it_stands.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in {"", "."}:
            kept.append(segment)
    end = "/" if kept and as_it_stands.endswith("/") else ""
    return {as_it_stands, quote(f"/{'/'.join(kept)}{end}", safe=f"/{_UNRESERVED}")}


def _queries(sent: SentRequest) -> set[str]:
    """The query as it stands, and as AWS writes it; without the signature itself."""
    pairs = [
        pair
        for pair in sent.query.split("&")
        if pair and pair.partition("=")[0] != "X-Amz-Signature"
    ]
    written = sorted(
        tuple(quote(unquote_to_bytes(part), safe=_UNRESERVED) for part in pair.partition("=")[::2])
        for pair in pairs
    )
    return {"&".join(pairs), "&".join(f"{name}={value}" for name, value in written)}
