"""Check that a request is signed with the local cloud's secret (AWS Signature Version 4).

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

A signature is in the Authorization header or, for a presigned link, in the query. It covers the
method, the path, the query, the headers that it names, and the body's SHA-256 if one is declared.
Clients encode the path and the query differently for the signature: old versions of curl sign
them as sent. Both encodings cover the whole request, so both are accepted.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from ministack.core.sigv4 import build_string_to_sign, calculate_signature, signatures_match

#: Maximum difference between a request's time and ours, and maximum lifetime of a presigned link.
CLOCK_SKEW = timedelta(minutes=15)
MAX_LINK_LIFETIME = timedelta(days=7)

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
#: A body in unsigned chunks with a checksum at the end.
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_HEADER = re.compile(
    rf"{_ALGORITHM} +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})"
)
_SCOPE = re.compile(r"([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request", re.ASCII)
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNRESERVED = "-_.~"


class Refused(Exception):
    """A request is not allowed or not signed correctly.

    Args:
        code: AWS's error code.
        message: The sentence for the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SentRequest(NamedTuple):
    """A request as it was sent, without its body."""

    method: str
    path: str
    """Percent-encoded, as it was sent."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case. Commas join the values of repeated headers."""


class Signature(NamedTuple):
    """The signature of a request, and what it says about itself."""

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
    """Read a request's signature.

    Raises:
        Refused: There is none, or it is not in AWS's format.
    """
    query = dict(parse_qsl(sent.query, keep_blank_values=True))
    if "authorization" in sent.headers:
        if "X-Amz-Signature" in query:
            raise Refused("InvalidArgument", "The request is signed twice.")
        header = _HEADER.fullmatch(sent.headers["authorization"].strip())
        if header is None:
            raise Refused("IncompleteSignature", "The Authorization header is not in AWS's format.")
        credential, names, signature = header.groups()
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
        raise Refused("IncompleteSignature", "The signature's credential is not in AWS's format.")
    key, date, region, service = scope.groups()
    if not _TIME.fullmatch(time) or date != time[:8]:
        raise Refused("IncompleteSignature", "X-Amz-Date is missing or not the signature's date.")
    return Signature(key, date, region, service, time, tuple(names.split(";")), signature, lifetime)


def check_time(signature: Signature, now: datetime) -> None:
    """Check that a request was signed at about this time, and that its link has not expired.

    Raises:
        Refused: The time is wrong, or the link has expired.
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
    """Check that the host and all headers of AWS are signed, and that all signed headers are there.

    Raises:
        Refused: A header is unsigned or missing.
    """
    required = {"host"} | {name for name in sent.headers if name.startswith("x-amz-")}
    missing = required - set(signature.headers) or set(signature.headers) - set(sent.headers)
    if missing:
        raise Refused(
            "SignatureDoesNotMatch",
            f"The signature and the headers do not agree about {', '.join(sorted(missing))}.",
        )


def declared_body(signature: Signature, sent: SentRequest) -> str | None:
    """The value for the body in the signed text, as the request declares it.

    Returns:
        The body's SHA-256, or a word if the signature does not cover the body. None if the request
        declares nothing: then it is the SHA-256 of the body that arrives.

    Raises:
        Refused: The declaration is of an unknown kind.
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
    """Whether the declared value is a SHA-256, which the body must have."""
    return _SHA256.fullmatch(declared) is not None


def check_signature(signature: Signature, sent: SentRequest, secret: str, body: str) -> None:
    """Check that a request was signed with a secret.

    Args:
        signature: The request's signature.
        sent: The request.
        secret: Of the signature's key.
        body: The body's SHA-256, or the word that replaces it.

    Raises:
        Refused: The request was signed with another secret, or was changed afterwards.
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
    """The SHA-256 of a body in parts."""
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
    """The path as sent and, except for S3, as AWS normalises and encodes it."""
    path = sent.path or "/"
    if signature.service == "s3":
        return {path}
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in {"", "."}:
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return {path, quote(f"/{'/'.join(segments)}{end}", safe=f"/{_UNRESERVED}")}


def _queries(sent: SentRequest) -> set[str]:
    """The query as sent, and as AWS encodes it; both without the signature."""
    pairs = [
        pair
        for pair in sent.query.split("&")
        if pair and pair.partition("=")[0] != "X-Amz-Signature"
    ]
    encoded = sorted(
        tuple(quote(unquote_to_bytes(part), safe=_UNRESERVED) for part in pair.partition("=")[::2])
        for pair in pairs
    )
    return {"&".join(pairs), "&".join(f"{name}={value}" for name, value in encoded)}
