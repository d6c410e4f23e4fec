"""Has schemathesis sign each request as it is about to leave, as AWS's tools do.

A module of schemathesis's own environment, which knows neither kalmap nor botocore. What is signed
is the path and the query as they stand, which the local cloud takes.
"""

import hashlib
import hmac
import os
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
import schemathesis

ACCESS_KEY, SECRET = os.environ["KALMAP_ACCESS_KEY"], os.environ["KALMAP_SECRET"]
REGION, SERVICE = "us-east-1", "execute-api"


class Signed(requests.auth.AuthBase):
    """Signature Version 4."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request that is about to leave."""
        url, body = urlsplit(request.url), request.body or b""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        content = body.encode() if isinstance(body, str) else body
        digest = hashlib.sha256(content).hexdigest()
        headers = f"host:{url.netloc}\nx-amz-date:{now}\n\nhost;x-amz-date"
        canonical_request = f"{request.method}\n{url.path}\n{url.query}\n{headers}\n{digest}"
        scope = (now[:8], REGION, SERVICE, "aws4_request")
        hashed = hashlib.sha256(canonical_request.encode()).hexdigest()
        key = f"AWS4{SECRET}".encode()
        for part in (*scope, f"AWS4-HMAC-SHA256\n{now}\n{'/'.join(scope)}\n{hashed}"):
            key = hmac.digest(key, part.encode(), "sha256")
        request.headers["X-Amz-Date"] = now
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={'/'.join((ACCESS_KEY, *scope))}, "
            f"SignedHeaders=host;x-amz-date, Signature={key.hex()}"
        )
        return request


schemathesis.auth.set_from_requests(Signed())
