"""The console of `kalmap serve` in a process of its own, and requests to it as they are typed."""

import http.client
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.kalmap_command import start

_BOUNDARY = "a-boundary-that-no-file-has"


class Answer(NamedTuple):
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Console(NamedTuple):
    """A console that is served, and the cookie that its token was exchanged for."""

    folder: Path
    """Where `kalmap serve` was started; its data directory is `data` in it."""
    address: str
    """With the token."""
    base: str
    """The folder of all pages, as in their paths."""
    cookie: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """Send one request with the headers of a browser that was let in, or others.

        An empty header is left out. In the names of headers `_` stands for a hyphen.
        """
        sent = {"host": f"127.0.0.1:{self.port}", "cookie": self.cookie}
        sent |= {"origin": self.origin} if method == "POST" else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return request(self.port, method, path, body, sent)

    def page(self, path: str) -> Answer:
        """One of its pages, by its path within the folder."""
        return self.ask(f"{self.base}{path}")

    def upload(
        self, name: str, content: bytes, fields: Mapping[str, str], **headers: str
    ) -> Answer:
        """Send the form of an upload."""
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'
            for field, text in fields.items()
        ]
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = "".join(parts).encode() + head.encode() + content
        body += f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return self.ask(f"{self.base}/upload", "POST", body, content_type=kind, **headers)

    def until_ended(self, execution: str) -> str:
        """Wait until an execution that an upload has led to has ended; returns its page."""
        deadline = time.monotonic() + 60
        while True:
            page = self.ask(execution).text
            if "data-live" not in page:
                return page
            assert time.monotonic() < deadline
            time.sleep(0.2)


def request(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send one request with exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if value:
                connection.putheader(name, value)
        if method == "POST":
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@contextmanager
def serving(folder: Path) -> Iterator[Console]:
    """Run `kalmap serve` on a free port while the block lasts."""
    process = start("serve", "--data-dir", "data", "--port", "0", cwd=folder)
    file = folder / "data" / "console-url"
    try:
        deadline = time.monotonic() + 60
        while not (folder / "data" / "api-url").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = file.read_text().strip()
        parts = urlsplit(address)
        host = {"host": parts.netloc}
        opened = request(parts.port, "GET", f"/?{parts.query}", b"", host)
        cookie = opened.headers["set-cookie"].partition(";")[0]
        yield Console(folder, address, opened.headers["location"].rstrip("/"), cookie, process)
    finally:
        _, complaints = ended(process)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    assert "could not answer" not in complaints


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End `kalmap serve` by Ctrl-C; returns what it has printed and complained about."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    if process.stdout.closed:
        return "", ""
    return process.communicate(timeout=60)


def text_of(page: str) -> str:
    """A page's text, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
