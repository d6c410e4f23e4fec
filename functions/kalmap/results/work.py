"""Work: what each invocation of a step took. The performance monitor judges it."""

import msgspec

from kalmap.outcome import Status
from kalmap.results.report import Report, StepName


class Work(msgspec.Struct, frozen=True, array_like=True):
    """One invocation of a step. Times are in seconds, memory in MB."""

    step: StepName
    round: int
    number: int
    seconds: float
    cpu_seconds: float
    allowed_seconds: float
    """What the function's timeout left for it; 0 if that is not known."""
    readings: int
    rejected: int
    largest_user: int
    """Readings of the user with most of them."""
    users: int
    requests: int
    """Calls to the database."""
    request_seconds: float
    memory_mb: float = 0.0
    """The most that its process has held so far."""
    call: int = 0
    """Which call of its process it was, from 1; 0 if that is not known."""
    throttles: int = 0
    """Requests that the table turned away, whole or in part."""
    most_rejected: int = 0
    """Rejected readings of the user with most of them."""

    @property
    def size(self) -> int:
        """How much there was to do: readings, or users where a step has none."""
        return self.readings or self.users


def work_of(report: Report) -> list[Work]:
    """What a report says about its work; nothing if its time is not known."""
    if report.ended <= report.started or not report.allowed_seconds:
        return []
    return [
        Work(
            step=report.step,
            round=report.round,
            number=report.number,
            seconds=round(report.ended - report.started, 4),
            cpu_seconds=round(report.cpu_seconds, 4),
            allowed_seconds=round(report.allowed_seconds, 1),
            readings=sum(report.readings.values()),
            rejected=sum(report.readings.of_status(Status.REJECTED).values()),
            largest_user=report.largest_user,
            users=report.users,
            requests=report.database.requests,
            request_seconds=round(report.database.seconds, 4),
            memory_mb=round(report.memory_mb, 1),
            call=report.call,
            throttles=report.database.throttles,
            most_rejected=report.most_rejected,
        )
    ]
