"""Files of other programs and countries, and how each is understood.

They have the form that these programs write. Their readings are made up.
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from tests.support.template import ROOT

FOLDER = ROOT / "tests" / "foreign_files"


class Foreign(NamedTuple):
    """A file that is read with the options that its first refusals ask for."""

    name: str
    options: str
    records: int
    first: tuple[str, str, float, str]
    """User, timestamp, value and unit of the first record."""
    mapping: dict[str, object]
    """Parts of what is found out."""
    told: str = ""
    """What `check` says besides."""
    users: int = 1
    unreadable: int = 0
    is_run: bool = True
    """Whether it goes through the whole pipeline, too, which takes a second."""

    @property
    def arguments(self) -> list[str]:
        """The arguments after the command."""
        options = [
            str(FOLDER / part) if part.endswith(".json") else part
            for part in shlex.split(self.options)
        ]
        return [str(FOLDER / self.name), *options]

    @property
    def profile(self) -> str | None:
        """The profile, if it is not the default."""
        words = self.arguments
        return words[words.index("--profile") + 1] if "--profile" in words else None

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / self.name


FILES = (
    Foreign(
        "withings.csv", "--user anna --tz Europe/Berlin", 24,
        ("anna", "2026-01-28T08:01:52+01:00", 80.17, "kg"),
        {"columns": {"timestamp": "Date", "value": "Weight (kg)"}, "skip_empty": True,
         "source": "withings"},
        "Withings weight",
    ),
    Foreign(
        "fitbit.csv", "--user anna --unit lb", 24,
        ("anna", "2026-01-05T00:00:00+00:00", 178.1, "lb"),
        {"skip": 1, "unit": "lb", "tz": "UTC"},
        "Dates without a time are taken as midnight in UTC",
    ),
    Foreign(
        "fitbit-weight.jsonl", "--user anna --unit lb --tz America/Chicago", 24,
        ("anna", "2026-01-05T07:31:09-06:00", 178.1, "lb"),
        {"layout": "jsonl", "dates": "month_first",
         "columns": {"timestamp": ["date", "time"], "value": "weight", "measurement_id": "logId"}},
        "Fitbit weight log",
    ),
    Foreign(
        "libreview-eu.csv", "--user anna --tz Europe/Rome --profile glucose-cgm-mmol", 105,
        ("anna", "2026-01-24T22:15:00+01:00", 6.3, "mmol/L"),
        {"skip": 1, "dates": "day_first", "only": {"Record Type": ["0", "1"]}},
        "LibreView glucose",
    ),
    Foreign(
        "libreview-us.csv", "--user anna --tz America/Chicago --profile glucose-cgm", 105,
        ("anna", "2026-01-24T22:15:00-06:00", 107.0, "mg/dL"),
        {"dates": "month_first", "unit": "mg/dL"},
        "LibreView glucose",
    ),
    Foreign(
        "dexcom.csv", "--user anna --tz America/Chicago --profile glucose-cgm", 120,
        ("anna", "2026-01-24T00:08:11-06:00", 123.0, "mg/dL"),
        {"only": {"Event Type": ["EGV"]}, "source": "dexcom"},
        "dexcom.csv line 67: value (Glucose Value (mg/dL)) is 'Low', which is not a number.",
        unreadable=1,
    ),
    Foreign(
        "omron-pressure.csv", "--user anna --tz Asia/Tokyo --profile blood-pressure-systolic", 24,
        ("anna", "2026-01-05T06:04:00+09:00", 124.0, "mmHg"),
        {"columns": {"timestamp": ["Date", "Time"], "value": "Systolic (mmHg)"}},
    ),
    Foreign(
        "omron-pressure.csv", "--user anna --tz Asia/Tokyo --profile blood-pressure-diastolic", 24,
        ("anna", "2026-01-05T06:04:00+09:00", 79.0, "mmHg"),
        {"columns": {"timestamp": ["Date", "Time"], "value": "Diastolic (mmHg)"}},
        is_run=False,
    ),
    Foreign(
        "omron-pressure.csv", "--user anna --tz Asia/Tokyo --profile resting-heart-rate", 24,
        ("anna", "2026-01-05T06:04:00+09:00", 65.0, "bpm"),
        {"columns": {"timestamp": ["Date", "Time"], "value": "Pulse (bpm)"}},
        is_run=False,
    ),
    Foreign(
        "garmin-resting.csv", "--user anna --profile resting-heart-rate", 28,
        ("anna", "2026-01-01T00:00:00+00:00", 58.0, ""),
        {"columns": {"timestamp": "date", "value": "resting_heart_rate"}},
        is_run=False,
    ),
    Foreign(
        "termometro-es.csv", "--user anna --tz Europe/Madrid --profile body-temperature", 28,
        ("anna", "2026-01-01T08:00:00+01:00", 36.3, "°C"),
        {"delimiter": ";", "decimal": ",", "dates": "day_first"},
    ),
    Foreign(
        "apple-health.xml", "--user anna --profile blood-pressure-diastolic", 6,
        ("anna", "2026-01-05T07:00:00+01:00", 80.0, "mmHg"),
        {"only": {"type": ["HKQuantityTypeIdentifierBloodPressureDiastolic"]}},
        "Apple Health diastolic blood pressure",
    ),
    Foreign(
        "apple-health.xml", "--user anna --profile resting-heart-rate", 6,
        ("anna", "2026-01-05T07:00:00+01:00", 58.0, "count/min"),
        {"only": {"type": ["HKQuantityTypeIdentifierRestingHeartRate"]}},
        "Apple Health resting heart rate",
        is_run=False,
    ),
    Foreign(
        "apple-health.xml", "--user anna --profile body-temperature", 6,
        ("anna", "2026-01-05T07:00:00+01:00", 97.7, "degF"),
        {"only": {"type": ["HKQuantityTypeIdentifierBodyTemperature"]}},
        "Apple Health body temperature",
        is_run=False,
    ),
    Foreign(
        "apple-health.xml", "--user anna", 20,
        ("anna", "2026-01-05T07:31:09+01:00", 81.1, "kg"),
        {"layout": "xml", "only": {"type": ["HKQuantityTypeIdentifierBodyMass"]}},
        "Apple Health weight",
    ),
    Foreign(
        "apple-health.xml", "--user anna --profile glucose.json", 12,
        ("anna", "2026-01-05T08:00:00+01:00", 5.5, "mmol<180.1558800000541>/L"),
        {"only": {"type": ["HKQuantityTypeIdentifierBloodGlucose"]}},
        "Apple Health glucose",
    ),
    Foreign(
        "apple-health.xml", "--user anna --profile pulse.json", 12,
        ("anna", "2026-01-05T08:00:00+01:00", 61.0, "count/min"),
        {"only": {"type": ["HKQuantityTypeIdentifierHeartRate"]}},
        "Apple Health heart rate",
    ),
    Foreign(
        "excel-de.csv", "--tz Europe/Berlin", 24,
        ("Käthe", "2026-01-05T07:31:00+01:00", 72.1, "kg"),
        {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "skip": 1, "dates": "day_first",
         "columns": {"timestamp": ["Datum", "Uhrzeit"], "user_id": "Name",
                     "value": "Gewicht (kg)"}},
        "It is not UTF-8 and is read as Latin-1",
        users=2,
    ),
    Foreign(
        "excel-fr.txt", "--user anna --tz Europe/Paris --unit kg", 24,
        ("anna", "2026-01-05T07:31:00+01:00", 65.4, "kg"),
        {"delimiter": "\t", "encoding": "utf-16-le", "decimal": ",", "dates": "day_first"},
        "a table separated by tabs, in UTF-16, with decimal commas",
    ),
    Foreign(
        "renpho-us.csv", "--user anna --tz America/New_York", 24,
        ("anna", "2026-01-05T07:31:09-05:00", 170.7, "lb"),
        {"dates": "month_first", "unit": "lb"},
    ),
    Foreign(
        "omron-jp.csv", "--user anna --tz Asia/Tokyo", 24,
        ("anna", "2026-01-05T07:31:00+09:00", 61.94, "kg"),
        {"columns": {"timestamp": ["測定日", "時刻"], "value": "体重(kg)"}},
    ),
    Foreign(
        "samsung.csv", "--user anna --tz UTC", 24,
        ("anna", "2026-01-05T07:31:09+00:00", 76.5, "kg"),
        {"skip": 1, "unit": "kg", "ends_with_delimiter": None},
        "Samsung Health weight",
        is_run=False,
    ),
    Foreign(
        "study-pl.txt", "--columns timestamp=pomiar_ts,user_id=uczestnik_id", 60,
        ("1001", "2026-01-05T07:30:00+00:00", 69.7, "kg"),
        {"delimiter": "|", "dates": "unix_seconds", "unit": "kg"},
        users=3,
    ),
    Foreign(
        "no-header-se.csv", "--user anna --tz Europe/Stockholm", 24,
        ("anna", "2026-01-05T07:31:00+01:00", 83.8, ""),
        {"header": False, "decimal": ",", "columns": {"timestamp": "1", "value": "2"}},
        "without a header",
    ),
    Foreign(
        "nightscout.jsonl", "--user anna --unit mg/dL --profile glucose.json", 60,
        ("anna", "2026-01-05T07:30:00+00:00", 121.0, "mg/dL"),
        {"layout": "jsonl", "dates": "unix_milliseconds"},
    ),
    Foreign(
        "myfitnesspal.csv", "--user anna --unit kg", 24,
        ("anna", "2026-01-05T00:00:00+00:00", 75.8, "kg"),
        {"columns": {"timestamp": "Date", "value": "Weight"}},
    ),
    Foreign(
        "planilha-br.csv", "--user anna --dates day_first --tz America/Sao_Paulo", 9,
        ("anna", "2026-02-01T00:00:00-03:00", 75.5, ""),
        {"delimiter": ";", "decimal": ",", "dates": "day_first"},
    ),
    Foreign(
        "libreview-fr.csv", "--user anna --tz Europe/Paris --profile glucose-cgm", 59,
        ("anna", "2026-01-24T22:15:00+01:00", 99.0, "mg/dL"),
        {"dates": "day_first", "unit": "mg/dL", "only": {"Type d'enregistrement": ["0", "1"]}},
        "LibreView glucose, in French",
        is_run=False,
    ),
    Foreign(
        "libreview-es.csv", "--user anna --tz Europe/Madrid --profile glucose-cgm", 59,
        ("anna", "2026-01-24T22:15:00+01:00", 106.0, "mg/dL"),
        {"dates": "day_first", "unit": "mg/dL"},
        "LibreView glucose, in Spanish",
        is_run=False,
    ),
    Foreign(
        "libreview-it.csv", "--user anna --tz Europe/Rome --profile glucose-cgm-mmol", 40,
        ("anna", "2026-01-24T22:15:00+01:00", 6.7, "mmol/L"),
        {"dates": "day_first", "unit": "mmol/L", "decimal": ","},
        "LibreView glucose, in Italian",
        is_run=False,
    ),
    Foreign(
        "libra.csv", "--user anna", 24,
        ("anna", "2026-01-05T08:01:46+00:00", 178.8, "lb"),
        {"delimiter": ";", "skip": 2, "unit": "lb"},
        is_run=False,
    ),
    Foreign(
        "google-fit-daily.csv",
        "--user anna --columns 'timestamp=Date,value=Average weight (kg)'", 19,
        ("anna", "2026-01-05T00:00:00+00:00", 81.1, "kg"),
        {"unit": "kg", "skip_empty": True},
        "5 of 24 rows have no value in Average weight (kg): not read.",
        is_run=False,
    ),
    Foreign(
        "oura.csv",
        "--user anna --columns timestamp=date,value=average_resting_heart_rate "
        "--profile resting-heart-rate", 24,
        ("anna", "2026-01-05T00:00:00+00:00", 58.0, ""),
        {"delimiter": ";"},
        is_run=False,
    ),
    Foreign(
        "com.samsung.health.weight.csv", "--user anna --tz UTC", 24,
        ("anna", "2026-01-05T07:01:46+00:00", 81.1, "kg"),
        {"skip": 1, "ends_with_delimiter": True, "unit": "kg", "source": "samsung"},
        "Samsung Health weight",
    ),
    Foreign(
        "com.samsung.shealth.tracker.heart_rate.csv",
        "--user anna --tz UTC --profile resting-heart-rate", 24,
        ("anna", "2026-01-05T07:01:46+00:00", 62.0, ""),
        {"columns": {"timestamp": "com.samsung.health.heart_rate.start_time",
                     "value": "com.samsung.health.heart_rate.heart_rate", "source": "source"}},
        is_run=False,
    ),
    Foreign(
        "com.samsung.shealth.blood_glucose.csv",
        "--user anna --tz UTC --profile glucose-fingerstick", 24,
        ("anna", "2026-01-05T07:01:46+00:00", 5.359405, "mmol/L"),
        {"unit": "mmol/L", "ends_with_delimiter": True},
        "Samsung Health glucose",
        is_run=False,
    ),
    Foreign(
        "sensor-nanoseconds.csv", "", 24,
        ("7", "2026-01-05T08:01:46+00:00", 81.1, "kg"),
        {"dates": "unix_nanoseconds", "unit": "kg"},
        is_run=False,
    ),
)  # fmt: skip
