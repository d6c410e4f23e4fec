"""Sentences for the user about failed requests to AWS or the local cloud."""

from botocore import exceptions

from kalmap.errors import KalmapError
from kalmap_cli.errors import FAILED, WRONG_USAGE, as_sentence

#: The user's AWS settings are wrong or missing. No request was made.
_SETTINGS = (
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
    exceptions.CredentialRetrievalError,
    exceptions.InvalidConfigError,
    exceptions.InvalidDefaultsMode,
    exceptions.InvalidRegionError,
    exceptions.InvalidRetryConfigurationError,
    exceptions.InvalidSTSRegionalEndpointsConfigError,
    exceptions.NoCredentialsError,
    exceptions.NoRegionError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.UnknownCredentialError,
)
#: There is no session of single sign-on, or it has expired.
_LOGIN = (exceptions.SSOError, exceptions.TokenRetrievalError)
#: An object ended before its length: the connection broke, or the local cloud's file is cut off.
CUT_OFF = (
    exceptions.FlexibleChecksumError,
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
)
#: AWS's error codes for credentials that are unknown or have expired.
_REFUSED_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}

_CONFIGURE = (
    "Check the environment variables that begin with AWS_, and set region and credentials with "
    "`aws configure`. Or run on the local cloud, without --stack."
)
_CUT_OFF = (
    "Run the same command again. If that does not help on the local cloud, the object's file in "
    "the data directory is damaged: put a backup of the directory in its place."
)
_LOG_IN = "Log in with `aws sso login`."
_RENEW = "Set other credentials with `aws configure`, or log in with `aws sso login`."


def explain_aws_error(error: Exception) -> tuple[str, int] | None:
    """A sentence for the user, and the exit code; None if the error is not from botocore.

    If an error of botocore caused an error of the store, the sentence explains botocore's.
    """
    if isinstance(error, KalmapError) and isinstance(error.__cause__, Exception):
        return explain_aws_error(error.__cause__)
    reason = as_sentence(error)
    if isinstance(error, _LOGIN):
        return f"AWS cannot be used: {reason} {_LOG_IN}", WRONG_USAGE
    # botocore has no class of its own for an invalid address.
    if isinstance(error, _SETTINGS) or str(error).startswith("Invalid endpoint:"):
        return f"AWS cannot be used: {reason} {_CONFIGURE}", WRONG_USAGE
    if isinstance(error, exceptions.EndpointConnectionError):
        return f"The cloud does not answer: {reason}", FAILED
    if isinstance(error, exceptions.ClientError):
        if error.response["Error"]["Code"] in _REFUSED_CREDENTIALS:
            return f"AWS does not accept these credentials: {reason} {_RENEW}", WRONG_USAGE
        return f"The cloud refused a request: {reason}", FAILED
    if isinstance(error, CUT_OFF):
        return f"A stored object is cut off: {reason} {_CUT_OFF}", FAILED
    if isinstance(error, exceptions.BotoCoreError):
        return f"A request to the cloud failed: {reason}", FAILED
    return None
