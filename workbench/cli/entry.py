"""Entry point of the ``workbench`` command: signals and streams, then the command itself.

Nothing heavy is imported here, so that Ctrl-C is answered while the rest is still being imported.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

from workbench.cli import process

SPINS = "3000"
"""How long a waiting thread of torch spins before it sleeps (GNU OpenMP; read when torch starts).

As quick as the library's own count on a quiet computer; where others run, theirs hold ours up less.
"""


def run() -> NoReturn:
    """Run the command, and end the process with its exit status."""
    process.listen()
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
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
