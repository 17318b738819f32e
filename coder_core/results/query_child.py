"""The process that answers questions: started by `query_process`, and killed when a question takes too long.

DuckDB's own interrupt is not enough: sorting one list of a hundred million numbers does not look at it for minutes. The
process has an almost empty environment, no access to the store, and as much memory as the question may take; it can
write no file, and ends with the process that started it.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import duckdb

from coder_core.errors import QueryError
from coder_core.results.query_engine import QueryEngine
from coder_core.results.query_errors import explain_sql_error
from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_messages import TABLES_QUESTION, GivenFile, decode_question, encode_answer

OVERHEAD_BYTES = 2**30
"""What Python, the libraries and the stacks of threads take beside the memory of a question."""
_WATCH_SECONDS = 1.0


def main(descriptor: int) -> None:
    """Answer questions until the process that asks closes the connection.

    Args:
        descriptor: Of the connection.
    """
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _give_up_rights()
    connection = Connection(descriptor)
    while True:
        try:
            kind, *details = decode_question(connection.recv_bytes())
        except (EOFError, OSError):
            return
        if kind == "question":
            _Answer(connection, *details).send()
        elif kind == TABLES_QUESTION:
            _TablesAnswer(connection, *details).send()


class _Answer:
    """One question and what is said about it.

    Args:
        connection: To the process that asks.
        sql: The question.
        limits: What it may take.
    """

    def __init__(self, connection: Connection, sql: str, limits: QueryLimits) -> None:
        self._connection = connection
        self._sql = sql
        self._limits = limits
        self._lock = threading.Lock()

    def send(self) -> None:
        """Answer; whatever goes wrong is one error, because SQL of strangers must not end this process."""
        try:
            _limit_memory(self._limits.memory_bytes)
            self._answer()
        except QueryError as error:
            self._say("refused", error.problem, error.place, error.remedy)
        except (MemoryError, duckdb.OutOfMemoryException):
            problem = f"The query needs more than {self._limits.memory_bytes / 1e9:.1f} GB of memory."
            self._say("refused", problem, "SQL", "Narrow it down, or allow more with --memory.")
        except duckdb.Error as error:
            self._say("refused", *explain_sql_error(str(error), self._sql))
        except (BrokenPipeError, EOFError):
            sys.exit(0)
        except Exception as error:  # noqa: BLE001 (see above)
            self._say("refused", f"The query cannot be answered ({type(error).__name__}: {error}).", "SQL", "")

    def _answer(self) -> None:
        with QueryEngine(self._sql, self._limits.memory_bytes) as engine:
            needs = engine.needs()
            runs_of = {table: None if run_ids is None else sorted(run_ids) for table, run_ids in needs.runs_of.items()}
            self._say("needs", runs_of, sorted(needs.latest_of), sorted(needs.previous_of))
            engine.give(self._given_files(), needs, self._read_piece)
            self._say("columns", *engine.columns())
            rows, size = 0, 0
            for batch in engine.rows():
                rows += len(batch)
                content = encode_answer("rows", batch)
                size += len(content)
                self._check_size(rows, size)
                self._connection.send_bytes(content)
        self._say("done")

    def _check_size(self, rows: int, size: int) -> None:
        if rows > self._limits.rows:
            problem = f"The answer has more than {self._limits.rows:,} rows."
            raise QueryError(problem, "SQL", "Add a LIMIT, or allow more with --rows.")
        if size > self._limits.answer_bytes:
            problem = f"The answer is larger than {self._limits.answer_bytes / 1e6:,.0f} MB."
            raise QueryError(problem, "SQL", "Ask for fewer rows or shorter columns.")

    def _given_files(self) -> Iterator[list[GivenFile]]:
        while True:
            kind, *details = decode_question(self._connection.recv_bytes())
            if kind == "go":
                return
            if kind == "stop":
                raise QueryError("The files cannot be given.", "SQL")
            yield [GivenFile(*file) for file in details[0]]

    def _read_piece(self, path: str, position: int, size: int) -> bytes:
        with self._lock:
            self._say("read", path, position, size)
            kind, *details = decode_question(self._connection.recv_bytes())
            if kind == "stop":
                raise OSError("The file cannot be read.")
            return bytes(details[0])

    def _say(self, *message: object) -> None:
        self._connection.send_bytes(encode_answer(*message))


class _TablesAnswer(_Answer):
    """One question about tables that were handed in.

    Args:
        connection: To the process that asks.
        sql: The question.
        tables: Name -> table, as it travels.
        database: A DuckDB database file.
        limits: What the question may take.
    """

    def __init__(
        self, connection: Connection, sql: str, tables: dict[str, bytes], database: str | None, limits: QueryLimits
    ) -> None:
        super().__init__(connection, sql, limits)
        self._given = (tables, database)

    def _answer(self) -> None:
        from coder_core.results.handed_tables import answer_tables  # Arrow is loaded where it is needed

        answer_tables(self._say, self._sql, *self._given, self._limits)


def _limit_memory(memory_bytes: int) -> None:
    """Let an allocation beyond the limit fail; on systems other than Linux, DuckDB's own limit must do."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = memory_bytes + OVERHEAD_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _give_up_rights() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
