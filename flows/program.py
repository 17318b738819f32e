"""The console script `coder-eval`.

A Ctrl-C while modules are loaded, or after a command's last word, has nothing to keep and nobody to tell: it ends the
process as it ends any other, without a traceback. While a command works, `flows.stopping` takes the signal.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)


def program() -> None:
    """Run the command that was typed."""
    from flows.cli import main

    main()


if __name__ == "__main__":
    program()
