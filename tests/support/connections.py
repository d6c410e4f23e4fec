"""Servers in front of a table or in its place, and a record of what a client sends."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit


@contextlib.contextmanager
def sent_by(client):
    """Collects the requests that a client sends, as (operation, parameters)."""
    seen = []

    def note(params, model, **_):
        seen.append((model.name, params))

    client.meta.events.register("provide-client-params.dynamodb.*", note)
    try:
        yield seen
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb.*", note)


@contextlib.contextmanager
def deaf_server():
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def cutting_proxy(address, cuts, after=0):
    """The address of a proxy that closes the connection instead of the first `cuts` answers.

    Their first `after` bytes still come.

    The server has carried out those requests in full before the client loses the connection.
    """
    target = urlsplit(address)
    left = threading.Semaphore(cuts)

    def serve(near):
        with near, socket.create_connection((target.hostname, target.port)) as far:
            while request := _message(near):
                far.sendall(request)
                answer = _message(far)
                if left.acquire(blocking=False):
                    near.sendall(answer[:after])
                    return
                near.sendall(answer)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=serve, args=(near,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _message(connection):
    """One HTTP message with a length, like all of DynamoDB's; empty at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    missing = int(fields.get(b"content-length", b"0")) - len(body)
    while missing > 0:
        part = connection.recv(missing)
        data += part
        missing -= len(part)
    return data


@contextlib.contextmanager
def answering_server(status, body, times):
    """The address of a server that gives one answer a number of times, and then never answers.

    Proxies and load balancers in front of DynamoDB answer like this.
    """
    answers = []
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                with near:
                    while _message(near) and len(answers) < times:
                        answers.append(status)
                        near.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", answers
        listener.shutdown(socket.SHUT_RDWR)
