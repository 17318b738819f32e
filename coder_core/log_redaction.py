"""What authorises, and what a terminal would obey, never reaches a log: a library quotes whatever it was given."""

import logging

from coder_core.printable_text import printable
from coder_core.redaction import redact


class HidesSecrets(logging.Filter):
    """Redacts the message and the traceback of every record, and keeps it printable; for loggers and for handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact; every record passes."""
        message = record.getMessage()
        if (shown := printable(redact(message), keep="\n\t")) != message:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            traceback = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = printable(redact(traceback), keep="\n\t")
        return True


def hide_secrets_in(*places: logging.Logger | logging.Handler) -> None:
    """Let loggers or handlers redact what they say; once each."""
    for place in places:
        if not any(isinstance(found, HidesSecrets) for found in place.filters):
            place.addFilter(HidesSecrets())
