"""A page in a real browser, against the local cloud: from another origin, and by DNS rebinding.

DNS rebinding: a page changes the address of its own name to that of the local cloud, so that its
browser sends requests for the page's host to the cloud. Here the page's host is a server on the
same port of another loopback address. It serves the page, and forwards every other request to the
cloud byte for byte.
"""

import json
import queue
import re
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).with_name("attack.html").read_text()
#: Names that the browser finds here, and no others.
OTHER_ORIGIN, REBOUND = "other-origin.test", "rebound.test"
_NAMES = (
    f"MAP {OTHER_ORIGIN} 127.0.0.1, MAP {REBOUND} 127.0.0.2, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1, EXCLUDE localhost"
)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_CLOSE = b"\r\nConnection: close"
_PATIENCE = 90.0


class Attack(NamedTuple):
    """What a page reported, and what was forwarded to the local cloud and back."""

    reported: dict[str, Any]
    handed_on: list[tuple[bytes, bytes]]


class _Host(socketserver.ThreadingTCPServer):
    """The page's host. It forwards other requests to an address, if there is one."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], cloud: str, zipped: str, onward: int) -> None:
        super().__init__(address, _Exchange)
        given = json.dumps(json.dumps({"cloud": cloud, "zip": zipped}))
        self.page = PAGE.replace('"GIVEN"', given).encode()
        self.reported: queue.Queue[dict[str, Any]] = queue.Queue()
        self.handed_on: list[tuple[bytes, bytes]] = []
        self.onward = onward


class _Exchange(socketserver.BaseRequestHandler):
    """One request and its response."""

    server: _Host

    def handle(self) -> None:
        sent = self._request()
        if sent.startswith(b"GET /page "):
            self._answer(b"text/html", self.server.page)
        elif sent.startswith(b"POST /report "):
            self._answer(b"text/plain", b"")
            self.server.reported.put(json.loads(sent.partition(b"\r\n\r\n")[2]))
        elif sent and self.server.onward:
            with socket.create_connection(("127.0.0.1", self.server.onward)) as cloud:
                # So that the end of the answer is seen. This header is not used.
                cloud.sendall(
                    re.sub(rb"(?i)\r\nConnection: [\w-]+", b"\r\nConnection: close", sent)
                )
                answer = b""
                with suppress(ConnectionResetError):
                    while part := cloud.recv(65536):
                        answer += part
            self.server.handed_on.append((sent, answer))
            self.request.sendall(answer)

    def _request(self) -> bytes:
        sent = b""
        while b"\r\n\r\n" not in sent:
            if not (part := self.request.recv(65536)):
                return b""
            sent += part
        length = re.search(rb"(?i)\r\nContent-Length: *(\d+)", sent)
        length_in_bytes = sent.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
        while len(sent) < length_in_bytes:
            sent += self.request.recv(65536)
        return sent

    def _answer(self, kind: bytes, body: bytes) -> None:
        self.request.sendall(
            b"HTTP/1.1 200 OK%b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (_CLOSE, kind, len(body), body)
        )


@contextmanager
def _serving(host: _Host) -> Iterator[_Host]:
    thread = threading.Thread(target=host.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        host.server_close()


def attack(chromium: str, port: int, name: str, zipped: str, folder: Path) -> Attack:
    """Open the page in a browser, and wait until it has made all attempts.

    Args:
        chromium: the browser.
        port: of the local cloud.
        name: the name that the page uses for the local cloud: one of its addresses, or `REBOUND`.
        zipped: a function's code, a zip in base64.
        folder: empty, for the browser's profile.
    """
    rebound = name == REBOUND
    host = _Host(
        ("127.0.0.2", port) if rebound else ("127.0.0.1", 0),
        f"http://{name}:{port}",
        zipped,
        port if rebound else 0,
    )
    with _serving(host):
        own = f"http://{REBOUND if rebound else OTHER_ORIGIN}:{host.server_address[1]}/page"
        browser = subprocess.Popen(
            [
                chromium,
                *_FLAGS,
                f"--user-data-dir={folder}",
                f"--host-resolver-rules={_NAMES}",
                own,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return Attack(host.reported.get(timeout=_PATIENCE), host.handed_on)
        finally:
            browser.terminate()
            browser.wait(30)
