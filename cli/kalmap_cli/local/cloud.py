"""The local cloud: ministack as a child process.

It listens only on the loopback interface, on a port that the kernel chooses. It answers only
requests that are signed with its secret, which is new at each start
(`kalmap_cli.local.access_files`). It stores its state in the data directory. It gets nothing of
the user's AWS account: no credentials, profiles or endpoints.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError

from kalmap_cli.errors import RunFailed, Unsaved, WrongUsage, as_sentence
from kalmap_cli.local.access_files import (
    ACCESS_KEY,
    ACCOUNT,
    REGION,
    create_secret,
    remove_access_files,
)
from kalmap_cli.local.clients import Clients, local_clients, signature_headers
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.guests import check_for_guests

#: What it says goes there, in its folder.
LOG_FILE = "cloud.log"
PROGRAM = Path(__file__).with_name("cloud_process.py")
_START_PATIENCE = 60.0
#: How long saving may take, seconds: longer than the local cloud gives itself.
_SAVE_PATIENCE = 130.0
#: How long it may take to end when it has saved.
_END_PATIENCE = 20.0

#: What the local cloud inherits: enough to find the interpreter's packages, and no more.
_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "SSL_CERT_FILE",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
)


def unexpected_end(log: Path) -> RunFailed:
    """What the user reads when a request failed because the local cloud has ended."""
    return RunFailed(
        f"The local cloud ended unexpectedly; its log is {log}. Nothing that it had stored is "
        f"lost. Run the same command again."
    )


class LocalCloud:
    """The local cloud of a data directory, running while the `with` block lasts.

    Args:
        data: the directory, locked by this process.
        idle_seconds: How long a Lambda worker may idle before it is ended. A batch needs each
            function once; whoever calls the same ones again and again wants them warm.
        port: where it listens on 127.0.0.1; 0 for a free one.

    Raises:
        WrongUsage: on entering: the port cannot be used.
        RunFailed: on entering: it did not start. The sentence names its log.
    """

    def __init__(self, data: DataDirectory, *, idle_seconds: float = 1.0, port: int = 0) -> None:
        self._data = data
        self._idle_seconds = idle_seconds
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._clients: Clients | None = None
        self.endpoint = ""
        self.secret = ""
        self.left_running = False
        """Whether it goes on, without us, for its guests."""
        self.log = data.cloud / LOG_FILE

    @property
    def process_id(self) -> int:
        """The local cloud's process id, which is its process group's too."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether it has not ended, by itself or by us."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self._data.cloud.mkdir(parents=True, exist_ok=True)
        try:
            self.secret = create_secret(self._data.path)
            self._start()
            self._clients = local_clients(self.endpoint, self.secret)
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self.running:
            # It has ended by itself.
            self._end()
            if isinstance(error, BotoCoreError):
                raise unexpected_end(self.log) from error
            return
        # No guest comes to a directory that is gone, and what lies in its place is not ours.
        here = (
            contextlib.nullcontext(False)
            if self._data.was_replaced
            else check_for_guests(self._data.path)
        )
        try:
            with here as has_guests:
                if has_guests and self.running:
                    self._leave()
                else:
                    self.stop()
        except RunFailed as failure:
            if isinstance(error, Unsaved):
                return  # it has said so already
            if not isinstance(error, RunFailed):
                raise
            # Both count: what the command failed at, and that its states are not saved.
            raise RunFailed(f"{as_sentence(error)} {failure}") from error

    def clients(self, service: str) -> Any:
        """A boto3 client of the local cloud."""
        if self._clients is None:
            raise AssertionError("the local cloud was not started")
        return self._clients(service)

    def _start(self) -> None:
        # Bound here and handed down: between choice and use nobody can take the port.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
            try:
                listening.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise WrongUsage(
                    f"Port {self._port} of 127.0.0.1 cannot be used: {error.strerror or error}. "
                    f"Name another with --port, or omit --port to get a free one."
                ) from error
            listening.listen(128)
            port = listening.getsockname()[1]
            self.endpoint = f"http://127.0.0.1:{port}"
            self._line, line = socket.socketpair()
            try:
                with self.log.open("wb") as log:
                    self._process = subprocess.Popen(  # noqa: S603 - our own program
                        [
                            sys.executable,
                            "-P",
                            str(PROGRAM),
                            str(listening.fileno()),
                            str(line.fileno()),
                            str(self._idle_seconds),
                            str(self._data.path),
                        ],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=_environment(self._data, port) | _credentials(self.secret),
                        # The lock goes with it: the directory is free when it has saved.
                        pass_fds=(listening.fileno(), line.fileno(), self._data.lock),
                        # Ctrl-C at the terminal is for us; we stop it in our own order.
                        start_new_session=True,
                        cwd=self._data.cloud,
                    )
            finally:
                line.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_PATIENCE
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        health = f"{self.endpoint}/_ministack/health"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            asked = urllib.request.Request(  # noqa: S310 - our own address
                health, headers=signature_headers(health, self.secret)
            )
            with contextlib.suppress(OSError), opener.open(asked, timeout=2):
                return
            time.sleep(0.05)
        word, why = self._told(1.0)
        if word == "refused":
            raise WrongUsage(why)
        if word != "unstarted":
            why = (self.log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        raise RunFailed(
            f"The local cloud did not start{f' ({why})' if why else ''}; its log is {self.log}."
        )

    def save(self) -> None:
        """Have everything saved now, such as what was deployed.

        Raises:
            Unsaved: It could not be saved.
        """
        if self._line is not None:
            self._line.sendall(b"s")
            self._expect_saved()

    def stop(self) -> None:
        """Let the local cloud save its state and end, with all its workers.

        Raises:
            RunFailed: It could not save.
        """
        process = self._process
        if process is None:
            return
        with _deaf_to_interrupts():
            process.terminate()
            try:
                self._expect_saved()
            finally:
                self._end()

    def _leave(self) -> None:
        """Let the local cloud go on for its guests; it saves and ends with the last of them."""
        try:
            self.save()
        finally:
            self.left_running = True
            if self._process is not None:
                self._data.hand_over_to(self._process.pid)
                self._process = None
            if self._line is not None:
                self._line.close()
                self._line = None

    def _end(self) -> None:
        """End the local cloud and all its workers, saved or not."""
        process, self._process = self._process, None
        if process is not None:
            with _deaf_to_interrupts():
                process.terminate()
                try:
                    process.wait(_END_PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if self._line is not None:
            self._line.close()
            self._line = None
        if not self._data.was_replaced:
            remove_access_files(self._data.path)

    def _expect_saved(self) -> None:
        word, why = self._told(_SAVE_PATIENCE)
        if word == "saved":
            return
        if word == "unsaved":
            raise Unsaved(
                f"The local cloud could not save: {why[:1].lower()}{why[1:]} ({self._data.path}). "
                f"Free some space, or correct what else is wrong. Nothing that was stored is lost: "
                f"the log of changes has it, and the next command saves it."
            )
        raise RunFailed(
            f"The local cloud ended before it had saved; its log is {self.log}. Nothing that was "
            f"stored is lost: the log of changes has it, and the next command saves it."
        )

    def _told(self, patience: float) -> tuple[str, str]:
        """The next word that the local cloud says on its line, and why; nothing if it has ended."""
        if self._line is None:
            return "", ""
        said = b""
        deadline = time.monotonic() + patience
        while not said.endswith(b"\n"):
            self._line.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                more = self._line.recv(4096)
            except OSError:
                more = b""
            if not more:
                return "", ""
            said += more
        word, _, why = said.decode(errors="replace").strip().partition(" ")
        return word, why


class _deaf_to_interrupts:  # noqa: N801 - reads as a phrase after `with`
    """Ctrl-C pressed twice must not tear saving apart."""

    def __enter__(self) -> None:
        try:
            self._before: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except ValueError:
            # Signals belong to the main thread; elsewhere none arrives.
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def _environment(data: DataDirectory, port: int) -> dict[str, str]:
    """Everything the local cloud and its workers see of the environment."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    nothing = str(data.cloud / "no-aws-configuration")
    return kept | {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # Never a Docker daemon, even where there is one.
        "DOCKER_HOST": f"unix://{nothing}",
        "LAMBDA_EXECUTOR": "local",
        # A call that waits for a worker holds a thread, and the worker's own calls need one.
        "MINISTACK_WORKER_THREADS": "256",
        "LOG_LEVEL": "ERROR",
        # Our own process saves (see `saving`); ministack writes objects as they come.
        "PERSIST_STATE": "0",
        "S3_PERSIST": "1",
        # By the working directory, so that one put in its place is never touched.
        "STATE_DIR": "tmp/state",
        "S3_DATA_DIR": "s3",
        "TMPDIR": str(data.cloud / "tmp"),
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The arrays are small and the workers many: one thread each.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _credentials(secret: str) -> dict[str, str]:
    """What the guard asks for, and what every worker signs with; other users cannot read it."""
    return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret}
