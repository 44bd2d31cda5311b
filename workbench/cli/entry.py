"""Where the ``workbench`` command begins: signals and streams first, then the command itself.

Nothing heavy is imported here, so that Ctrl-C is answered while the rest is still being imported.
"""

from __future__ import annotations

import errno
import sys
from typing import Any, NoReturn

from workbench.cli import process


def run() -> NoReturn:
    """Run the command, and end the process with its exit status."""
    process.listen()
    try:
        process.open_streams()
        from workbench.cli import app

        app.main()
        status: Any = 0
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt as stop:  # before or after the command itself, which answers its own
        status = process.status_of(stop)
        process.say(process.STOPPED)
    except OSError as error:  # of stdout: whatever else a user can cause, the command has told
        if error.errno not in (errno.EPIPE, errno.EBADF, *process.FULL):
            raise
        status = process.say_closed(error)
    sys.exit(process.flushed(status))
