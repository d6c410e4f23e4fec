"""The cost of a batch on AWS, estimated from its use of services.

Prices of us-east-1 in US dollars, from AWS's public price pages of 2026: Lambda on arm64,
DynamoDB on demand, S3 Standard requests, Step Functions STANDARD. The free tier, storage and
data transfer are not included.
"""

from kalmap.results.totals import Totals

_LAMBDA_GB_SECOND = 0.0000133334
_LAMBDA_REQUEST = 0.20e-6
_READ_UNIT = 0.125e-6
_WRITE_UNIT = 0.625e-6
_S3_PUT = 0.005e-3
_S3_GET = 0.0004e-3
_TRANSITION = 0.025e-3
#: A Map's child: one transition to start it, one into its Task, one to its end.
_TRANSITIONS_PER_INVOCATION = 3


def estimate(totals: Totals) -> float:
    """Estimate the cost of a batch in US dollars."""
    return (
        totals.gb_seconds * _LAMBDA_GB_SECOND
        + totals.invocations * (_LAMBDA_REQUEST + _TRANSITIONS_PER_INVOCATION * _TRANSITION)
        + totals.database.read_units * _READ_UNIT
        + totals.database.write_units * _WRITE_UNIT
        + totals.puts * _S3_PUT
        + totals.gets * _S3_GET
    )
