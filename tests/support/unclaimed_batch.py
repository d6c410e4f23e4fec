"""A batch that was identified on 1 March 2026, and that no execution has claimed."""

import msgspec

from kalmap.batch.identity import Batch, Limits
from kalmap.profile import builtin_profile


def unclaimed_batch(batch_id: str, attempt: str) -> tuple[str, bytes]:
    """The key of its description in the work bucket, and what it says."""
    batch = Batch(
        batch_id=batch_id,
        attempt=attempt,
        profile=builtin_profile("body-weight"),
        write_mode="conditional",
        limits=Limits(),
        adopt_profile=False,
        now=0,
        started_at="2026-03-01T00:00:00Z",
    )
    return f"batches/{batch_id}/{attempt}/batch.json", msgspec.json.encode(batch)
