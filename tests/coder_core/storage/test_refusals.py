import traceback

import pytest

from coder_core.errors import InputError, StoreError
from coder_core.storage.refusals import NotInStoreError, explained


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (PermissionError("Access Denied"), "credentials"),
        (TimeoutError(), "AWS_ENDPOINT_URL"),
        (ConnectionRefusedError(111, "Connection refused"), "AWS_ENDPOINT_URL"),
        (OSError(30, "Read-only file system"), "read-only"),
        (OSError(5, "Input/output error"), "can be written"),
        (ImportError("no s3fs"), r"pip install 'coder-eval\[s3\]'"),
    ],
)
def test_every_refusal_has_its_remedy(refusal: Exception, remedy: str) -> None:
    with pytest.raises(StoreError, match=remedy) as error, explained("s3://bucket/x"):
        raise refusal
    assert error.value.place == "s3://bucket/x"
    assert error.value.__cause__ is refusal


def test_a_missing_file_is_told_apart_in_the_store_only() -> None:
    with pytest.raises(NotInStoreError), explained("x"):
        raise FileNotFoundError("x")
    with pytest.raises(InputError), explained("x", InputError):
        raise FileNotFoundError("x")


def test_a_bug_is_not_dressed_up_as_a_refusal() -> None:
    with pytest.raises(ZeroDivisionError), explained("x"):
        raise ZeroDivisionError


def test_a_secret_is_neither_in_the_message_nor_in_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(StoreError) as error, explained("s3://bucket/x"):
        raise ConnectionError("signed with hunter2 for http://me:pass@host/x")
    shown = "".join(traceback.format_exception(error.value))
    assert "signed with ***" in str(error.value)
    assert "me:pass" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "signed with hunter2 for http" not in shown.replace('raise ConnectionError("signed with hunter2 for', "")
