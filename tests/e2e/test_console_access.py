"""Whom the console of `kalmap serve` refuses: everybody without its cookie, and other pages."""

import socket

import pytest

from tests.support.console import serving

#: As long as the right token or cookie.
ANOTHER = 43 * "x"
READING = b'{"user_id": "u-1", "timestamp": "2026-03-01T08:00:00Z", "value": 80.0}'


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("console")) as served:
        yield served


def test_the_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_can_use(console):
    opened = console.ask(f"/?token={console.address.partition('=')[2]}", cookie="")
    assert (opened.code, opened.headers["location"]) == (303, f"{console.base}/")
    assert opened.headers["set-cookie"] == (
        f"{console.cookie}; Path={console.base}/; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize("path", ["/", "/?token=", f"/?token={ANOTHER}", "/?token=%ff", "/x"])
def test_without_the_token_there_is_no_cookie(console, path):
    refused = console.ask(path, cookie="")
    assert refused.code == 403
    assert "set-cookie" not in refused.headers
    assert "kalmap serve" in refused.text


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS"])
@pytest.mark.parametrize("cookie", ["", "kalmap-console=", f"kalmap-console={ANOTHER}"])
def test_without_the_cookie_no_page_answers(console, method, cookie):
    for path in ("/", "/upload", "/users", "/files/style.css", "/live/batches"):
        refused = console.ask(f"{console.base}{path}", method, cookie=cookie)
        assert refused.code == 403
        assert "Batches" not in refused.text


def test_the_cookie_alone_is_not_enough_without_the_name_of_the_folder(console):
    # A program on another port of this machine may be sent a cookie, but only one of its own path.
    for path in ("/upload", "/0123456789abcdef/", f"{console.base[:-1]}0/", f"{console.base}"):
        assert console.ask(path).code == 403


def test_a_page_that_has_changed_its_address_to_this_one_is_refused(console):
    # DNS rebinding: the request comes here, and its host is the page's.
    names = (f"evil.test:{console.port}", "evil.test", f"127.0.0.1.evil.test:{console.port}",
             "127.0.0.1", "127.0.0.1:1", f"127.0.0.1:{console.port}@evil.test", "")  # fmt: skip
    for host in names:
        assert console.ask(f"{console.base}/", host=host).code in {400, 403}, host
    assert console.ask(f"{console.base}/", host=f"localhost:{console.port}").code == 200


def test_a_request_with_two_hosts_is_refused(console):
    with socket.create_connection(("127.0.0.1", console.port)) as connection:
        connection.sendall(
            f"GET {console.base}/ HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\n"
            f"Host: evil.test\r\nCookie: {console.cookie}\r\n\r\n".encode()
        )
        assert connection.recv(100).split()[1] in {b"400", b"403"}


@pytest.mark.parametrize("origin", ["", "null", "http://evil.test", "http://127.0.0.1:1"])
def test_a_form_of_another_page_starts_nothing(console, origin):
    before = console.page("/executions").text.count("run-")
    assert console.upload("a.jsonl", READING, {}, origin=origin).code == 403
    assert console.page("/executions").text.count("run-") == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_another_page_makes_is_refused(console, site):
    # The pages of every port of this machine are of the same site.
    assert console.ask(f"{console.base}/", sec_fetch_site=site).code == 403
    assert console.ask(f"{console.base}/", origin="http://evil.test").code == 403
    preflight = console.ask(
        f"{console.base}/upload", "OPTIONS", origin="http://evil.test",
        access_control_request_method="POST",
    )  # fmt: skip
    assert preflight.code == 403


def test_no_answer_lets_another_page_read_it_or_put_it_into_a_frame(console):
    asked = [
        console.page("/"), console.page("/files/script.js"), console.page("/nothing"),
        console.ask("/", cookie=""),
    ]  # fmt: skip
    for answer in asked:
        names = [name.lower() for name in answer.headers]
        assert [name for name in names if name.startswith("access-control-")] == []
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert console.page("/").headers["cache-control"] == "no-store"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(console):
    kind = "multipart/form-data; boundary=a"
    headers = {"host": f"127.0.0.1:{console.port}", "cookie": console.cookie,
               "origin": console.origin, "content-type": kind}  # fmt: skip
    with socket.create_connection(("127.0.0.1", console.port), timeout=20) as connection:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(
            [f"POST {console.base}/upload HTTP/1.1", *lines, f"content-length: {1 << 40}", "", ""]
        )
        connection.sendall(head.encode())
        assert connection.recv(100).split()[1] == b"413"


def test_an_upload_that_breaks_off_starts_nothing_and_leaves_nothing(console):
    before = console.page("/executions").text.count("run-")
    with socket.create_connection(("127.0.0.1", console.port), timeout=20) as connection:
        lines = (
            f"POST {console.base}/upload HTTP/1.1", f"host: 127.0.0.1:{console.port}",
            f"cookie: {console.cookie}", f"origin: {console.origin}", "content-length: 99999",
            "content-type: multipart/form-data; boundary=a", "", "--a",
            'content-disposition: form-data; name="file"; filename="a.jsonl"', "", "{",
        )  # fmt: skip
        connection.sendall("\r\n".join(lines).encode())
    # Its complaints, if there are any, are looked at when the console has ended.
    assert console.page("/executions").text.count("run-") == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data", "multipart/form-data; boundary=a"]
)
def test_a_form_that_cannot_be_read_gets_a_sentence(console, kind):
    refused = console.ask(f"{console.base}/upload", "POST", b"--b\r\nx", content_type=kind)
    assert refused.code == 400
    assert "cannot be shown" in refused.text or "No file was chosen." in refused.text


def test_only_the_owner_can_read_the_address_and_only_this_machine_can_reach_it(console):
    assert oct((console.folder / "data" / "console-url").stat().st_mode & 0o777) == "0o600"
    # Another address of this machine, of the same interface even.
    with pytest.raises(OSError, match=r"refused|assign|unreachable|timed out"):
        socket.create_connection(("127.0.0.2", console.port), timeout=5)


def test_a_websocket_is_closed(console):
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13",
               "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    assert console.ask(f"{console.base}/", **upgrade).code == 403
