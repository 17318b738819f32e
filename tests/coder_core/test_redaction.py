"""What authorises is in no text, however it is written; what names the data stays, and moves no key."""

import logging
import random
import string
import time

import pytest

from coder_core import redaction, sealing
from coder_core.errors import InputError
from coder_core.fingerprint import key_of
from coder_core.llm.http_transport import parse_server_address
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.log_redaction import HidesSecrets
from coder_core.redaction import redact, redact_error, redact_value, split_url
from coder_core.sealing import SealedAddressError, open_sealed, seal, seal_server, seal_text, unseal
from coder_core.specs import EvalSpec, Runtime
from coder_core.storage.addresses import parse_address
from coder_core.storage.store import Store

CANARY = "cAnary-7f3Q"
URLS = (
    "https://user:{}@host/images",
    "https://user:{}@host:8443/a/b.png?size=3",
    "https://{}@host/images",
    "https://user:p@ss/{}@host/images",
    "https://user:p/{}/w@host/images",
    "https://user:p?{}@host/images",
    "https://user:p#{}@host/images",
    "https://user:{}%40%2F@host/images",
    "s3://AKIAKEY:{}@host/bucket",
    "s3://bucket/key?X-Amz-Signature={}",
    "ftp://user:{}@host:21/x",
    "postgresql+asyncpg://prefect:{}@db:5432/prefect",
    "https://host/x?api_key={}",
    "https://host/x?a=1&X-Amz-Credential={}%2F2026&X-Amz-Date=1",
    "https://host/x?anything={}&b=2",
    "https://host/x?sv=2024&sig={}",
    "https://[::1]:9000/x?token={}",
    "http://127.0.0.1:8000/v1?code={}#top",
)
PLAIN = (
    "./images",
    "/data/user@home/images",
    "C:\\images",
    "demo:flags",
    "s3://bucket/a@b/c",
    "s3://bucket/a@b?x=1",
    "memory://store/a?b=c",
    "https://host/@scope/package/file.json",
    "https://host:8443/a@b",
    "https://[::1]:8000/v1",
    "gs://bucket/what?.jpg",
    "tcp://127.0.0.1:8786",
)


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    for module, name in ((redaction, "_known"), (sealing, "_addresses"), (sealing, "_users")):
        monkeypatch.setattr(module, name, {})


@pytest.mark.parametrize("pattern", URLS)
def test_no_text_with_a_url_shows_its_secret(pattern):
    url = pattern.format(CANARY)
    texts = [url, f"cannot open '{url}': refused", f'{{"path": "{url}"}}', f"({url})", f"a {url}, b {url}"]
    assert not [text for text in texts if CANARY in redact(text)]
    assert redact(redact(url)) == redact(url)


@pytest.mark.parametrize("pattern", URLS)
def test_a_sealed_address_opens_here_and_nowhere_else(pattern, monkeypatch):
    url = pattern.format(CANARY)
    sealed = seal(url)
    assert CANARY not in sealed
    assert (seal(sealed), unseal(sealed), open_sealed(sealed)) == (sealed, url, url)
    # After this, its secret is known and found in any spelling: a library cuts an address to pieces.
    if "anything" in url:  # no name of a secret, and too short to be searched for by its value
        url = url.replace(CANARY, "")
    assert CANARY not in redact(f"bucket {url.partition('://')[2]!r} has no name")
    monkeypatch.setattr(sealing, "_addresses", {})
    monkeypatch.setattr(sealing, "_users", {})
    with pytest.raises(SealedAddressError):
        open_sealed(sealed)


@pytest.mark.parametrize("url", PLAIN)
def test_what_holds_no_secret_stays_as_it_is(url):
    assert seal(url) == url
    assert split_url(url).secrets == () if "://" in url else True
    assert redact(f"cannot open {url}") == f"cannot open {url}"


def test_another_password_is_the_same_data_and_another_page_is_not():
    def key(dataset: str) -> str:
        return key_of(
            EvalSpec(
                name="x",
                dataset={"kind": "folder", "path": dataset},
                encoder={"kind": "open_clip", "checkpoint": "a"},
                methods=("clip",),
            )
        )

    assert key("https://u:one-Secret1@host/i") == key("https://u:two-Secret2@host/i")
    assert key("https://host/i?token=one-Secret1") == key("https://host/i?token=two-Secret2")
    assert key("https://host/i?page=1") != key("https://host/i?page=2")
    assert key("https://u:one-Secret1@host/i") != key("https://u:one-Secret1@other/i")
    assert len({key(f"https://u:p@{host}/s@{rest}") for host in "ab" for rest in ("c/d", "e")}) == 4


def test_files_below_a_sealed_folder_open_with_its_user():
    sealed = seal(f"https://user:{CANARY}@host:81/images")
    assert unseal(f"{sealed}/a/b.png") == f"https://user:{CANARY}@host:81/images/a/b.png"
    assert parse_address(f"{sealed}/a.png").path == f"https://user:{CANARY}@host:81/images/a.png"
    assert CANARY not in Store(f"https://user:{CANARY}@host/store").url("a/b")


def test_settings_and_servers_travel_sealed():
    runtime = Runtime(store=f"s3://k:{CANARY}@h/b", llm=LlmRuntime(base_url=f"user:{CANARY}@host/v1"))
    assert CANARY not in runtime.model_dump_json() + repr(runtime)
    assert parse_server_address(runtime.llm.base_url).user == f"user:{CANARY}"
    assert seal_server("host:8000/v1") == "host:8000/v1"
    override = seal_text(f"dataset.path=https://u:{CANARY}@host/x")
    assert override == "dataset.path=https://***@host/x"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}{CANARY}",
        "sk-proj-abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrst0123",
        "hf_abcdefghijklmnopqrst0123",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sig-part",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        f'{{"api_key": "{CANARY}"}}',
        f"password: {CANARY}",
        f"client_secret={CANARY}",
    ],
)
def test_well_known_shapes_and_names_are_found(text):
    shown = redact(text)
    assert "***" in shown
    assert not any(word in shown for word in (CANARY, "abcdefgh", "IOSFODNN7", "MIIEow", "eyJ"))


@pytest.mark.parametrize("name", ["MY_SERVICE_TOKEN", "DB_PASSWORD", "X_API_KEY", "AWS_SECRET_ACCESS_KEY", "A_SECRET"])
def test_the_environments_own_secrets_are_found_by_value(name, monkeypatch):
    monkeypatch.setenv(name, CANARY)
    assert redact(f"it said {CANARY}!") == "it said ***!"
    monkeypatch.setenv(name, "none")
    assert redact("none of it") == "none of it"


def test_passwords_in_addresses_of_the_environment_are_found(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128")
    assert CANARY not in redact(f"proxy said {CANARY}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/gcp/key.json")
    monkeypatch.setenv("CODER_LLM_TOKENS_PER_MINUTE", "1000000")
    assert redact("read /etc/gcp/key.json 1000000 times") == "read /etc/gcp/key.json 1000000 times"


def test_values_errors_and_logs_are_redacted():
    url = f"https://u:{CANARY}@host/x"
    assert CANARY not in str(redact_value({"a": [url, ("b", url)], "password": CANARY, "n": 1}))
    assert CANARY not in str(InputError("cannot open.", url, f"Try {url}."))
    error = OSError(5, f"no {url}", url)
    error.__cause__ = ValueError(url)
    redact_error(error)
    assert CANARY not in str(error) + str(error.__cause__)
    try:
        raise ValueError(url)
    except ValueError as raised:
        record = logging.LogRecord("x", 40, "f", 1, "got %s", (url,), (ValueError, raised, raised.__traceback__))
    HidesSecrets().filter(record)
    assert CANARY not in logging.Formatter().format(record)
    assert "Traceback" in logging.Formatter().format(record)


def test_random_passwords_are_in_no_text():
    """Any printable password, in any place: a thousand of them."""
    random_of = random.Random(15)
    signs = string.ascii_letters + string.digits + string.punctuation.translate(str.maketrans("", "", "\"'<>`"))
    for _ in range(1000):
        word = CANARY + "".join(random_of.choices(signs, k=8))
        url = random_of.choice(["https://u:{}@h/p", "s3://k:{}@h/b", "https://h/x?token={}"]).replace("{}", word)
        if "?token=" in url and set("&#") & set(word):
            continue
        shown = redact(f"cannot read {url}: gone")
        assert CANARY not in shown
        assert CANARY not in seal(url)


LONG = 100_000
"""Characters, as a text of a config may have them. A pattern that starts anew at each took from a minute to hours."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["a-", "sk-", "a", "a ://", "a://", "token=", "api_key:", "'key'", "secret-", "eyJ", "-----BEGIN ", "password ",
     "Bearer ", "@", "_token", "http://"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", " ://", ":"])
def test_a_text_that_is_made_to_take_long_takes_no_time(piece: str, end: str) -> None:
    text = piece * (LONG // len(piece)) + end
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    "text",
    ["db_token=cAnary", "x.secret=cAnary", "a=b&my-key=cAnary", "(sig=cAnary)", "SIGNATURE=cAnary", "foo=token=cAnary",
     "'api-key': 'cAnary7'", '"secret_access-key" : "cAnary7"', "my_password: cAnary7", "AccessToken:cAnary7",
     "aws-secretkey: cAnary7", "x" * 40 + "http://me:cAnary7@host/"],
)  # fmt: skip
def test_a_name_that_ends_in_a_word_for_secrets_hides_its_value(text: str) -> None:
    assert "cAnary" not in redact(text)
