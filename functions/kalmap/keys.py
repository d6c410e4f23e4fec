"""Names in the work bucket: its top folders, and the files in the folder of a batch's attempt.

`kalmap.batch.folder` describes what the files of a batch hold. A name ends with a slash if it is a
folder's. A batch's names begin after its prefix, `batches/{batch_id}/{attempt}/`.
"""

import re
from typing import Literal, NamedTuple, cast, get_args

# The top folders.
ANSWERS = "answers/"
BATCHES = "batches/"
CACHE = "cache/"
INCOMING = "incoming/"
INLINE = "inline/"
MAP_RUNS = "map-runs/"
PROFILES = "profiles/"
UPLOADS = "uploads/"

#: No input may be read from these: they hold what kalmap stores. A batch of inline records reads
#: its input from `inline/`.
OWN_FOLDERS = (BATCHES, MAP_RUNS, ANSWERS, CACHE, PROFILES)

# The files of a batch.
PLAN = "plan.json"
SUMMARY = "summary.json"
PARTITIONS = "partitions/"
#: How the folder of each round begins.
ROUNDS = "round-"
#: Where earlier versions stored lines about unreadable records.
EARLIER_UNREADABLE = "rejected"

#: The form of a batch's results, lines of JSON or Parquet, as the names of their files end.
Form = Literal["jsonl", "parquet"]
_RESULTS = re.compile(rf"/{ROUNDS}(\d+)/results/(\d+)(\.failed)?\.({'|'.join(get_args(Form))})$")
#: A file of other lines.
LINES_KEY = re.compile(rf"/(unreadable|{EARLIER_UNREADABLE}|failed|revisions)/[^/]*\.jsonl$")


def in_round(round_: int, name: str = "") -> str:
    """The name of a round's file or folder."""
    return f"{ROUNDS}{round_}/{name}"


def shards(round_: int) -> str:
    """The name of a round's Map items."""
    return in_round(round_, "shards.json")


def results_folder(round_: int) -> str:
    """The name of the folder of a round's result lines."""
    return in_round(round_, "results/")


class ResultsFile(NamedTuple):
    """What the key of a file of results says."""

    round: int
    shard: int
    is_failed: bool
    """Whether its lines replace some of the shard's other results of the round."""
    form: Form


def results(round_: int, shard: int, *, failed: bool, form: Form) -> str:
    """The name of a shard's results in a form, or of the failed ones that replace some of them."""
    return f"{results_of_shard(round_, shard)}{'failed.' if failed else ''}{form}"


def results_of_shard(round_: int, shard: int) -> str:
    """How the names of a shard's results of a round begin."""
    return f"{results_folder(round_)}{shard:06d}."


def results_file(key: str) -> ResultsFile | None:
    """What a key says if it is that of a file of results; else None."""
    found = _RESULTS.search(key)
    if found is None:
        return None
    round_, shard, failed, form = found.groups()
    return ResultsFile(int(round_), int(shard), failed is not None, cast(Form, form))


def in_form(key: str, form: Form) -> str:
    """The key of a file of results if it had another form."""
    return f"{key.rpartition('.')[0]}.{form}"


def lines_folder(kind: str) -> str:
    """The name of the folder of lines of a kind: `unreadable`, `failed` or `revisions`."""
    return f"{kind}/"


def lines_of_round(kind: str, round_: int) -> str:
    """How the names of a round's lines of a kind begin."""
    return f"{lines_folder(kind)}{round_}-"


def lines(kind: str, round_: int, shard: int) -> str:
    """The name of a shard's lines of a kind."""
    return f"{lines_of_round(kind, round_)}{shard:06d}.jsonl"


def partition(chunk: int) -> str:
    """The name of a chunk's slices."""
    return f"{PARTITIONS}{chunk:06d}.bin"


def partition_report(chunk: int) -> str:
    """The name of the report with the lengths of a chunk's slices."""
    return f"{PARTITIONS}{chunk:06d}.report"


def reports_folders(round_: int) -> tuple[str, str]:
    """The names of the folders of a round's reports: those of the write step have their own."""
    return in_round(round_, "reports/"), in_round(round_, "writes/")


def reports_of_step(round_: int, step: str) -> str:
    """How the names of a step's reports begin."""
    reports, writes = reports_folders(round_)
    return f"{writes if step == 'write' else reports}{step}-"


def report(round_: int, step: str, number: int) -> str:
    """The name of a step's report."""
    return f"{reports_of_step(round_, step)}{number:06d}.json"


def report_number(key: str) -> int:
    """The number of the shard or chunk whose report has this key."""
    return int(key.rpartition("-")[2].removesuffix(".json"))
