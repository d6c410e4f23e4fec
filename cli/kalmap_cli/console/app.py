"""The console's addresses, and its answer where something is wrong: a sentence."""

import functools
import os
import sys
import traceback
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from kalmap.errors import InputNotFound, InvalidInput, StoreUnavailable
from kalmap_cli.aws_errors import explain_aws_error
from kalmap_cli.console import batches, executions, results, uploads, users
from kalmap_cli.console.drawn_reports import DrawnReports
from kalmap_cli.console.pages import asset, page
from kalmap_cli.console.seen_executions import SeenExecutions
from kalmap_cli.console.user_list import UserList
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import DEBUG_VARIABLE, RunFailed, WrongUsage, as_sentence

_Answer = Callable[[Request], Response]

#: The pages by their addresses. Each reads, and changes nothing.
_PAGES: dict[str, _Answer] = {
    "/": batches.batch_list,
    "/live/batches": batches.batch_list_now,
    "/batches/{batch}": batches.batch,
    "/live/batches/{batch}": batches.batch_now,
    "/batches/{batch}/report": batches.report,
    "/batches/{batch}/results": results.results,
    "/batches/{batch}/results.{form}": results.download_results,
    "/batches/{batch}/unreadable": results.unreadable_records,
    "/batches/{batch}/unreadable.jsonl": results.download_unreadable,
    "/executions": executions.execution_list,
    "/executions/{execution}": executions.execution,
    "/live/executions/{execution}": executions.execution_now,
    "/executions/{execution}/maps/{map:int}": executions.map_run,
    "/executions/{execution}/maps/{map:int}/{item}": executions.item,
    "/users": users.user_list,
    "/user": users.user,
    "/upload": uploads.form,
    "/files/{name}": asset,
}


def create_app(deployment: Deployment, folder: str) -> Starlette:
    """The console of a deployment.

    Args:
        deployment: What its pages are about.
        folder: What the path of each page begins with.
    """
    routes = [Route(path, _explained(answer)) for path, answer in _PAGES.items()]
    upload = functools.partial(uploads.upload, _explained(uploads.start))
    routes.append(Route("/upload", upload, methods=["POST"]))
    app = Starlette(
        routes=[Mount(folder, routes=routes)],
        exception_handlers={HTTPException: _explain_http},
        max_body_size=uploads.MOST_BYTES,
    )
    app.state.deployment = deployment
    app.state.folder = folder
    app.state.executions = SeenExecutions(deployment.clients)
    app.state.users = UserList(deployment)
    app.state.reports = DrawnReports(deployment)
    return app


def _explained(answer: _Answer) -> _Answer:
    """The same page, with a sentence where it cannot be made."""

    def answered(request: Request) -> Response:
        try:
            return answer(request)
        except (WrongUsage, InvalidInput) as error:
            return _problem(request, 400, str(error))
        except InputNotFound as error:
            return _problem(request, 404, str(error))
        except RunFailed as error:
            return _problem(request, 500, str(error))
        except (BotoCoreError, ClientError, StoreUnavailable) as error:
            explained = explain_aws_error(error)
            sentence = f"The cloud does not answer: {as_sentence(error)}"
            return _problem(request, 503, explained[0] if explained else sentence)
        except Exception as error:  # noqa: BLE001 - the last boundary: a user gets no traceback
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exception(error)
            # What an error says may name a user.
            kind = type(error).__name__
            print(f"The console could not answer {request.method}: {kind}.", file=sys.stderr)
            return _problem(request, 500, f"Something unexpected went wrong ({kind}).")

    return answered


def _explain_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentences = {
        404: "There is no such page.",
        405: "This page cannot be asked for in this way.",
        413: f"The file is larger than {uploads.MOST_BYTES >> 20:,} MB. "
        "`kalmap run FILE` reads files of any size.",
    }
    return _problem(request, status, sentences.get(status, "The request could not be read."))


def _problem(request: Request, status: int, sentence: str) -> Response:
    return page(request, "problem.html.jinja", code=status, sentence=sentence)
