"""Descriptions of services are read by one reader.

ministack looks into the description of each service that answers, for the type of its answers. For
each it makes a session of botocore, which takes four times as long as to read the description.
"""

import functools
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from ministack.core import responses


def install() -> None:
    """Let ministack read all descriptions with one reader."""
    loader: Any = Loader()

    @functools.cache
    def service_model(service: str) -> Any:
        name = responses._BOTOCORE_NAME.get(service, service)  # noqa: SLF001 - pinned exactly
        try:
            return ServiceModel(loader.load_service_model(name, "service-2"), name)
        except BotoCoreError:
            return None

    responses._service_model = service_model  # noqa: SLF001
