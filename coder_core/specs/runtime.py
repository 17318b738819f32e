"""Where and how fast: no field of it ever enters a key."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.sealing import seal

DEFAULT_STORE = "./store"
DEVICE_PATTERN = r"^(auto|cpu|cuda(:[0-9]{1,3})?|mps)$"
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
Sealed = Annotated[str, AfterValidator(seal)]
"""An address: it travels without what authorises."""


def _leave_open(schema: dict[str, Any]) -> None:
    """Take the defaults out of Prefect's form: it would send them, and so overrule the environment of the worker."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Runtime(BaseSettings):
    """Where and how fast. Never hashed. Every field can come from the environment as CODER_<FIELD>."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="CODER_", env_ignore_empty=True, json_schema_extra=_leave_open
    )

    store: Sealed = Field(default=DEFAULT_STORE, min_length=1, description="Root of the store: a path or fsspec URL.")
    device: str = Field(
        default="auto",
        pattern=DEVICE_PATTERN,
        description="auto: CUDA when present, else MPS, else CPU; cuda: all visible devices, one model each; cuda:1: "
        "that one.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Images or texts per forward pass, at most; default: what suits the device (CPU: 32 images, 256 "
        "texts). Where memory ends it is halved, and that is remembered.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of a forward pass on the CPU; default: OMP_NUM_THREADS where it is set, else what is "
        "fastest in the first passes, and that is remembered.",
    )
    compile_mode: CompileMode | None = Field(
        default=None,
        description="Compile image towers by torch.compile in this mode (the last two make CUDA graphs on CUDA): takes "
        "minutes at first, and pays for many images. Vectors differ by rounding, as between two machines.",
    )
    shard_images: int = Field(default=16_384, ge=1, description="Images per task.")
    workers: int = Field(default=2, ge=1, le=256, description="Tasks, and image readers within one, at a time.")
    task_runner: Literal["threads", "dask", "ray"] = Field(
        default="threads", description="What tasks run on: threads of the run, or processes of a Dask or Ray cluster."
    )
    task_runner_address: Sealed | None = Field(
        default=None,
        min_length=1,
        description="A cluster of your own, tcp://host:8786 (Dask) or host:6379 (Ray); default: `workers` processes on "
        "this machine, for this run alone.",
    )
    gpu_slots: int = Field(
        default=1, ge=1, le=256, description="Tasks of one process that use an accelerator at a time."
    )
    classes_per_task: int = Field(default=200, ge=1, description="Classes whose texts one task has generated.")
    llm: LlmRuntime = Field(default_factory=LlmRuntime, description="The language model's server; CODER_LLM_<FIELD>.")
    settle_seconds: float = Field(
        default=2.0, ge=0, le=3600, description="How long a class source must not change before it counts as finished."
    )
    report: bool = Field(
        default=False, description="Write the run's report (reports/<run id>.html in the store) when it has ended."
    )
    matrix_part_mb: int = Field(default=64, ge=1, le=4096, description="Largest piece of the CODER matrix in memory.")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
