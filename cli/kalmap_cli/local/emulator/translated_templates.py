"""A template of SAM that was translated before is not translated again.

ministack has SAM's translator translate a template at each deployment. Importing the translator
takes more than the rest of a small batch's steps together. Here what it made of a template is kept
in a file, where Python keeps what it has compiled of this module, or nowhere if that folder cannot
be written. The latest template is kept.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import samtranslator

_TRANSLATOR = "samtranslator.translator.transform"
_BEGINNING = "translated-"


def install() -> None:
    """Let ministack look for what was translated before it imports the translator."""
    compiled = Path(importlib.util.cache_from_source(__file__))
    stand_in: Any = ModuleType(_TRANSLATOR)
    stand_in.transform = Translator(None if sys.dont_write_bytecode else compiled.parent)
    # ministack imports the translator only when there is a template.
    sys.modules.setdefault(_TRANSLATOR, stand_in)


class Translator:
    """Translates as `samtranslator.translator.transform.transform` does.

    Args:
        folder: Keeps the translation; None for nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, template: Any, parameters: Any, policies: Any) -> Any:
        """Translate a template.

        Args:
            template: Of SAM.
            parameters: Values of its parameters.
            policies: Loads managed policies. ministack's has none.
        """
        if self._folder is None:
            return self._translate(template, parameters, policies)
        # The translator chooses a partition by the region.
        region, version = os.environ.get("AWS_DEFAULT_REGION"), samtranslator.__version__
        key = json.dumps([version, region, template, parameters]).encode()
        file = self._folder / f"{_BEGINNING}{hashlib.sha256(key).hexdigest()[:32]}.json"
        # A file that was damaged is as good as none.
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_bytes())
        translated = self._translate(template, parameters, policies)
        with contextlib.suppress(OSError):
            _keep(file, json.dumps(translated).encode())
        return translated

    @staticmethod
    def _translate(template: Any, parameters: Any, policies: Any) -> Any:
        if isinstance(getattr(sys.modules.get(_TRANSLATOR), "transform", None), Translator):
            del sys.modules[_TRANSLATOR]
        return importlib.import_module(_TRANSLATOR).transform(template, parameters, policies)


def _keep(file: Path, content: bytes) -> None:
    """Write a file as a whole, and delete the earlier ones."""
    for earlier in file.parent.glob(f"{_BEGINNING}*"):
        earlier.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=_BEGINNING, delete=False) as written:
        written.write(content)
    Path(written.name).replace(file)
