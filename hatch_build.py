"""Puts what the local cloud deploys into the wheel: a folder as `sam build` takes it.

An editable installation has none: there the checkout itself is deployed.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Files and folders of the checkout that lie in the wheel's folder under the same names.
DEPLOYED = ("template.yaml", "samconfig.toml", "statemachine/filter_batch.asl.json", "functions",
            "layers")  # fmt: skip


class DeployedFiles(BuildHookInterface[Any]):
    """Adds the folder to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "standard":
            for name in DEPLOYED:
                build_data["force_include"][str(Path(self.root, name))] = f"kalmap_cli/sam/{name}"
