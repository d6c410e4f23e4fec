"""`kalmap check` of Parquet and Arrow."""

import gzip
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.support.check_command import checked, refused, write

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


def test_a_table_of_pandas_is_understood_like_a_text(tmp_path, capsys):
    frame = pd.DataFrame(
        {
            "Datum": pd.to_datetime(["2026-03-01 07:12", "2026-03-02 07:10", "2026-03-03 08:00"]),
            "Person": [7, 7, 8],
            "Gewicht (kg)": [80.5, None, 81.0],
        }
    )
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_feather(tmp_path / "f.arrow")
    for name in ("f.parquet", "f.arrow"):
        path = str(tmp_path / name)
        sentence = refused(capsys, path)
        assert "Datum has '2026-03-01T07:12:00.000000', which has no offset from UTC." in sentence
        assert f"kalmap check {path} --tz" in sentence
        code, out, _ = checked(capsys, path, "--tz", "Europe/Berlin")
        assert code == 0
        assert "user_id from Person, timestamp from Datum, value from Gewicht (kg)" in out
        assert "1 of 3 rows has no value in Gewicht (kg): not read." in " ".join(out.split())
        assert "7, 2026-03-01T06:12:00Z, 80.5 kg" in out


@pytest.mark.parametrize(
    ("table", "options", "told"),
    [
        (pa.table([["u"], ["2026-03-01T07:12Z"], [80.0], [81.0]],
                  names=["user_id", "timestamp", "value", "value"]), (),
         "kalmap cannot read value (2 columns of this name)."),
        (pa.table({"user_id": ["u"], "timestamp": ["2026-03-01T07:12Z"], "value": [[80.0]]}), (),
         "kalmap cannot read value (list<element: double>)."),
        (pa.table({"user_id": ["u"], "timestamp": ["2026-03-01T07:12Z"], "kg": [{"x": 8.0}]}),
         ("--columns", "value=kg"),
         "no column 'kg' that can be read for value. It has: user_id, timestamp. kalmap"),
        (pa.table({"user_id": [b"u"], "timestamp": ["2026-03-01T07:12Z"], "value": [80.0]}), (),
         "kalmap cannot read user_id (binary)."),
    ],
)  # fmt: skip
def test_a_needed_column_that_cannot_be_read_is_named(tmp_path, capsys, table, options, told):
    pq.write_table(table, tmp_path / "f.parquet")
    assert told in refused(capsys, "f.parquet", *options)
    feather.write_feather(table.slice(0, 1), tmp_path / "f.arrow")
    said = told.replace("element:", "item:")
    assert said in refused(capsys, "f.arrow", *options)


def test_without_pyarrow_a_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "f.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    sentence = refused(capsys, str(tmp_path / "f.parquet"))
    assert "f.parquet is a Parquet file, and pyarrow is not installed" in sentence
    assert 'pip install "kalmap[parquet]"' in sentence


def test_a_table_without_rows_or_cut_off_is_refused_with_a_sentence(tmp_path, capsys):
    frame = pd.DataFrame({"user_id": ["u"], "timestamp": ["2026-03-01T07:12Z"], "value": [80.0]})
    frame.to_parquet(tmp_path / "f.parquet")
    assert checked(capsys, "f.parquet")[0] == 0
    write(tmp_path, "cut.parquet", (tmp_path / "f.parquet").read_bytes()[:-9])
    assert "cut.parquet is a Parquet file that is truncated" in refused(capsys, "cut.parquet")
    pd.concat([frame] * 20).to_parquet(tmp_path / "rows.parquet", row_group_size=10)
    page = pq.ParquetFile(tmp_path / "rows.parquet").metadata.row_group(1).column(0)
    data = (tmp_path / "rows.parquet").read_bytes()
    start = page.dictionary_page_offset
    write(tmp_path, "page.parquet", data[:start] + bytes(40) + data[start + 40 :])
    sentence = refused(capsys, "page.parquet")
    assert sentence.startswith("kalmap: page.parquet is corrupt or truncated: ")
    frame.head(0).to_parquet(tmp_path / "none.parquet")
    code, _, err = checked(capsys, "none.parquet")
    assert code == 1
    assert "no records" in err
    write(tmp_path, "f.parquet.gz", gzip.compress((tmp_path / "f.parquet").read_bytes()))
    assert "is a gzipped Parquet file" in refused(capsys, "f.parquet.gz")
