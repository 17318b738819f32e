"""What a step reads beside artifacts: files of the user and files of this package, both counted by their content."""

from functools import cached_property
from typing import Annotated

from coder_core.fingerprint import Json, NotIdentity
from coder_core.locations import open_location
from coder_core.packaged import packaged_hash
from coder_core.pipeline.artifact_handle import Handle
from coder_core.storage.feature_folders import hash_input


class FileInput(Handle):
    """A file that the user names, and the columns of it that are read.

    Attributes:
        path: Path, URL or `demo:name`.
        columns: Arrays or columns; another one is another input.
    """

    path: Annotated[str, NotIdentity("a file that was moved is the same file: its content counts")]
    columns: tuple[str, ...] = ()

    @cached_property
    def content_key(self) -> str:
        """sha256 of the content (of a folder: of all its files), read once."""
        return hash_input(open_location(self.path))

    def identity(self) -> Json:
        """Content and columns."""
        return {"content": self.content_key, "columns": list(self.columns)}


class PackagedData(Handle):
    """A data file of this package, such as `texts/domains.yaml`: an edited one makes other results.

    Attributes:
        name: Its path below `coder_core`.
    """

    name: str

    def identity(self) -> Json:
        """Name and content."""
        return {"name": self.name, "content": packaged_hash(self.name)}
