"""What the user reads when AWS, or the local cloud, cannot be asked or refuses."""

from botocore import exceptions

from kalmap.errors import KalmapError
from kalmap_cli.exits import FAILED, WRONG_USAGE, as_sentence

#: The user's AWS settings are wrong or missing, and no request was made.
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
#: A session of single sign-on has not begun, or is over.
_LOGIN = (exceptions.SSOError, exceptions.TokenRetrievalError)
#: AWS's words for credentials that it does not know or no longer takes.
_REFUSED_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


#: What to do about each.
_SET = (
    "Look at the variables that begin with AWS_, and set region and credentials with "
    "`aws configure`; or run without --stack on the local cloud."
)
_LOG_IN = "Log in with `aws sso login`."
_RENEW = "Set others with `aws configure`, or log in with `aws sso login`."


def told(error: Exception) -> tuple[str, int] | None:
    """A sentence for the user, and the exit code; None where the error is not botocore's.

    An error of the store is botocore's if it was raised because of one of botocore's.
    """
    if isinstance(error, KalmapError) and isinstance(error.__cause__, Exception):
        return told(error.__cause__)
    reason = as_sentence(error)
    if isinstance(error, _LOGIN):
        return f"AWS cannot be asked: {reason} {_LOG_IN}", WRONG_USAGE
    # botocore has no class of its own for an address that is none.
    if isinstance(error, _SETTINGS) or str(error).startswith("Invalid endpoint:"):
        return f"AWS cannot be asked: {reason} {_SET}", WRONG_USAGE
    if isinstance(error, exceptions.EndpointConnectionError):
        return f"The cloud does not answer: {reason}", FAILED
    if isinstance(error, exceptions.ClientError):
        if error.response["Error"]["Code"] in _REFUSED_CREDENTIALS:
            return f"AWS does not take these credentials: {reason} {_RENEW}", WRONG_USAGE
        return f"The cloud refused a request: {reason}", FAILED
    if isinstance(error, exceptions.BotoCoreError):
        return f"The cloud could not be asked: {reason}", FAILED
    return None
