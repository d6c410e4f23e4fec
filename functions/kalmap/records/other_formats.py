"""Other formats: files that are not read, recognised by their first bytes, and advice for each."""

from typing import NamedTuple

from kalmap.records.gzipped import MAGIC


class Other(NamedTuple):
    """A format that is not read."""

    kind: str
    advice: str


XML = "XML or HTML"
UTF_16 = "text in UTF-16"
_UNPACK = "Unpack it, and give the files that are in it."
_INFLATE = "Of compressed files, gzip's are read. Inflate it first: {} FILE > INFLATED"
_CONVERT = "Convert it to JSONL or CSV."
_GUNZIP = "Inflate it first: its columns are compressed by themselves."
_AS_UTF_8 = "Save it as UTF-8, for example by: iconv -f UTF-16 -t UTF-8."
_UTF_32 = Other("text in UTF-32", "Save it as UTF-8, for example by: iconv -f UTF-32 -t UTF-8.")
_BEGINNINGS = (
    (b"\xff\xfe\0\0", _UTF_32),
    (b"\0\0\xfe\xff", _UTF_32),
    # Where they are not gzipped, they are read.
    (b"PAR1\x15", Other("a gzipped Parquet file", _GUNZIP)),
    (b"ARROW1\0\0", Other("a gzipped Arrow file", _GUNZIP)),
    (b"FEA1", Other("a Feather file of version 1", "Write it in version 2, or as Parquet.")),
    (b"Obj\x01", Other("an Avro file", _CONVERT)),
    (
        b"SQLite format 3\x00",
        Other(
            "an SQLite database",
            "Convert it, for example by: sqlite3 -header -csv FILE 'SELECT * FROM "
            "TABLE' > table.csv.",
        ),
    ),
    (b"\xd0\xcf\x11\xe0", Other("an old Excel or Office file", "Save the sheet as CSV.")),
    (MAGIC, Other("gzipped twice", "Inflate it once.")),
    (b"BZh91AY&SY", Other("compressed by bzip2", _INFLATE.format("bzcat"))),
    (b"\xfd7zXZ\x00", Other("compressed by xz", _INFLATE.format("xzcat"))),
    (b"\x28\xb5\x2f\xfd", Other("compressed by Zstandard", _INFLATE.format("zstdcat"))),
    (b"7z\xbc\xaf\x27\x1c", Other("a 7-Zip archive", _UNPACK)),
    (b"%PDF-", Other("a PDF", _CONVERT)),
    (b"\x89PNG", Other("a PNG image", "Give a file of measurements.")),
    (b"\xff\xd8\xff", Other("a JPEG image", "Give a file of measurements.")),
)
_SHEETS = (b"xl/", b"[Content_Types].xml")
_TAR = slice(257, 262)
_LEAD = 1024
#: No text has a larger share of zero bytes, even if some of its lines are broken.
_ZEROS = 0.05


def recognise_other(head: bytes) -> Other | None:
    """Recognise a format that is not read by the first bytes, inflated; None if there is none."""
    if head.startswith(b"PK\x03\x04"):
        if any(name in head for name in _SHEETS):
            return Other("an Excel workbook", "Save the sheet as CSV UTF-8.")
        return Other("a ZIP archive", _UNPACK)
    for beginning, other in _BEGINNINGS:
        if head.startswith(beginning):
            return other
    start = head[:_LEAD].lstrip()
    if start.startswith(b"<"):
        return Other(XML, _CONVERT)
    if start.startswith(b"[") and start[1:].lstrip().startswith(b"{"):
        return Other("a JSON array", "Write one object a line, for example by: jq -c '.[]'.")
    if head[_TAR] == b"ustar":
        return Other("a tar archive", _UNPACK)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or alternates_with_zeros(head):
        return Other(UTF_16, _AS_UTF_8)
    if head.count(0) > _ZEROS * len(head):
        return Other("binary data", "Give a file of text, Parquet or Arrow.")
    return None


def alternates_with_zeros(head: bytes) -> bool:
    """Whether every second byte is mostly zero and the others are not: UTF-16 without a mark."""
    shares = [part.count(0) / max(1, len(part)) for part in (head[::2], head[1::2])]
    return max(shares) > 0.5 and min(shares) < 0.1
