"""States stay readable when a later version changes a built-in profile."""

import boto3
import msgspec
from moto import mock_aws

from kalmap.profile import builtin_profile, digest
from kalmap.store.objects import Objects
from kalmap.store.profiles import Profiles


def test_a_built_in_profile_is_found_by_its_digest_after_another_version_has_changed_it():
    profile = builtin_profile("body-weight")
    # As a later version sees it: a name that is built in, and parameters that are not.
    earlier = msgspec.structs.replace(profile, level_noise=2 * profile.level_noise)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="work")
        profiles = Profiles(Objects(s3, "work"))
        profiles.save(earlier)
        assert profiles.find("body-weight", digest(earlier)) == earlier
        assert profiles.find("body-weight", digest(profile)) == profile
        # The one of this version is there, too, for the version after it.
        profiles.save(profile)
        stored = s3.list_objects_v2(Bucket="work", Prefix="profiles/")
        assert stored["KeyCount"] == 2
