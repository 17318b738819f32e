"""A folder of Prefect's that cannot be written is one line, before Prefect is imported."""

import re
from pathlib import Path

import pytest

from coder_core.errors import ConfigError
from service.prefect_home import check_prefect_home


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "a" / "b"))
    check_prefect_home()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_one_that_cannot_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / name))
    place = re.escape(f"PREFECT_HOME: {tmp_path / name}: Prefect's folder cannot be written (")
    with pytest.raises(ConfigError, match=rf"^{place}.+\)\. Set PREFECT_HOME"):
        check_prefect_home()
