"""The environment of all tests, set at import: a local account, a region, and a new secret."""

import functools
import logging
import os
import secrets

import botocore.session
from hypothesis import HealthCheck, settings

from kalmap_cli.local.access_files import ACCESS_KEY

os.environ |= {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": secrets.token_hex(32),
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_LOG_LEVEL": "WARNING",
    "POWERTOOLS_SERVICE_NAME": "the-stack",
    # Drawing takes two seconds. The tests of reports ask for it.
    "KALMAP_REPORT": "no",
}
os.environ.pop("AWS_PROFILE", None)
os.environ.pop("AWS_SESSION_TOKEN", None)
# moto warns in every execution that it ignores ToleratedFailurePercentage, and prints failures.
logging.getLogger("moto").setLevel(logging.CRITICAL)
# A busy machine is no fault of an example.
settings.register_profile("kalmap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kalmap")
# moto forgets boto3's session before each test, and a new session decodes megabytes of AWS's
# descriptions of its services again. All sessions of the tests share what they have decoded.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
