"""A run whose every address holds a secret: no table, manifest, log line or row of Prefect's database holds one."""

import base64
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.fixtures_inputs import World, write_world

pytestmark = pytest.mark.slow
PASSWORD, TOKEN, KEY = "cAnaryPass-81x", "cAnaryTok-92y", "sk-cAnaryKey-0123456789"
CANARIES = (PASSWORD, TOKEN, KEY, base64.b64encode(f"me:{PASSWORD}".encode()).decode())


@contextmanager
def guarded_files(folder: Path) -> Iterator[str]:
    """Serve files to those who have password and token; gives the address without either."""

    class Guarded(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            expected = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != expected or parse_qs(url.query).get("token") != [TOKEN]:
                self.send_error(401, f"no {PASSWORD} or {TOKEN}")
                return
            file = folder / url.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start, end = (int(asked[1]), int(asked[2] or len(content) - 1)) if asked else (0, len(content) - 1)
            part = content[start : end + 1]
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def served_world(folder: Path, host: str) -> World:
    """A world whose files are named by addresses with password and token."""
    world = write_world(folder)

    def address(name: str) -> str:
        return f"http://me:{PASSWORD}@{host}/{name}?token={TOKEN}"

    settings = {
        **world.settings,
        "dataset": {"kind": "features", "path": address("images.npz")},
        "encoder": {"kind": "precomputed", "texts": [{"path": address("texts.npz")}]},
        "texts": {"bank": address("bank.yaml"), "domain": "bird"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return World(folder, settings)


def run(config: str, tmp_path: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    own = {
        "PREFECT_HOME": str(tmp_path / "home"),
        "OPENAI_API_KEY": KEY,
        "CODER_LLM_BASE_URL": f"http://me:{PASSWORD}@127.0.0.1:9/v1?token={TOKEN}",
    }
    command = [sys.executable, "-m", "flows.cli", "run", config, "--store", str(tmp_path / "store"), *options]
    return subprocess.run(
        command, env={**kept, **own, **environment}, capture_output=True, text=True, timeout=280, check=False
    )


def leaks(folder: Path) -> list[str]:
    """Every file below a folder that holds a canary, raw or in Parquet, whose pages are compressed."""
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path}: {canary}" for canary in CANARIES if canary.encode() in content]
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            text = str(pq.read_table(path).to_pylist())
            found += [f"{path}: {canary}" for canary in CANARIES if canary in text]
    return found


@pytest.mark.parametrize(
    ("engine", "form"), [pytest.param("prefect", "text", marks=pytest.mark.thorough), ("inline", "json")]
)
def test_a_run_leaves_no_secret_anywhere(tmp_path: Path, engine: str, form: str) -> None:
    with guarded_files(tmp_path / "world") as host:
        served_world(tmp_path / "world", host)
        config = f"http://me:{PASSWORD}@{host}/config.yaml?token={TOKEN}"
        bank = f"--set=texts.bank=http://me:{PASSWORD}@{host}/bank.yaml?token={TOKEN}"
        options = (f"--engine={engine}", bank)
        done = run(config, tmp_path, *options, CODER_LOG_FORMAT=form, PREFECT_LOGGING_LEVEL="DEBUG")
        assert done.returncode == 0, done.stderr
        # Once more: another password is the same data.
        failed = run(config.replace(TOKEN, "cAnaryTok-other9"), tmp_path, *options, CODER_LOG_FORMAT=form)
    assert failed.returncode == 3, failed.stderr
    assert not [canary for canary in (*CANARIES, "other9") if canary in done.stdout + done.stderr + failed.stderr]
    assert leaks(tmp_path / "store") == []
    assert leaks(tmp_path / "home") == []
    warehouse = Warehouse(Store(str(tmp_path / "store")))
    for table in ("runs", "predictions", "texts", "artifacts", "timings", "ignored", "quarantine"):
        rows = str(warehouse.query(f"SELECT * FROM {table}").rows)
        assert not [canary for canary in CANARIES if canary in rows]
    assert "http://***@" in str(warehouse.query("SELECT spec_json FROM runs").rows)
