"""The cost of a request is bounded before it is parsed, and no caller blocks others."""

import gzip
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec
import pytest

from kalmap.profile import builtin_profile
from kalmap_handlers.memory import resident_mb
from tests.support.both_paths import reading
from tests.support.template import ROOT

LONG = 9_900_000


def zipped(body) -> bytes:
    return gzip.compress(body if isinstance(body, bytes) else json.dumps(body).encode())


def under_a_profile(number):
    """A request under a profile of its own, whose description is as long as a body may be."""
    profile = msgspec.to_builtins(builtin_profile("body-weight"))
    profile |= {"name": f"p-{number}", "description": "x" * LONG}
    return {"measurements": [reading("u-1", 0)], "profile": profile}


def of_long_lines(number):
    lines = [{"user_id": f"{number}-{line}", "value": "x" * 20_000} for line in range(490)]
    return {"measurements": lines}


class TestOtherCallersAreAnswered:
    @pytest.mark.parametrize("of", [under_a_profile, of_long_lines])
    def test_requests_that_inflate_leave_ordinary_ones_answered(self, api, of):
        api.post([reading("u-1", 0)])
        before = resident_mb()
        for number in range(24):
            sent = zipped(of(number))
            assert len(sent) < 45_000
            response = api.call("POST", "/measurements", raw=sent, Content_Encoding="gzip")
            assert (response.status, response.body["code"]) == (413, "too_large")
        assert resident_mb() - before < 60
        assert {api.post([reading("u-2", hour)]).status for hour in range(60)} == {200}

    def test_a_profile_may_have_a_description_but_not_a_very_long_one(self, api):
        profile = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": "mine"}
        for more, status in (
            ({"description": "x" * 10_000}, 200),
            ({"description": "x" * 10_001}, 400),
            ({"sources": {"x" * 129: 1.0}}, 400),
        ):
            body = {"measurements": [reading("u-1", 0)], "profile": profile | more}
            assert api.call("POST", "/measurements", body).status == status

    def test_above_the_memory_limit_the_cache_is_cleared_and_every_request_is_answered(
        self, start, capsys
    ):
        # Python with numpy takes more than 64 MB: every answer passes the limit.
        api = start(BATCH_MEMORY_LIMIT_MB="64")
        from kalmap_handlers.http.container import recent_states

        for hour in range(5):
            assert api.post([reading("u-1", hour)]).status == 200
            assert len(recent_states()) == 0
        metrics = [json.loads(x) for x in capsys.readouterr().out.splitlines() if "_aws" in x]
        assert [one["MemoryRelieved"] for one in metrics] == [[1.0]] * 5

    def test_below_the_memory_limit_cached_states_stay(self, start, capsys):
        api = start(BATCH_MEMORY_LIMIT_MB="4096")
        api.post([reading("u-1", 0)])
        from kalmap_handlers.http.container import recent_states

        assert len(recent_states()) == 1
        metrics = [json.loads(x) for x in capsys.readouterr().out.splitlines() if "_aws" in x]
        assert metrics[-1]["MemoryRelieved"] == metrics[-1]["MemoryExhausted"] == [0.0]


@pytest.mark.parametrize("route", ["/measurements", "/batches"])
@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'[[["a"]]]', b'""'])
def test_many_small_values_are_refused_before_they_are_made(api, route, value):
    # As many as Lambda lets through, each of which would take 50 bytes of memory and more.
    many = b",".join([value] * (4_300_000 // (len(value) + 1)))
    records = (
        b'{"measurements":[%b]}' if route == "/measurements" else b'{"source":{"records":[%b]}}'
    )
    before = resident_mb()
    response = api.call("POST", route, raw=records % many)
    assert (response.status, response.body["code"]) == (413, "too_large")
    assert resident_mb() - before < 40


def test_a_body_that_inflates_too_far_is_refused_where_long_bodies_are_accepted(api):
    sent = zipped(of_long_lines(0))
    response = api.call("POST", "/batches", raw=sent, Content_Encoding="gzip")
    assert (response.status, response.body["code"]) == (413, "too_large")
    assert "inflates to more than" in response.body["message"]


def test_an_ordinary_request_is_not_too_large(api):
    # 500 measurements with everything in them, which shrink well; and one with a long line.
    ids = [
        {"measurement_id": f"{number:0128d}", "unit": "kg", "source": "scale"}
        for number in range(500)
    ]
    records = [reading(f"{n:0128d}", n) | ids[n] for n in range(500)]
    raw = zipped({"measurements": records})
    response = api.call("POST", "/measurements", raw=raw, Content_Encoding="gzip")
    assert response.status == 200
    response = api.post([{"user_id": "u", "note": "x" * 70_000}])
    assert response.body["results"][0]["status"] == "unreadable"
    # A batch's records may be many, and as alike as readings are.
    raw = zipped(
        {"source": {"records": [reading(f"u-{n % 300}", n) for n in range(40_000)]}, "limits": 5}
    )
    response = api.call("POST", "/batches", raw=raw, Content_Encoding="gzip")
    assert (response.status, response.body["field"]) == (400, "limits")


def test_a_problem_quotes_no_more_than_can_be_read(api):
    response = api.call("POST", "/measurements", {"measurements": [1], "x" * 100_000: 1})
    assert response.status == 400
    assert len(response.raw) < 2_000


def test_a_profile_in_the_bucket_is_not_read_beyond_what_a_profile_may_be(api):
    api.s3.put_object(Bucket=api.bucket, Key="mine/p.json", Body=b" " * 1_000_001)
    body = {
        "source": {"records": [reading("u", 0)]},
        "profile": {"bucket": api.bucket, "key": "mine/p.json"},
    }
    response = api.call("POST", "/batches", body)
    assert (response.status, response.body["code"]) == (400, "invalid_profile")
    assert "1,000,000 bytes" in response.body["message"]


#: What AWS's runtime for Python does with an answer: send it, let go of it, ask for the next.
RUNTIME = """
import json, os, urllib.request
from kalmap_handlers.http.renewal import LastResponse
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
del os.environ["TAKEN_BY_THE_RUNTIME"]
answered = 0
def handle():
    global answered
    event = json.load(urllib.request.urlopen(api + "/next"))
    answered += 1
    answer = {"request": event, "answered": answered, "process": os.getpid()}
    answer = LastResponse(answer) if event % 2 else answer
    urllib.request.urlopen(api + "/response", json.dumps(answer).encode())
while True:
    handle()
"""


def test_a_process_that_restarts_has_sent_its_answer_and_loses_no_other_request():
    answers, last = [], 6

    class Runtime(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if len(answers) < last else 410)
            self.end_headers()
            self.wfile.write(str(len(answers)).encode())

        def do_POST(self):
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Runtime) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        more = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
            "PYTHONPATH": "functions",
            "TAKEN_BY_THE_RUNTIME": "1",
        }
        subprocess.run(
            [sys.executable, "-c", RUNTIME],
            cwd=ROOT, env=os.environ | more, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        server.shutdown()
    assert [one["request"] for one in answers] == list(range(last))
    # Each second answer is a process's last one. From outside it stays the same process.
    assert [one["answered"] for one in answers] == [1, 2] * 3
    assert len({one["process"] for one in answers}) == 1


def test_a_second_gzip_stream_behind_the_first_is_refused_and_not_dropped(api):
    body = zipped({"measurements": [reading("u-1", 0)]})
    response = api.call("POST", "/measurements", raw=body + body, Content_Encoding="gzip")
    assert response.status == 400
    assert "bytes after the end of its gzip stream" in response.body["message"]
    padded = api.call("POST", "/measurements", raw=body + bytes(8), Content_Encoding="gzip")
    assert padded.status == 200


def test_above_the_memory_limit_a_process_gives_no_further_answer(start, monkeypatch):
    from kalmap_handlers.http import renewal

    begun = []
    monkeypatch.setattr(renewal, "_restart", lambda: begun.append(True))
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert start(BATCH_MEMORY_LIMIT_MB="4096").post([reading("u-1", 0)]).status == 200
    assert not begun
    assert start(BATCH_MEMORY_LIMIT_MB="64").post([reading("u-1", 1)]).status == 200
    assert begun == [True]
