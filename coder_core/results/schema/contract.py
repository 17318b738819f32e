"""The columns that say what a row has read: see `coder_core.input_contract`. Null in rows that are older."""

from typing import Annotated, TypeAlias

__all__ = ["AssumesBalance", "ReadsLabels", "ReadsTexts", "ReadsUnlabelledImages"]

ReadsLabels: TypeAlias = Annotated[
    str | None,
    "Whose labels decided anything: `none`, `support`, `validation`, `support+validation`; `test` under the released "
    "code's protocol only.",
]
ReadsUnlabelledImages: TypeAlias = Annotated[
    bool | None, "Whether an image's answer depends on which other images are there."
]
AssumesBalance: TypeAlias = Annotated[bool | None, "Whether it is right only for the class shares that it was told."]
ReadsTexts: TypeAlias = Annotated[
    str | None,
    "Kinds of text about the classes that it reads, joined by `+`; `none` for images alone. `texts_from_images`: some "
    "of them were written by a model that saw labelled images.",
]
