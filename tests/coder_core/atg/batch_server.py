"""The files and batches of the hostile server: a provider's Batch API in memory."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any

STATES = ("validating", "in_progress", "finalizing", "completed")


@dataclass
class BatchServer:
    """Files and batches by id; a batch takes a step each time somebody looks at it."""

    complete: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: int = 0
    is_stuck: bool = False
    final_state: str = "completed"
    fail_next: list[int] = field(default_factory=list)
    fail_after: dict[int, list[int]] = field(default_factory=dict)
    """Number of a request -> statuses for it and those after it."""
    requests: int = 0
    lost_lines: int = 0
    most_lines: int = 1_000_000
    error_code: str = "token_limit_exceeded"
    spoil: Callable[[bytes], bytes] = bytes

    def reply(self, method: str, path: str, content_type: str, content: bytes) -> tuple[int, bytes]:
        """Answer one HTTP request."""
        status, answer = self._reply(method, path, content_type, content)
        return status, self.spoil(answer)

    def _reply(self, method: str, path: str, content_type: str, content: bytes) -> tuple[int, bytes]:
        self.requests += 1
        self.fail_next += self.fail_after.pop(self.requests, [])
        if self.fail_next:
            return self.fail_next.pop(0), b"no"
        path = path.partition("?")[0].removeprefix("/v1")
        if (method, path) == ("POST", "/files"):
            return self._json({"id": self._upload(content_type, content), "object": "file"})
        if (method, path) == ("POST", "/batches"):
            return self._json(self._create(json.loads(content)))
        if (method, path) == ("GET", "/batches"):
            return self._json({"object": "list", "data": list(self.batches.values()), "has_more": False})
        if match := re.fullmatch(r"/batches/([\w-]+)", path):
            return self._json(self._look(match[1])) if match[1] in self.batches else (404, b"{}")
        if match := re.fullmatch(r"/files/([\w-]+)/content", path):
            return (200, self.files[match[1]]) if match[1] in self.files else (404, b"{}")
        return 404, b"{}"

    def _upload(self, content_type: str, content: bytes) -> str:
        self.uploads += 1
        message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = parts["file"].get_payload(decode=True)
        assert parts["purpose"].get_payload(decode=True) == b"batch"
        return file_id

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        batch_id = f"batch_{len(self.batches)}"
        self.batches[batch_id] = {**body, "id": batch_id, "object": "batch", "status": STATES[0]}
        return self.batches[batch_id]

    def _look(self, batch_id: str) -> dict[str, Any]:
        batch = self.batches[batch_id]
        if batch["status"] in STATES[:-1] and not self.is_stuck:
            batch["status"] = STATES[STATES.index(batch["status"]) + 1]
            if batch["status"] == "completed":
                self._finish(batch)
        return batch

    def _finish(self, batch: dict[str, Any]) -> None:
        lines = self.files[batch["input_file_id"]].decode().splitlines()
        batch["status"] = "failed" if len(lines) > self.most_lines else self.final_state
        if batch["status"] == "failed":
            batch["errors"] = {"data": [{"code": self.error_code, "message": "no"}]}
            return
        done = [self._line(json.loads(line)) for line in lines[self.lost_lines :]]
        good = [line for line in done if line["response"]["status_code"] == 200]
        bad = [line for line in done if line["response"]["status_code"] != 200]
        # The provider promises no order.
        batch["output_file_id"] = self._keep(reversed(good)) if good else None
        batch["error_file_id"] = self._keep(bad) if bad else None

    def _line(self, asked: dict[str, Any]) -> dict[str, Any]:
        status, body = self.complete(asked["body"])
        return {"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}, "error": None}

    def _keep(self, lines: Any) -> str:
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = "\n".join(json.dumps(line) for line in lines).encode() + b"\n"
        return file_id

    @staticmethod
    def _json(value: Any) -> tuple[int, bytes]:
        return 200, json.dumps(value).encode()
