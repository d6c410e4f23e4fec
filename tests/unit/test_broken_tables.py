"""Tables of Arrow and Parquet that cannot be read: each gets a sentence."""

import base64
import struct
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from kalmap.errors import InvalidInput, UnknownFormat
from kalmap.records.mapping import Mapping
from tests.support.tables import OWN, arrow, detect, parquet, parse_table


@pytest.mark.parametrize(
    ("columns", "mapping", "sentence"),
    [
        ({"timestamp": pa.array([0], pa.timestamp("s"))}, None,
         "t.parquet: the column timestamp has times without a time zone"),
        ({"timestamp": pa.array([0])}, None, "timestamp has numbers, not dates"),
        ({"timestamp": pa.array([date(2026, 3, 1)])}, None, "timestamp has dates without a time"),
        ({"value": pa.array([{"kg": 80.0}])}, None, r"value is nested \(struct<kg: double>\)"),
        ({"value": pa.array(["80"])}, None, "value has the type string"),
        ({"value": pa.array([True])}, None, "value has the type bool"),
        ({"user_id": pa.array([b"a"])}, None, "user_id has the type binary"),
        ({"user_id": pa.array([Decimal("1.5")])}, None, "user_id has the type decimal"),
        ({"value": None}, None, "lacks the column value. It needs user_id, timestamp, value"),
        ({"user_id": None}, Mapping(columns={"timestamp": "timestamp", "value": "kg"}, user="u"),
         "has no column 'kg', which its mapping names. Its columns are: timestamp, value"),
        ({}, Mapping(columns={"timestamp": "timestamp", "value": "value"}, user="u",
                     dates="unix_seconds"), "has dates, not numbers since 1970"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_with_a_sentence(columns, mapping, sentence):
    table = pa.table({name: column for name, column in (OWN | columns).items() if column})
    for data in (parquet(table), arrow(table)):
        with pytest.raises(UnknownFormat, match=sentence):
            detect(data, mapping)


def test_of_several_columns_with_a_name_only_one_that_is_not_needed_may_stay():
    names = [*OWN, "note", "note"]
    table = pa.Table.from_arrays([*OWN.values(), pa.array(["a"]), pa.array(["b"])], names)
    for data in (parquet(table), arrow(table)):
        assert parse_table(data).value.tolist() == [80.0]
    doubled = table.rename_columns([*OWN, "value", "note"])
    for data in (parquet(doubled), arrow(doubled)):
        with pytest.raises(UnknownFormat, match=r"t.parquet has 2 columns 'value', and one of"):
            detect(data)


def test_a_broken_table_is_refused_or_fails_with_a_sentence():
    data = parquet(pa.table(OWN).take(pa.array([0] * 5000)), compression="none")
    with pytest.raises(InvalidInput, match=r"t.parquet is a Parquet file that is truncated"):
        detect(data[:-3])
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt or truncated"):
        detect(data[:-200] + bytes(190) + data[-10:])
    with pytest.raises(InvalidInput, match=r"has a footer of 4,294,967,295 bytes"):
        detect(data[:-8] + b"\xff" * 4 + b"PAR1")
    with pytest.raises(UnknownFormat, match=r"is an encrypted Parquet file"):
        detect(b"PARE" + data[4:-4] + b"PARE")
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt or truncated"):
        detect(data[:4] + bytes(60) + data[64:])
    file = arrow(pa.table(OWN))
    with pytest.raises(InvalidInput, match=r"is an Arrow file that is truncated"):
        detect(file[:-1])
    groups = parquet(pa.table(OWN).take(pa.array([0] * 5000)), row_group_size=1000)
    start = pq.ParquetFile(pa.BufferReader(groups)).metadata.row_group(3).column(0)
    broken = groups[: start.dictionary_page_offset] + bytes(40)
    broken += groups[len(broken) :]
    assert detect(broken).rows == 5000
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt or truncated"):
        parse_table(broken)
    stream = arrow(pa.table(OWN).take(pa.array([0] * 5000)), stream=True)
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt or truncated"):
        parse_table(stream[:-30_000])


def test_codes_that_a_dictionary_lacks_are_a_fault_of_the_table():
    users = pa.DictionaryArray.from_arrays(pa.array([0, 7, None]), pa.array(["a", "b"]), safe=False)
    data = arrow(pa.table(OWN).take(pa.array([0] * 3)).set_column(0, "user_id", users))
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt: a code of the column user_id"):
        parse_table(data)


def test_texts_that_begin_outside_of_a_file_are_a_fault_of_the_table():
    users = pa.array(["a" * 1001, "b" * 1003, "c"])
    data = arrow(pa.table(OWN).take(pa.array([0] * 3)).set_column(0, "user_id", users))
    offsets = struct.pack("<4i", 0, 1001, 2004, 2005)
    assert data.count(offsets) == 1
    broken = data.replace(offsets, struct.pack("<4i", 0, 1001, 2004, 2205))
    with pytest.raises(InvalidInput, match=r"t.parquet is corrupt or truncated: "):
        parse_table(broken)


def test_an_error_of_reading_is_not_taken_for_a_fault_of_the_table():
    data = parquet(pa.table(OWN))

    def read(start, end):
        raise ConnectionError("the network is down")

    format_ = detect(data)
    with pytest.raises(ConnectionError):
        list(format_.read_range(0, 1, len(data), read))


class Kms(pe.KmsClient):
    """Keeps no keys, as a test may."""

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_table_is_refused_with_a_sentence(tmp_path, plaintext_footer):
    factory = pe.CryptoFactory(lambda _: Kms())
    properties = factory.file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(
            "footer", column_keys={"column": ["value"]}, plaintext_footer=plaintext_footer
        ),
    )
    file = tmp_path / "t.parquet"
    with pq.ParquetWriter(file, pa.table(OWN).schema, encryption_properties=properties) as writer:
        writer.write_table(pa.table(OWN))
    with pytest.raises((InvalidInput, UnknownFormat), match=r"encrypted.* kalmap keeps no keys"):
        parse_table(file.read_bytes())
