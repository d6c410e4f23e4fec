"""Other encodings: text that is neither UTF-8, UTF-16 nor Latin-1 is recognised and refused."""

import re
import shlex
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_HIGH = re.compile(rb"[\x80-\xff]+")
#: Bytes that Windows-1252 leaves undefined, and those of control characters in Latin-1.
_ODD = re.compile(rb"[\x80-\x9f]")
_LEAST = 4
#: Words of Latin letters have marks one by one.
_RUNS, _ODD_SHARE = 1.8, 0.3
_GOOD = 0.9


class _Encoding(NamedTuple):
    name: str
    """As iconv calls it."""
    python: str
    script: str
    """The beginning of its letters' names in Unicode."""
    words: str


_ENCODINGS = (
    _Encoding("SHIFT_JIS", "cp932", "HIRAGANA KATAKANA CJK", "Japanese"),
    _Encoding("EUC-JP", "euc_jp", "HIRAGANA KATAKANA CJK", "Japanese"),
    _Encoding("EUC-KR", "euc_kr", "HANGUL", "Korean"),
    # Its usual characters: with the rare ones, any bytes are Chinese.
    _Encoding("GB18030", "gb2312", "CJK", "Chinese"),
    _Encoding("BIG5", "big5", "CJK", "Chinese"),
    _Encoding("WINDOWS-1251", "cp1251", "CYRILLIC", "Cyrillic"),
    _Encoding("KOI8-R", "koi8_r", "CYRILLIC", "Cyrillic"),
    _Encoding("WINDOWS-1253", "cp1253", "GREEK", "Greek"),
    _Encoding("CP850", "cp850", "LATIN", "of DOS"),
)


def encoding_advice(file: Path, head: bytes) -> str | None:
    """A sentence with the line of iconv for a text that is not Latin-1; None if it may be."""
    runs = _HIGH.findall(head)
    count = sum(map(len, runs))
    if count < _LEAST:
        return None
    odd = len(_ODD.findall(head)) / count
    if count / len(runs) < _RUNS and odd < _ODD_SHARE:
        return None
    # Its last line may be cut.
    text = head[: head.rfind(b"\n") + 1] or head
    scores = {each: _score(each, text) for each in _ENCODINGS}
    best = max(_ENCODINGS, key=lambda each: scores[each])
    if scores[best] < _GOOD:
        return None
    quoted = shlex.quote(str(file))
    return (
        f"{file} is text in another encoding than UTF-8, probably {best.name} ({best.words}). "
        f"Convert it: iconv -f {best.name} -t UTF-8 {quoted} > utf-8.csv - then give utf-8.csv."
    )


def _score(encoding: _Encoding, text: bytes) -> float:
    """The share of letters that are of the encoding's script; of rare ones half counts."""
    try:
        decoded = text.decode(encoding.python)
    except UnicodeDecodeError:
        return 0.0
    letters = [mark for mark in decoded if ord(mark) >= 0x80]
    scripts = tuple(encoding.script.split())
    if encoding.words == "Japanese" and not any("\u3041" <= mark <= "\u30fe" for mark in letters):
        return 0.0
    good = 0.0
    for before, mark in pairwise(f" {decoded}"):
        if ord(mark) < 0x80:
            continue
        name = unicodedata.name(mark, "")
        if not name.startswith(scripts):
            continue
        # In the wrong encoding, Cyrillic words have capitals within.
        is_within = mark.isupper() and before.isalpha()
        good += 0.5 if encoding.python in {"cp1251", "koi8_r", "cp1253"} and is_within else 1.0
    return good / len(letters) if letters else 0.0
