"""The cost of a batch on AWS, from its use of services.

Prices of us-east-1 in US dollars, from AWS's public price pages of 2026: Lambda on arm64, DynamoDB
on demand, S3 Standard, Step Functions STANDARD, CloudWatch Logs. Most other regions cost up to a
third more. The free tier and data transfer are not included.
"""

from typing import NamedTuple

from kalmap.results.totals import Totals

_LAMBDA_GB_SECOND = 0.0000133334
_LAMBDA_REQUEST = 0.20e-6
_READ_UNIT = 0.125e-6
_WRITE_UNIT = 0.625e-6
_S3_PUT = 0.005e-3
_S3_GET = 0.0004e-3
_TRANSITION = 0.025e-3
_LOG_GB = 0.50
#: A month of a GB.
_S3_GB_MONTH, _TABLE_GB_MONTH, _RECOVERY_GB_MONTH = 0.023, 0.25, 0.20
_GB = 1e9
#: States that the execution of a batch enters, and those of each round of conflicts.
PARENT_TRANSITIONS, ROUND_TRANSITIONS = 15, 9
#: A Map's child: one transition to start it, one into its Task, one to its end.
CHILD_TRANSITIONS = 3
#: Steps of the whole batch that report: of each batch, and of each round of conflicts.
SINGLE_STEPS, ROUND_STEPS = 5, 2
#: Lambda's START, END and REPORT, a line about the step, and its metrics. Assumed: of the last two,
#: 850 were measured.
_LOG_BYTES_PER_INVOCATION = 2_000
#: Starting a container: Python, boto3, numpy and kalmap. AWS bills it. Assumed: only the imports
#: were measured, and not on AWS.
_INITIALISATION_GB_SECONDS = 1.2
#: Children of one Map at a time, by the template's defaults: of Partition and Filter, and of Load
#: and Write.
CONCURRENCY, TABLE_CONCURRENCY = 40, 5


class Use(NamedTuple):
    """What a batch uses."""

    gb_seconds: float
    invocations: int
    transitions: int
    read_units: float
    write_units: float
    puts: int
    gets: int


class Bill(NamedTuple):
    """US dollars by service."""

    dynamodb: float
    step_functions: float
    functions: float
    """Lambda, and the logs of its functions."""
    s3: float

    @property
    def total(self) -> float:
        """All services together."""
        return sum(self)


def bill(use: Use) -> Bill:
    """What AWS bills for a use."""
    logs = use.invocations * _LOG_BYTES_PER_INVOCATION / _GB * _LOG_GB
    return Bill(
        dynamodb=use.read_units * _READ_UNIT + use.write_units * _WRITE_UNIT,
        step_functions=use.transitions * _TRANSITION,
        functions=use.gb_seconds * _LAMBDA_GB_SECOND + use.invocations * _LAMBDA_REQUEST + logs,
        s3=use.puts * _S3_PUT + use.gets * _S3_GET,
    )


def estimate(totals: Totals, rounds: int) -> float:
    """Estimate the cost of a batch in US dollars.

    A try that was killed before it could report counts with the time until the next one began, or
    with its function's timeout if that is less. The tries of a shard that was given up are not
    known.

    Args:
        totals: The sum of its reports.
        rounds: Rounds of conflicts after the first.
    """
    # Not every batch comes to its end, or has as many steps.
    single = SINGLE_STEPS + ROUND_STEPS * rounds
    children = max(0, totals.invocations - single)
    chunks = max(0, children - 3 * totals.shards)
    return bill(
        Use(
            totals.gb_seconds + initialisation(chunks, totals.first_shards),
            totals.invocations + totals.lost_tries,
            # Each retry is a transition.
            PARENT_TRANSITIONS
            + ROUND_TRANSITIONS * rounds
            + CHILD_TRANSITIONS * children
            + totals.lost_tries,
            totals.database.read_units,
            totals.database.write_units,
            totals.puts,
            totals.gets,
        )
    ).total


def initialisation(chunks: int, shards: int) -> float:
    """GB-seconds for the containers of a batch, if none is there already."""
    containers = (
        SINGLE_STEPS
        + min(chunks, CONCURRENCY)
        + min(shards, CONCURRENCY)
        + 2 * min(shards, TABLE_CONCURRENCY)
    )
    return containers * _INITIALISATION_GB_SECONDS


def stored_in_s3(gigabytes: float, days: float) -> float:
    """US dollars for files that are kept so many days."""
    return gigabytes * _S3_GB_MONTH * days / 30.0


def stored_states(gigabytes: float) -> float:
    """US dollars a month for states, with their point-in-time recovery."""
    return gigabytes * (_TABLE_GB_MONTH + _RECOVERY_GB_MONTH)
