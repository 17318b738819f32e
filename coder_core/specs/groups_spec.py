"""Which images belong together."""

import re

from pydantic import Field, model_validator

from coder_core.spec_base import Spec


class GroupsSpec(Spec):
    """Images that are no independent draws: crops of one photograph, frames of one film, scans of one patient."""

    pattern: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A regular expression that is looked for in the image id; what its first group matches (or all of "
        "it, without a group) names the group. An image without a match stands alone.",
    )
    column: str | None = Field(
        default=None,
        min_length=1,
        description="Array or column of a features file or a manifest: the group of every image.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> "GroupsSpec":
        if (self.pattern is None) == (self.column is None):
            raise ValueError("groups: name a pattern or a column")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"groups.pattern: {error}") from error
        return self
