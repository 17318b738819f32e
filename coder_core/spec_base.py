"""The base of everything that is hashed, and the locations in it."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from coder_core.locations import resolve_location
from coder_core.sealing import seal

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Of what becomes part of a run's id."""


class Spec(BaseModel):
    """Closed, frozen, and without defaults from the environment: equal specs have equal keys everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def resolve_from_config(location: str, info: ValidationInfo) -> str:
    """Read a relative location from the folder of the config that names it; what authorises stays in this process."""
    base = (info.context or {}).get("base")
    return seal(resolve_location(location, base) if base is not None else location)


InputPath = Annotated[str, Field(min_length=1), AfterValidator(resolve_from_config)]
"""A path, an fsspec URL or `demo:name`; relative paths are read from the folder of the config that names them."""
