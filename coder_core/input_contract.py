"""What a method reads, said in every row that it makes: labels, unlabelled images, an assumption on balance, texts.

Two accuracies can be compared only by who knows what each has read. A method that reads the whole batch of images may
use that all classes are in it; one that reads validation labels has chosen something on them. So every method states
its contract, results carry it as columns, and comparisons correct p-values among methods of one contract only. Needs no
torch.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ContractColumns", "InputContract", "ReadLabels"]

ReadLabels = Literal["none", "support", "validation", "support+validation", "test"]
"""Whose labels are read. `test` stands for the one switch that reproduces the released code (`protocol: reference`)."""

ContractColumns = dict[str, str | bool]


class InputContract(BaseModel):
    """What a method reads beside the image that it is asked about.

    Attributes:
        reads_labels: Whose labels decided anything of it.
        reads_unlabelled_images: Whether an image's answer depends on which other images are there.
        assumes_balance: Whether it is right only where all classes have about as many images as a stated prior says.
        reads_texts: Kinds of text about the classes, in the order of `TextKind`; then other texts by name, e.g.
            `vocabulary`, or `texts_from_images` where some of them were written from labelled images (whoever reads
            them has read labels). None for a method of images alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads_labels: ReadLabels = "none"
    reads_unlabelled_images: bool = False
    assumes_balance: bool = False
    reads_texts: tuple[str, ...] = ()

    def columns(self) -> ContractColumns:
        """The contract as columns of a result row: the texts joined by `+`, `none` where there are none."""
        return {
            "reads_labels": self.reads_labels,
            "reads_unlabelled_images": self.reads_unlabelled_images,
            "assumes_balance": self.assumes_balance,
            "reads_texts": "+".join(self.reads_texts) or "none",
        }

    def also(
        self,
        *,
        labels: ReadLabels = "none",
        unlabelled_images: bool = False,
        balance: bool = False,
        texts: Iterable[str] = (),
    ) -> "InputContract":
        """The contract of a method that reads all this, and more: a transduction on top of a stage-1 method, say.

        Args:
            labels: Labels read beside the ones that are read already; of support and validation both are named.
            unlabelled_images: Whether it reads the batch, too.
            balance: Whether it assumes balance, too.
            texts: Further kinds; one that is read already is not named twice.
        """
        return InputContract(
            reads_labels=_both(self.reads_labels, labels),
            reads_unlabelled_images=self.reads_unlabelled_images or unlabelled_images,
            assumes_balance=self.assumes_balance or balance,
            reads_texts=tuple(dict.fromkeys((*self.reads_texts, *map(str, texts)))),
        )


def _both(first: ReadLabels, second: ReadLabels) -> ReadLabels:
    parts = {part for part in f"{first}+{second}".split("+") if part != "none"}
    if "test" in parts:
        return "test"
    if parts == {"support", "validation"}:
        return "support+validation"
    return first if second == "none" else second
