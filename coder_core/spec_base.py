"""The base of everything that is hashed."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Closed, frozen, and without defaults from the environment: equal specs have equal keys everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")
