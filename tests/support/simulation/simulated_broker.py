"""A broker and its links in memory, with the faults of real ones: the twin of the Transport port.

A link delivers in order and late.  When it is cut, everything on its way is lost in both
directions; what was not confirmed goes out again on the next one, so it may come twice.  A broker
that restarts without persistence forgets sessions and everything retained.  What the twin leaves
out: quality of service 0 and 2, windows and sizes, refused packets, and a broker that comes back
with an older state (``tests/gateway/service/test_lost_servers.py`` has that one).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from listening import until
from virtual_time import OUTSIDE

from gateway.errors import GatewayError
from gateway.messages.topics import covers
from gateway.ports import Incoming, Outgoing

DELAY_S = 0.005  # of a link, on average


class KilledError(Exception):
    """The process that calls this has been killed."""


class Session:
    """What the broker keeps of a client: filters, and messages that it has not confirmed."""

    def __init__(self, filters: Sequence[str]) -> None:
        self.filters = filters
        self.waiting: deque[tuple[str, bytes]] = deque()
        self.inflight: dict[int, tuple[str, bytes]] = {}
        self.number = 0


class SimulatedBroker:
    """The broker; ``heard`` is called with each message that it takes, and its writer's epoch.

    Attributes
    ----------
    delay_s
        Mean time that a message takes on a link.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.up = True
        self.delay_s = DELAY_S
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, bytes] = {}
        self.links: list[SimulatedLink] = []
        self.heard: list[Callable[[Outgoing, int], None]] = []

    def take(self, message: Outgoing, epoch: int = 0) -> None:
        """Keep a message where it is retained, and pass it to all sessions that subscribe to it."""
        for hear in self.heard:
            hear(message, epoch)
        if message.retain:
            self.retained[message.topic] = message.payload
            if not message.payload:
                del self.retained[message.topic]
        for session in self.sessions.values():
            if any(covers(each, message.topic) for each in session.filters):
                session.waiting.append((message.topic, message.payload))
        for link in self.links:
            link.pump()

    def attach(self, client_id: str, filters: Sequence[str]) -> Session:
        """Return a client's session; a new one gets what is retained."""
        session = self.sessions.get(client_id)
        if session is None:
            session = self.sessions[client_id] = Session(filters)
            session.waiting += (
                (topic, payload)
                for topic, payload in self.retained.items()
                if any(covers(each, topic) for each in filters)
            )
        session.waiting.extendleft(reversed(session.inflight.values()))
        session.inflight.clear()
        return session

    async def restart(self, away_s: float, *, persistent: bool) -> None:
        """Be away, and come back with or without what was known before."""
        self.up = False
        for link in list(self.links):
            link.cut()
        if not persistent:
            self.sessions.clear()
            self.retained.clear()
        await asyncio.sleep(away_s)
        self.up = True


class SimulatedLink:
    """The Transport port of one client, connected anew after each cut until it is killed.

    Parameters
    ----------
    broker, client_id, filters, will
        As a client has them.
    may_publish
        As that of :class:`gateway.transport.mqtt.MqttTransport`.
    """

    def __init__(
        self,
        broker: SimulatedBroker,
        client_id: str,
        filters: Sequence[str],
        *,
        will: Outgoing | None = None,
        may_publish: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._broker, self.client_id, self._filters = broker, client_id, filters
        self._will = will
        self._may_publish = may_publish
        self._publishing = False
        self._session: Session | None = None  # at the broker
        self._up = False  # as this end of the link knows it
        self._unconfirmed: deque[tuple[Outgoing, asyncio.Future[None]]] = deque()
        self._sent = 0
        self._received: deque[Incoming] = deque()
        self._arrived = asyncio.Event()
        self._arrival_s = [0.0, 0.0]  # to the broker, from the broker: links keep the order
        self._keeper: asyncio.Task[None] | None = None
        self._down = asyncio.Event()
        self.connections = 0
        self.killed = False
        self.blocked = 0
        """How many faults keep it from the broker now."""
        self.epoch = 0
        """That of the writer whose link it is."""

    @property
    def connected(self) -> bool:
        return self._up

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep_connected())
        await until(lambda: self.connected, None)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._will = None  # a connection that ends well has none
        self.kill()

    def kill(self) -> None:
        """End for good: nothing goes out any more, and a caller that waits here is told."""
        self.killed = True
        self.cut()
        if self._keeper is not None:
            self._keeper.cancel()
        self._arrived.set()

    def cut(self) -> None:
        """Lose the connection and everything that is on its way.

        The broker knows at once.  This end knows when it runs: a process that stands still finds
        what had come before, and learns later that its connection has ended.
        """
        if self._session is None:
            return
        self._session = None
        if self in self._broker.links:
            self._broker.links.remove(self)
        if self._will is not None and self._broker.up:
            self._broker.take(self._will)
        self._down.set()

    def repeat(self) -> None:
        """Deliver again what is not acknowledged, as some brokers do without a new connection."""
        if self._session is not None:
            for number, (topic, payload) in list(self._session.inflight.items()):
                self._later(
                    1, self._reaches_client, Incoming(topic, payload, number, self.connections)
                )

    def reconnect(self) -> None:
        self.cut()

    async def receive(self, at_most: int) -> list[Incoming]:
        while not self._received and not self.killed:
            self._arrived.clear()
            await self._arrived.wait()
        if self.killed:
            raise KilledError
        return [self._received.popleft() for _ in range(min(at_most, len(self._received)))]

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        numbers = [each.message_id for each in messages if each.connection == self.connections]
        if numbers and self._session is not None:
            self._later(0, self._acknowledged, numbers)

    def _acknowledged(self, numbers: Sequence[int]) -> None:
        assert self._session is not None
        for number in numbers:
            self._session.inflight.pop(number, None)
        self.pump()

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.killed:
            return done
        last = len(messages) - 1
        for number, message in enumerate(messages):
            future = done if number == last else asyncio.get_running_loop().create_future()
            self._unconfirmed.append((message, future))
        if not messages:
            done.set_result(None)
        self._send()
        return done

    def _send(self) -> None:
        while (
            self._publishing and self._session is not None and self._sent < len(self._unconfirmed)
        ):
            message, _ = self._unconfirmed[self._sent]
            self._sent += 1
            self._later(0, self._reaches_broker, message)

    def _reaches_broker(self, message: Outgoing) -> None:
        self._broker.take(message, self.epoch)
        self._later(1, self._confirmed)

    def _confirmed(self) -> None:
        _, future = self._unconfirmed.popleft()
        self._sent -= 1
        if not future.done():
            future.set_result(None)

    def pump(self) -> None:
        """Send what waits in the session."""
        session = self._session
        while session is not None and session.waiting:
            topic, payload = session.waiting.popleft()
            session.number += 1
            session.inflight[session.number] = topic, payload
            message = Incoming(topic, payload, session.number, self.connections)
            self._later(1, self._reaches_client, message)

    def _reaches_client(self, message: Incoming) -> None:
        self._received.append(message)
        self._arrived.set()

    def _later(self, way: int, call: Callable[..., None], *given: object) -> None:
        """Call after the delay of a link, unless the connection has ended by then."""
        loop, session, connection = asyncio.get_running_loop(), self._session, self.connections
        # Never at the same moment: the loop may call what is due together in any order.
        soonest = self._arrival_s[way] + 1e-6
        delay_s = self._broker.rng.expovariate(1 / self._broker.delay_s)
        at = max(soonest, loop.time() + delay_s)
        self._arrival_s[way] = at

        def arrive() -> None:
            if self._session is session is not None and connection == self.connections:
                call(*given)

        loop.call_at(at, arrive, context=OUTSIDE)

    async def _keep_connected(self) -> None:
        while True:
            self._down.clear()
            await asyncio.sleep(self._broker.rng.uniform(0.01, 1.0))
            if not self._broker.up or self.blocked:
                continue
            try:
                await self._may()
                if not self._broker.up or self.blocked:
                    continue
                self._begin()
                await self._may()
                self._publishing = True
                self._send()
                await self._down.wait()
            except GatewayError:
                self.cut()
            self._publishing = self._up = False

    async def _may(self) -> None:
        if self._may_publish is not None:
            await self._may_publish()

    def _begin(self) -> None:
        for other in list(self._broker.links):
            if other.client_id == self.client_id:
                other.cut()
        self._session = self._broker.attach(self.client_id, self._filters)
        self._up = True
        self._received.clear()  # what had come over the connection before comes again
        self._broker.links.append(self)
        self._sent = 0
        self.connections += 1
        self._arrival_s = [0.0, 0.0]
        self.pump()
