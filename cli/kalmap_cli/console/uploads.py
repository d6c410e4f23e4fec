"""The page that takes a file from the browser and starts a batch of it, as `kalmap run` does."""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from kalmap.errors import InvalidInput
from kalmap.profile import DEFAULT_PROFILE, builtin_profiles
from kalmap_cli.batch_options import batch_options
from kalmap_cli.console.pages import deployment_of, page
from kalmap_cli.errors import WrongUsage
from kalmap_cli.execution import new_execution_arn, start_execution
from kalmap_cli.file_batch import understand_batch, upload_batch
from kalmap_cli.file_names import printable
from kalmap_cli.inputs import Input
from kalmap_cli.own_files.said import read_said

#: The largest request with a file.
MOST_BYTES = 1 << 30
#: Fields of a form, and bytes of one.
_MOST_FIELDS, _MOST_FIELD_BYTES = 20, 4096
_MOST_NAME = 120
_SAID = ("columns", "user", "unit", "source", "tz", "dates", "decimal")


class Sent(NamedTuple):
    """A form that was sent."""

    file: UploadFile | None
    fields: dict[str, str]


def form(request: Request) -> Response:
    """The empty form."""
    return _form(request, {}, "")


async def upload(answer: Callable[[Request], Response], request: Request) -> Response:
    """Receive a form into a file on disk, and answer it in a thread."""
    try:
        async with request.form(
            max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD_BYTES
        ) as received:
            file = received.get("file")
            fields = {name: text for name, text in received.items() if isinstance(text, str)}
            request.state.sent = Sent(file if isinstance(file, UploadFile) else None, fields)
            return await run_in_threadpool(answer, request)
    except ClientDisconnect:
        # Nobody reads this answer.
        return Response(status_code=400)


def start(request: Request) -> Response:
    """Start a batch of the file that was sent; show the form again if something is not certain."""
    sent: Sent = request.state.sent
    fields = {name: text.strip() for name, text in sent.fields.items()}
    try:
        execution = _start(request, sent.file, fields)
    except (WrongUsage, InvalidInput) as error:
        return _form(request, fields, str(error), code=400)
    folder = request.app.state.folder
    return RedirectResponse(f"{folder}/executions/{execution}", 303)


def safe_name(name: str) -> str:
    """The last part of a file's name, as a text that can be shown and stored."""
    last = printable(name).replace("\\", "/").rpartition("/")[2].strip().lstrip(".")
    return last[-_MOST_NAME:] or "upload"


def _start(request: Request, file: UploadFile | None, fields: dict[str, str]) -> str:
    if file is None or not file.filename:
        raise WrongUsage("No file was chosen.")
    profile = fields.get("profile") or DEFAULT_PROFILE
    # A name, and never a file of this machine.
    if profile not in builtin_profiles():
        raise WrongUsage("There is no built-in profile of this name.")
    arguments = _arguments(fields, None if profile == DEFAULT_PROFILE else profile)
    said, options = read_said("run", arguments), batch_options(arguments)
    deployment = deployment_of(request)
    with tempfile.TemporaryDirectory(prefix="kalmap-") as temporary:
        content = Path(temporary) / "content"
        with content.open("wb") as copy:
            shutil.copyfileobj(file.file, copy, 1 << 20)
        input_ = Input(Path(safe_name(file.filename)), content)
        batch = understand_batch([input_], said, options["profile"])
        source = upload_batch(deployment, batch)
    arn = new_execution_arn(deployment.stack)
    start_execution(deployment.clients, deployment.stack, {"source": source, **options}, arn)
    return arn.rpartition(":")[2]


def _arguments(fields: dict[str, str], profile: str | None) -> argparse.Namespace:
    """The fields as the arguments of `kalmap run`."""
    return argparse.Namespace(
        **{name: fields.get(name) or None for name in (*_SAID, "limits", "now", "share")},
        profile=profile,
        write_mode="none" if fields.get("rehearsal") else None,
        adopt_profile=bool(fields.get("adopt_profile")),
    )


def _form(request: Request, fields: dict[str, str], problem: str, *, code: int = 200) -> Response:
    return page(
        request,
        "upload.html.jinja",
        code=code,
        fields=fields,
        problem=problem,
        profiles=builtin_profiles(),
        default=DEFAULT_PROFILE,
        megabytes=MOST_BYTES >> 20,
    )
