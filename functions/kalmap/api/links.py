"""Links to a batch's files in the work bucket, which work without credentials for a while."""

from collections.abc import Callable, Iterable
from itertools import chain, islice

from kalmap.api.schemas import Links
from kalmap.batch.folder import Folder
from kalmap.keys import EARLIER_UNREADABLE

LINK_SECONDS = 3600
_MAX_LINKS = 100

#: Signs an address of an object in the work bucket, by its key and the seconds that it works.
SignLink = Callable[[str, int], str]


def batch_links(folder: Folder, sign: SignLink, *, has_summary: bool) -> Links:
    """Sign links to the files of a batch that has ended, at most 100 of each kind."""

    def sign_all(keys: Iterable[str]) -> list[str]:
        return [sign(key, LINK_SECONDS) for key in islice(keys, _MAX_LINKS)]

    results = map(folder.results_keys, range(folder.rounds()))
    unreadable = sign_all(folder.lines_keys("unreadable")) or sign_all(
        folder.lines_keys(EARLIER_UNREADABLE)
    )
    return Links(
        expires_in=LINK_SECONDS,
        summary=sign(folder.summary_key(), LINK_SECONDS) if has_summary else None,
        results=sign_all(chain.from_iterable(results)),
        unreadable=unreadable,
        rejected=unreadable,
        revisions=sign_all(folder.lines_keys("revisions")),
    )
