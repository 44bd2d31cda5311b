"""A cluster of Ray on this machine: nodes with a folder for a store of their own each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support import toys

HERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a loopback address stays what it is
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_health_check_failure_threshold": "100",  # a busy machine is not a dead one
}
PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "runtime_env_agent_port",
    "dashboard_agent_listen_port",
)
AGENT = Path(__file__).with_name("agent.sh")


@contextlib.contextmanager
def cluster(folder: Path, *gpus: int, **settings: str) -> Iterator[Any]:
    """Start a node for each number of GPUs, which need not exist; RAY_ADDRESS leads to them.

    `settings` are Ray's own, beside those of `HERE`.

    Ray watches every node by two Pythons and ends it where these take more than 15 s to start, as
    on a busy machine. Nothing here asks them anything, so `AGENT` stands in for them; there is no
    dashboard either.
    """
    with environment(HERE | settings):
        import ray
        from ray._private import node, services
        from ray.cluster_utils import Cluster

        command = "_build_python_executable_command_memory_profileable"
        plain = getattr(services, command)

        def light(kind: str, *given: Any, **more: Any) -> list[str]:
            return ["/bin/sh", str(AGENT)] if "agent" in kind else plain(kind, *given, **more)

        nodes = Cluster()
        try:
            with (
                mock.patch.object(services, command, light),
                mock.patch.object(node.Node, "start_api_server"),
            ):
                for number, count in enumerate(gpus):
                    nodes.add_node(
                        num_cpus=1,
                        num_gpus=count,
                        node_ip_address="127.0.0.1",
                        include_log_monitor=False,
                        no_monitor=True,
                        env_vars={"WORKBENCH_STORE": str(folder / f"node-{number}")},
                        **{name: _free() for name in PORTS},
                    )
            with environment({"RAY_ADDRESS": nodes.address}):
                yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment inside the ``with``."""
    with mock.patch.dict(os.environ, values):
        yield


def _free() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@dataclass(frozen=True)
class Seen(toys.Toy):
    """A toy that notes where it runs, and ends its process over a word."""

    deadly: str = "deadly"

    def __call__(self, prompts, seeds):
        toys.note(self.log, [f"at {os.getpid()} {os.environ.get('WORKBENCH_STORE')}"])
        if any(self.deadly in prompt for prompt in prompts):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(prompts, seeds)
