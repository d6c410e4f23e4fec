"""How fast batches usually are: what tells the time left before a Map's first item has ended."""

import contextlib
from itertools import islice
from typing import NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from kalmap.batch.folder import Folder
from kalmap.batch.partitions import Partitions
from kalmap.errors import KalmapError
from kalmap.results.report import StepName
from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment

#: The largest of so many newest batches is asked.
_NEWEST = 10
#: What a batch needs whatever its size says little of one that has more times its work.
_MOST_TIMES = 4


class UsualSpeed(NamedTuple):
    """The work of a batch and the seconds that its steps took."""

    readings: int
    size: int
    """Bytes of its input."""
    seconds: dict[StepName, float]

    def seconds_of(self, step: StepName, work: int) -> float | None:
        """How long a step takes for so much work at this speed; None if it is not known.

        Args:
            step: A step that a Map runs.
            work: Bytes for the step partition, readings for others.
        """
        done = self.size if step == "partition" else self.readings
        seconds = self.seconds.get(step)
        if not seconds or not done or work > _MOST_TIMES * done:
            return None
        return seconds * work / done


#: What a million readings took on the local cloud, on two cores. It is all that is known until a
#: large batch has run here.
_OF_A_SMALL_MACHINE = UsualSpeed(
    1_041_120, 149_000_000, {"partition": 3.0, "load": 2.0, "filter": 6.5, "write": 5.5}
)
#: A batch with fewer readings says little of the time of larger ones.
_LEAST = 50_000


def usual_speed(deployment: Deployment) -> UsualSpeed | None:
    """The speed of the largest of the newest batches that succeeded.

    Returns:
        If that one is small, the speed of a small machine on the local cloud, and else None.
    """
    with contextlib.suppress(KalmapError, BotoCoreError, ClientError, msgspec.MsgspecError):
        records = [
            record
            for record in islice(deployment.batches.newest(), _NEWEST)
            if isinstance(record, BatchRecord)
            and record.status == "SUCCEEDED"
            and (record.received or 0) >= _LEAST
        ]
        if records:
            largest = max(records, key=lambda record: record.received or 0)
            return _speed_of(Folder(deployment.objects, largest.prefix))
    return _OF_A_SMALL_MACHINE if deployment.is_local else None


def _speed_of(folder: Folder) -> UsualSpeed:
    summary = msgspec.json.decode(folder.summary() or b"{}")
    return UsualSpeed(
        summary.get("readings", {}).get("received", 0),
        sum(chunk.weight for chunk in Partitions(folder).chunks()),
        summary.get("time", {}).get("phases", {}),
    )
