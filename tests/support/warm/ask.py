"""Stand in for a Python that starts cold: `python ask.py -m MODULE …` has `serve` fork one.

An interrupt is passed on. When this process ends the other does, too, and the other way round.
"""

import json
import os
import signal
import socket
import sys


def main() -> int:
    """Hand over arguments, folder, environment and streams; return the exit status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(os.environ["WARM_PYTHON"])
        asked = {"argv": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        socket.send_fds(line, [b" "], [0, 1, 2])
        line.sendall(json.dumps(asked).encode() + b"\n")
        answers = line.makefile("rb")
        other = int(answers.readline())
        signal.signal(signal.SIGINT, lambda *_: os.kill(other, signal.SIGINT))
        ended = answers.readline()
    return int(ended or b"1")


if __name__ == "__main__":
    sys.exit(main())
