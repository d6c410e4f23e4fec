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

#: Gets the output of the process, in the folder of the local cloud.
LOG_FILE = "cloud.log"
PROGRAM = Path(__file__).with_name("cloud_process.py")
_START_TIMEOUT = 60.0
#: Seconds for a save: more than the process allows itself.
_SAVE_TIMEOUT = 130.0
#: Seconds for the process to end after its save.
_END_TIMEOUT = 20.0
#: Services of which clients are made while the process starts; the last one runs batches.
_SERVICES = ("cloudformation", "s3", "dynamodb", "stepfunctions")
#: Seconds for a process that does not answer to show that it has ended.
_MOMENT = 0.2

#: Variables that the process inherits: only those that find the interpreter's packages.
_INHERITED_VARIABLES = (
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
    """The error for the user when a request failed because the local cloud has ended."""
    return RunFailed(
        f"The local cloud ended unexpectedly; its log is {log}. Nothing that it had stored is "
        f"lost. Run the same command again."
    )


class LocalCloud:
    """The local cloud of a data directory. It runs while the `with` block lasts.

    Args:
        data: The directory, locked by this process.
        idle_seconds: How long a Lambda worker may be idle before it is ended. A batch needs each
            function once. Repeated calls of a function are faster with a longer time.
        port: The port on 127.0.0.1 to listen on; 0 for a free one.
        calls: Whether functions will surely be called, so that it prepares for that at once.

    Raises:
        WrongUsage: On entering: the port cannot be used.
        RunFailed: On entering: it did not start. The sentence names its log.
    """

    def __init__(
        self,
        data: DataDirectory,
        *,
        idle_seconds: float = 1.0,
        port: int = 0,
        calls: bool = False,
    ) -> None:
        self._data = data
        self._calls = calls
        self._idle_seconds = idle_seconds
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        """Connected to the process; see `cloud_process`."""
        self._clients: Clients | None = None
        self.endpoint = ""
        self.secret = ""
        self.left_running = False
        """Whether it keeps running for guests after the `with` block."""
        self.log = data.cloud / LOG_FILE

    @property
    def process_id(self) -> int:
        """The id of the local cloud's process and process group."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process has started and not ended."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self._data.cloud.mkdir(parents=True, exist_ok=True)
        try:
            self.secret = create_secret(self._data.path)
            self._start()
            self._clients = local_clients(self.endpoint, self.secret)
            for service in _SERVICES[: None if self._calls else -1]:
                self._clients(service)
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
        if isinstance(error, BotoCoreError) and self._process is not None:
            # A process that is killed closes its connections a moment before it has ended.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_MOMENT)
        if error is not None and not self.running:
            # It has ended unexpectedly.
            self._end()
            if isinstance(error, BotoCoreError):
                raise unexpected_end(self.log) from error
            return
        # A directory that was removed has no guests, and another one in its place is not ours.
        here = (
            contextlib.nullcontext(False)
            if self._data.was_replaced
            else check_for_guests(self._data.path)
        )
        try:
            with here as has_guests:
                if has_guests and self.running:
                    self._leave_running()
                else:
                    self.stop()
        except RunFailed as failure:
            if isinstance(error, Unsaved):
                return  # the error already says so
            if not isinstance(error, RunFailed):
                raise
            # Report both: the command failed, and its states are not saved.
            raise RunFailed(f"{as_sentence(error)} {failure}") from error

    def clients(self, service: str) -> Any:
        """A boto3 client of the local cloud."""
        if self._clients is None:
            raise AssertionError("the local cloud was not started")
        return self._clients(service)

    def _start(self) -> None:
        # The process inherits the bound socket, so no other program can take the port.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
            try:
                listening.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise WrongUsage(
                    f"Port {self._port} of 127.0.0.1 cannot be used: {error.strerror or error}. "
                    f"Name another with --api-port, or omit --api-port to get a free one."
                ) from error
            listening.listen(128)
            port = listening.getsockname()[1]
            self.endpoint = f"http://127.0.0.1:{port}"
            self._control, control = socket.socketpair()
            try:
                with self.log.open("wb") as log:
                    self._process = subprocess.Popen(  # noqa: S603 - our own program
                        [
                            sys.executable,
                            "-P",
                            str(PROGRAM),
                            str(listening.fileno()),
                            str(control.fileno()),
                            str(self._idle_seconds),
                            str(int(self._calls)),
                            str(self._data.path),
                        ],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=_environment(self._data, port) | _credentials(self.secret),
                        # It inherits the lock, so the directory stays locked until it has saved.
                        pass_fds=(listening.fileno(), control.fileno(), self._data.lock),
                        # Ctrl-C at the terminal goes only to this process, which stops it.
                        start_new_session=True,
                        cwd=self._data.cloud,
                    )
            finally:
                control.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        health = f"{self.endpoint}/_ministack/health"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            request = urllib.request.Request(  # noqa: S310 - our own address
                health, headers=signature_headers(health, self.secret)
            )
            with contextlib.suppress(OSError), opener.open(request, timeout=2):
                return
            time.sleep(0.05)
        word, reason = self._receive(1.0)
        if word == "refused":
            raise WrongUsage(reason)
        if word != "unstarted":
            reason = (self.log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        detail = f" ({reason})" if reason else ""
        raise RunFailed(f"The local cloud did not start{detail}; its log is {self.log}.")

    def save(self) -> None:
        """Save everything now.

        Raises:
            Unsaved: The save failed.
        """
        if self._control is not None:
            self._control.sendall(b"s")
            self._wait_until_saved()

    def stop(self) -> None:
        """Save everything, and end the local cloud with all its workers.

        Raises:
            RunFailed: The save failed.
        """
        process = self._process
        if process is None:
            return
        with _IgnoreInterrupts():
            process.terminate()
            try:
                self._wait_until_saved()
            finally:
                self._end()

    def _leave_running(self) -> None:
        """Leave the local cloud running for its guests. It saves and ends after the last one."""
        try:
            self.save()
        finally:
            self.left_running = True
            if self._process is not None:
                self._data.hand_over_to(self._process.pid)
                self._process = None
            self._close_control()

    def _end(self) -> None:
        """End the local cloud and all its workers, whether it has saved or not."""
        process, self._process = self._process, None
        if process is not None:
            with _IgnoreInterrupts():
                process.terminate()
                try:
                    process.wait(_END_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        self._close_control()
        if not self._data.was_replaced:
            remove_access_files(self._data.path)

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _wait_until_saved(self) -> None:
        word, reason = self._receive(_SAVE_TIMEOUT)
        if word == "saved":
            return
        if word == "unsaved":
            raise Unsaved(
                f"The local cloud could not save: {reason[:1].lower()}{reason[1:]} "
                f"({self._data.path}). "
                f"Free some space, or correct what else is wrong. Nothing that was stored is lost: "
                f"the log of changes has it, and the next command saves it."
            )
        raise RunFailed(
            f"The local cloud ended before it had saved; its log is {self.log}. Nothing that was "
            f"stored is lost: the log of changes has it, and the next command saves it."
        )

    def _receive(self, timeout: float) -> tuple[str, str]:
        """The next message of the process, a word and a reason; both empty if it has ended."""
        if self._control is None:
            return "", ""
        message = b""
        deadline = time.monotonic() + timeout
        while not message.endswith(b"\n"):
            self._control.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                received = self._control.recv(4096)
            except OSError:
                received = b""
            if not received:
                return "", ""
            message += received
        word, _, reason = message.decode(errors="replace").strip().partition(" ")
        return word, reason


class _IgnoreInterrupts:
    """Ignores Ctrl-C while the `with` block lasts, so that it cannot interrupt a save."""

    def __enter__(self) -> None:
        try:
            self._earlier_handler: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except ValueError:
            # Signals arrive only in the main thread.
            self._earlier_handler = None

    def __exit__(self, *_: object) -> None:
        if self._earlier_handler is not None:
            signal.signal(signal.SIGINT, self._earlier_handler)


def _environment(data: DataDirectory, port: int) -> dict[str, str]:
    """All environment variables of the local cloud and its workers."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    missing = str(data.cloud / "no-aws-configuration")
    return inherited | {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # Never use Docker, even if it is running.
        "DOCKER_HOST": f"unix://{missing}",
        "LAMBDA_EXECUTOR": "local",
        # A call that waits for a worker occupies a thread, and the worker's own calls need one.
        "MINISTACK_WORKER_THREADS": "256",
        "LOG_LEVEL": "ERROR",
        # kalmap saves everything else (see `persistence`). ministack writes objects to files.
        "PERSIST_STATE": "0",
        "S3_PERSIST": "1",
        # Relative to the working directory, so that a replaced directory is never touched.
        "STATE_DIR": "tmp/state",
        "S3_DATA_DIR": "s3",
        "TMPDIR": str(data.cloud / "tmp"),
        "AWS_CONFIG_FILE": missing,
        "AWS_SHARED_CREDENTIALS_FILE": missing,
        "AWS_EC2_METADATA_DISABLED": "true",
        # There are many workers with small arrays, so one thread each is fastest.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _credentials(secret: str) -> dict[str, str]:
    """The key that the guard checks and that all workers sign with. Other users cannot read it."""
    return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret}
