"""What a check of a store found: problems, each in one line, and counts of what was looked at."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from coder_core.counted import counted

Severity = Literal["damage", "leftover", "unchecked"]


class Finding(BaseModel):
    """One problem.

    Args:
        severity: `damage`: something is not what was written. `leftover`: nobody needs it, and it disturbs nobody.
            `unchecked`: no hash was recorded when it was written.
        path: The file, relative to the store.
        problem: What is wrong.
        remedy: What to do, or what has been done.
    """

    model_config = ConfigDict(frozen=True)

    severity: Severity
    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity:8}  {self.path}: {self.problem} {self.remedy}"


class Checked(BaseModel):
    """What was looked at."""

    model_config = ConfigDict(frozen=True)

    artifacts: int = 0
    artifact_parts: int = 0
    ledger_parts: int = 0
    runs: int = 0
    result_parts: int = 0
    bytes: int = 0

    def __add__(self, other: "Checked") -> "Checked":
        return Checked(**{name: value + getattr(other, name) for name, value in self})


class Verification(BaseModel):
    """The outcome of a check of the whole store."""

    model_config = ConfigDict(frozen=True)

    store: str
    checked: Checked
    findings: tuple[Finding, ...]
    is_repaired: bool = False

    @property
    def damage(self) -> list[Finding]:
        """The findings that are damage."""
        return [finding for finding in self.findings if finding.severity == "damage"]

    def __str__(self) -> str:
        seen = self.checked
        leftovers = sum(finding.severity == "leftover" for finding in self.findings)
        summary = (
            f"checked {counted(seen.artifacts, 'artifact')} ({counted(seen.artifact_parts, 'part')}), "
            f"{counted(seen.ledger_parts, 'ledger part')}, "
            f"{counted(seen.runs, 'run')} ({counted(seen.result_parts, 'result part')}), {seen.bytes / 1e6:.1f} MB: "
            f"{len(self.damage)} damaged, {leftovers} leftovers"
        )
        return "\n".join([*map(str, self.findings), summary])
