"""Many evaluations from one file: data sets x models x texts, each cell an ordinary config."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from coder_core.spec_base import NAME_PATTERN, Spec
from coder_core.specs.method_names import FewShotMethodName, MethodName

AxisName = Annotated[str, Field(min_length=1, max_length=60, pattern=NAME_PATTERN)]
"""Part of an evaluation's name."""
Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
_FEW_SHOT = frozenset(get_args(FewShotMethodName))


class PublishedRow(Spec):
    """A row of a table that somebody has published: one method with one model, by data set."""

    source: str = Field(
        min_length=1,
        max_length=500,
        description="Where it stands, so that a reader finds it: paper, table and row, or a file and its version.",
    )
    note: str = Field(default="", max_length=500, description="What was done otherwise there.")
    model: str = Field(default="", description="The sweep's name of the model; none where the sweep has no models.")
    texts: str = Field(default="", description="The same for texts.")
    method: Literal[MethodName, FewShotMethodName] = Field(description="What this package calls the method.")
    shots: int | None = Field(default=None, ge=1, description="Of a few-shot method.")
    top1_percent: dict[AxisName, Percent] = Field(
        min_length=1, description="Top-1 accuracy, 0..100, by the sweep's names of the data sets."
    )

    @model_validator(mode="after")
    def _is_plausible(self) -> "PublishedRow":
        if (self.method in _FEW_SHOT) != (self.shots is not None):
            raise ValueError(f"`shots` belongs to few-shot methods and to all of them; {self.method} has {self.shots}")
        if max(self.top1_percent.values()) <= 1 and any(self.top1_percent.values()):
            raise ValueError("`top1_percent` looks like fractions: figures go from 0 to 100")
        return self


class PublishedFigures(Spec):
    """A file of published figures, for a sweep to be read beside."""

    published: tuple[PublishedRow, ...] = Field(description="Rows of tables.")


class SweepSpec(Spec):
    """A sweep: every data set with every model and all texts; methods and shots are compared within a cell."""

    name: AxisName = Field(description="Begins the names of all its evaluations: `NAME.DATASET.MODEL.TEXTS`.")
    datasets: dict[AxisName, str | dict[str, Any]] = Field(
        min_length=1,
        description="By name: the path of a config, a folder of class folders, `demo:flags`, a published data set "
        "(`dtd`; docs/datasets.md), the settings of a data set (with `kind`), or a part of a config (`dataset`, "
        "`few_shot`, ...; `config`: a path to begin with).",
    )
    models: dict[AxisName, str | dict[str, Any]] = Field(
        default_factory=dict,
        description="By name: a model as `coder-eval try --model` takes it, or the settings of an encoder. None: every "
        "data set's own.",
    )
    texts: dict[AxisName, dict[str, Any]] = Field(
        default_factory=dict, description="By name: settings of `texts`. None: every data set's own."
    )
    methods: tuple[str, ...] = Field(
        default=(), description="Zero-shot and few-shot methods of every cell. None: every data set's own."
    )
    shots: tuple[int, ...] = Field(
        default=(), description="For every data set that has a `few_shot.pool`. None: every data set's own."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="What every cell begins with: any part of a config; the rest wins over it."
    )
    published: str | tuple[PublishedRow, ...] = Field(
        default=(),
        description="What others have published, to stand beside the figures of this sweep: rows, or the path of a "
        "file that holds them under this same key. Changes no cell.",
    )
