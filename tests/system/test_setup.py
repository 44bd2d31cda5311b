"""The ways to install agree with one another; tests run offline."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M
    )
}
PLATFORM = ("nvidia-", "cuda-", "triton")  # come with one build of torch and not with another


def direct() -> list[Requirement]:
    return [*map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])]


@pytest.mark.parametrize("requirement", direct(), ids=lambda r: r.name)
def test_each_dependency_is_pinned_inside_its_range(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_what_builds_the_documentation_is_installed_by_make():
    assert {*PROJECT["optional-dependencies"]["docs"]} < {*PROJECT["optional-dependencies"]["dev"]}


def test_constraints_hold_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"(#.*|[\w.-]+==[\w.]+)", line)] == []


def test_every_installed_dependency_is_pinned_to_what_is_installed():
    wrong, seen, queue = {}, set(), [(r.name, r.extras) for r in direct()]
    while queue:
        name, extras = queue.pop()
        name = canonicalize_name(name)
        if name in seen or name.startswith(PLATFORM):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform
        if PINS.get(name) != found.version.split("+")[0]:
            wrong[name] = (PINS.get(name), found.version)
        for text in found.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ["", *extras]
            ):
                queue.append((requirement.name, requirement.extras))
    assert wrong == {}


def test_environment_yml_installs_the_same_as_make():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python=") + ".0")
    assert pip == "pip"
    assert section == {"pip": ["--constraint constraints.txt", "--editable .[dev]"]}
    makefile = (ROOT / "Makefile").read_text()
    assert "pip install --constraint constraints.txt --editable '.[dev]'" in makefile


def test_ci_runs_the_command_of_the_readme():
    command = "make test"
    assert command in (ROOT / "README.md").read_text()
    assert command in (ROOT / ".ci/run").read_text().splitlines()


REACH_OUT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"


def test_no_connection_leaves_this_process():
    with pytest.raises(OSError, match=r"tests run offline: no connection to '192\.0\.2\.1'"):
        socket.create_connection(("192.0.2.1", 80), timeout=2)
    with pytest.raises(OSError, match="tests run offline"):
        socket.getaddrinfo("example.org", 80)


def test_no_connection_leaves_a_child_process():
    child = subprocess.run([sys.executable, "-c", REACH_OUT], capture_output=True, text=True)
    assert "tests run offline: no connection to '192.0.2.1'" in child.stderr


def test_loopback_stays_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
