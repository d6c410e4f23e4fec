"""The HTTP API: one function behind every path of it."""

import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.metrics import MetricUnit

from kalmap.api.openapi import document
from kalmap.api.schemas import Health
from kalmap.store.breaker import Circuit
from kalmap_handlers.http import batches, measurements, users
from kalmap_handlers.http.container import breaker, recent_states, watch_memory
from kalmap_handlers.http.gateway import Call, json_response
from kalmap_handlers.http.problems import problem_response
from kalmap_handlers.http.renewal import LastResponse
from kalmap_handlers.memory import resident_mb
from kalmap_handlers.telemetry import logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

app = APIGatewayRestResolver()


def _check_parameters(request: APIGatewayRestResolver, route: NextMiddleware) -> Response[Any]:
    Call(request.current_event, request.lambda_context).check_parameters()
    return route(request)


app.use(middlewares=[_check_parameters])
for router in (measurements.router, batches.router, users.router):
    app.include_router(router)


@app.get("/health")
def get_health() -> Response[Any]:
    """Show whether requests are answered."""
    circuit = breaker().circuit
    recent = recent_states()
    return json_response(
        Health(
            status="ok" if circuit is Circuit.CLOSED else "degraded",
            circuit=circuit,
            cached_states=len(recent) if recent else 0,
            memory_mb=round(resident_mb(), 1),
        )
    )


@app.get("/openapi.json")
def get_document() -> Response[Any]:
    """Show the OpenAPI document. Its server `.` is the address that it was read from."""
    return json_response(document("."))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def refuse(error: Exception) -> Response[Any]:
    """Respond with a problem."""
    return problem_response(Call(app.current_event, app.lambda_context), error)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request."""
    began = time.monotonic()
    # API Gateway has chosen the route already, and may have removed escapes from the path. The
    # resource names the route, whatever characters the path has.
    routed = event | {"path": event["resource"]}
    metrics.add_dimension("step", "api")
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    response = app.resolve(routed, context)
    memory = watch_memory()
    seconds = time.monotonic() - began
    response["multiValueHeaders"]["Server-Timing"] = [f"function;dur={1000 * seconds:.1f}"]
    metrics.add_metric("Errors", MetricUnit.Count, int(response["statusCode"] >= 500))
    metrics.add_metric("Duration", MetricUnit.Seconds, seconds)
    metrics.add_metric("Memory", MetricUnit.Megabytes, memory.used)
    metrics.add_metric("MemoryRelieved", MetricUnit.Count, int(memory.relieved))
    metrics.add_metric("MemoryExhausted", MetricUnit.Count, int(memory.exhausted))
    metrics.add_metric(
        "MemoryShare", MetricUnit.Percent, 100 * memory.used / int(context.memory_limit_in_mb)
    )
    logger.info(
        "request answered",
        resource=event["resource"],
        method=event["httpMethod"],
        status=response["statusCode"],
        seconds=round(seconds, 4),
        memory_mb=round(memory.used, 1),
    )
    return LastResponse(response) if memory.exhausted else response
