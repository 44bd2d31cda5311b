"""Block every connection but loopback. Read by each Python that has this folder on PYTHONPATH."""

import ipaddress
import os
import socket

LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname()}


def refuse(host):
    """Raise unless ``host`` is loopback; file sockets and 'any address' pass."""
    if not isinstance(host, str) or host in LOCAL_NAMES:
        return
    try:
        address = ipaddress.ip_address(host.split("%")[0])
        if address.is_loopback or address.is_unspecified:
            return
    except ValueError:
        pass
    raise OSError(f"tests run offline: no connection to {host!r}")


def guarded(method):
    """Let ``method`` of a socket go to loopback only."""

    def call(self, *args):
        address = args[-1]
        if self.family != socket.AF_UNIX and isinstance(address, tuple):
            refuse(address[0])
        return method(self, *args)

    return call


if not getattr(socket, "blocked_by_tests", False):
    socket.blocked_by_tests = True
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        refuse(host.decode() if isinstance(host, bytes) else host)
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
