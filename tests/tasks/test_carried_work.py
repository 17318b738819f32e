"""Work for another process carries, in memory only, what opens the addresses in it."""

import pickle
from typing import Any

import pytest

from coder_core import redaction, sealing
from coder_core.pipeline.accelerator import LocalAccelerator
from coder_core.pipeline.traits import STEP, Traits
from coder_core.sealing import seal, seals, unseal
from coder_core.specs import Runtime
from tasks.gpu import ServerAccelerator
from tasks.run_step import CarriedWork, _accelerator_for

URL = "https://me:pass-Word81@host/images.npz?token=tok-En92"


class Opens:
    """Work that needs an address."""

    name = title = "opens"
    traits: Traits = STEP

    def __init__(self, address: str) -> None:
        self.address = address

    def do(self, _context: Any) -> str:
        return unseal(self.address)


def test_another_process_opens_what_this_one_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((redaction, "_known"), (sealing, "_addresses"), (sealing, "_users")):
        monkeypatch.setattr(module, name, {})
    work = Opens(seal(URL))
    sent = pickle.dumps(CarriedWork(work, seals()))
    monkeypatch.setattr(sealing, "_addresses", {})  # the other process knows nothing
    monkeypatch.setattr(sealing, "_users", {})
    assert work.do(None) == "https://***@host/images.npz?token=***"
    arrived = pickle.loads(sent)  # noqa: S301 - our own
    assert (arrived.name, arrived.title, arrived.traits) == ("opens", "opens", STEP)
    assert arrived.do(None) == URL
    assert "pass-Word81" not in redaction.redact("it said pass-Word81")


@pytest.mark.parametrize(("has_accelerator", "asked"), [(True, LocalAccelerator), (False, ServerAccelerator)])
def test_nobody_is_asked_for_an_accelerator_that_the_cluster_keeps(has_accelerator: bool, asked: type) -> None:
    work = CarriedWork(Opens(URL), seals(), has_accelerator)
    assert type(_accelerator_for(work, Runtime(device="cuda"))) is asked
