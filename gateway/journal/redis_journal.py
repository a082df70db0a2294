"""The Journal port on Redis Streams.

An area has four keys in one hash slot: the stream of entries, whose ids are their sequence
numbers; the writer's hash with fencing epoch, last sequence, digest of the chain and published
mark; the lease; the snapshot, with its parts in two more.  Every write goes through a script of
:mod:`gateway.journal.scripts`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self, cast

from redis.exceptions import ResponseError

from gateway.errors import (
    JournalError,
    LeaseHeldError,
    LostEntriesError,
    SequenceGapError,
    StaleWriterError,
)
from gateway.journal import scripts
from gateway.journal.archive import Archive, Trimming
from gateway.journal.chain import BEGINNING, linked
from gateway.journal.codec import encode_entry
from gateway.journal.entry_stream import EntryStream
from gateway.journal.lease_keeper import LeaseKeeper
from gateway.journal.lost_entries import LostEntries, lost_entries
from gateway.journal.redis_link import NO_ANSWER, connect, journal_errors, retrying
from gateway.journal.server_checks import Durability, ServerWatch, wait_for_disk
from gateway.journal.snapshots.store import SnapshotStore
from gateway.journal.witness import JournalEnd, Witness
from gateway.ports import JournalEntry, Snapshot

_LOG = logging.getLogger(__name__)


class RedisJournal:
    """The Journal port on one Redis server.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` or ``unix://`` address of the server.
    area
        Whose journal it is; names the keys.
    owner
        Name of this writer.  A writer that comes back under its old name gets its own lease
        at once; by default each has a name of its own and waits for the old lease to end.
    lease_s
        How long a silent writer keeps its lease.
    lease_wait_s
        Seconds to wait for the lease of another writer to end; by default a lease and 1 s more.
    retry_for_s
        Seconds that an append waits for a server that does not answer.
    allow_everysec
        Accept a server older than 7.2 that syncs its file once a second.
    read_only
        Take no lease: reading works, every write is refused.
    witness
        A second place that knows the end of the journal; ``None`` for none.
    archive, kept_entries
        Where entries before the snapshot are moved, but for so many of the newest; ``None`` leaves
        all entries in Redis.
    accepted_end
        Go on although entries after this one are known to be lost (:attr:`lost`).
    look_every_s
        Seconds between two looks at the settings of the server.

    Raises
    ------
    ValueError
        When URL or area are not valid.
    """

    def __init__(
        self,
        url: str,
        area: str,
        *,
        owner: str | None = None,
        lease_s: float = 5.0,
        lease_wait_s: float | None = None,
        retry_for_s: float = 20.0,
        allow_everysec: bool = False,
        read_only: bool = False,
        witness: Witness | None = None,
        archive: Archive | None = None,
        kept_entries: int = 0,
        accepted_end: int | None = None,
        look_every_s: float = 10.0,
    ) -> None:
        if not area or set(area) & set("{}"):
            raise ValueError(f"area {area!r} may not name a journal")
        self._redis = connect(url)
        self._url = url
        self._area = area
        self._owner = owner or secrets.token_hex(8)
        self._lease_ms = int(lease_s * 1000)
        self._lease_wait_s = lease_s + 1.0 if lease_wait_s is None else lease_wait_s
        self._retry_for_s = retry_for_s
        self._read_only = read_only
        self._witness = witness
        self._accepted_end = accepted_end
        self._durability = Durability.ON_WRITE
        self._epoch = 0
        self._last = 0
        self._chain = BEGINNING
        self._published = 0
        self.lost: LostEntries | None = None
        """What is lost of the journal, where that was accepted."""
        self._stream, self._writer, self._lease, snapshot = scripts.keys_of(area)
        keys = (self._writer, self._lease, self._stream)
        self._keeper = LeaseKeeper(url, keys, self._owner, self._lease_ms)
        self._snapshots = SnapshotStore(self._redis, url, area, snapshot, self._writer)
        self._watch = ServerWatch(
            self._redis,
            area,
            (self._stream, self._writer, *self._snapshots.keys),
            allow_everysec=allow_everysec,
        )
        self._entries = EntryStream(self._redis, url, area, self._stream, retry_for_s)
        self._trimming = Trimming(archive, kept_entries, self._entries, area)
        self._look_every_s = look_every_s
        self._looked_at = 0.0
        register = self._redis.register_script
        self._acquire_script = register(scripts.ACQUIRE)
        self._append_script = register(scripts.APPEND)
        self._renew_script = register(scripts.RENEW)
        self._repair_script = register(scripts.REPAIR)
        self._trim_script = register(scripts.TRIM)
        self._adopt_script = register(scripts.ADOPT)
        self._release_script = register(scripts.RELEASE)

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest entry, 0 for an empty journal."""
        return self._last

    @property
    def published_sequence(self) -> int:
        """Sequence of the last entry whose messages the broker is known to have."""
        return self._published

    async def __aenter__(self) -> Self:
        """Check durability, take the lease, and compare the journal's end with what is known."""
        try:
            await retrying(self._url, self._enter, 0.0)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _enter(self) -> None:
        if self._read_only:
            await self._find_base()
            self._last, _ = await self._entries.end()
            return
        await self._look()
        await self._acquire()
        self._keeper.start(self._epoch)
        await self._find_end()

    async def __aexit__(self, *exc_info: object) -> None:
        """Give the lease back and close the connection."""
        try:
            self._keeper.stop()
            self._snapshots.cancel()
            self._trimming.close()
            if self._witness is not None:
                await self._witness.close()
            if self._epoch:
                with journal_errors(self._url):
                    await self._release_script(keys=[self._lease], args=[self._owner])
        except (*NO_ANSWER, JournalError) as error:
            _LOG.warning("the lease of %s was not given back: %s", self._area, error)
        finally:
            await self._redis.aclose()

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        """Write entries, all or none, and return when they are durable."""
        if not entries:
            return
        first, end = entries[0].sequence, entries[-1].sequence
        if first != self._last + 1:
            raise SequenceGapError(
                f"entry {first} does not follow the journal's last one, {self._last}"
            )
        chain, pairs = self._chain, []
        for entry in entries:
            line = encode_entry(entry)
            chain = linked(chain, line)
            pairs += [line, chain]

        async def write() -> None:
            try:
                await self._fenced(self._append_script, self._stream, published, first, *pairs)
            except SequenceGapError:
                # The answer to an earlier attempt may have been lost.  No other writer has this
                # epoch, so a journal that ends with the same entry has been written by it.
                if await self._recorded_end() != (end, chain):
                    raise
            if self._durability is Durability.ON_DEMAND:
                await wait_for_disk(self._redis)

        await self._retrying(write)
        self._last, self._chain = end, chain
        self._published = max(self._published, published)
        self._note_end()

    async def renew(self, published: int) -> None:
        """Prolong the lease and move the mark; now and then look at the server's settings."""
        self._keeper.is_alive()
        await self._retrying(lambda: self._fenced(self._renew_script, self._stream, published))
        self._published = max(self._published, published)
        if self._witness is not None:
            await self._witness.sync()
        if asyncio.get_running_loop().time() >= self._looked_at + self._look_every_s:
            await self._retrying(self._look)

    def read(self, after: int = 0, follows: bytes | None = None) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after``, in order; check that none is missing.

        ``follows`` is the digest of the chain there, where it is known from an archive.
        """
        return self._entries.read(after, follows)

    def begin_snapshot(self, make: Callable[[], bytes]) -> asyncio.Future[bytes]:
        """Begin to write a snapshot of the state after the newest entry, in a copy of this process.

        The copy writes the parts itself, beside the snapshot in force.
        """
        if self._read_only:
            raise JournalError("this journal was opened for reading only")
        return self._snapshots.begin(self._last, self._chain, self._epoch, make)

    async def adopt_snapshot(self, published: int) -> None:
        """Put the snapshot that was begun last into force, and remove the one before."""
        head = self._snapshots.written()
        keys, words = self._snapshots.adoption(head)
        await self._retrying(lambda: self._fenced(self._adopt_script, keys, published, *words))
        self._snapshots.adopted(head)
        self._entries.base = (head.sequence, head.chain)
        self._published = max(self._published, published)

    async def archive_entries(self) -> None:
        """Move entries before the snapshot to the archive, and out of Redis when it is synced."""

        async def trim(first: int) -> None:
            await self._retrying(lambda: self._fenced(self._trim_script, self._stream, 0, first))

        await self._trimming.run(self._last, trim)

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""
        return cast("Snapshot | None", await self._retrying(self._snapshots.read))

    # -- the end of the journal -----------------------------------------------------------------

    async def _acquire(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._lease_wait_s
        while True:
            try:
                self._epoch = int(
                    await self._acquire_script(
                        keys=[self._writer, self._lease], args=[self._owner, self._lease_ms]
                    )
                )
            except ResponseError as error:
                if "HELD" not in str(error):
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise LeaseHeldError(
                        f"another writer holds the lease of the journal of {self._area}"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                return

    async def _find_end(self) -> None:
        """Find the last entry; raise where another one is known to have been written."""
        await self._find_base()
        end = JournalEnd(self._epoch, *await self._entries.end())
        recorded = JournalEnd(self._epoch, *await self._recorded_end())
        known = None if self._witness is None else self._witness.open()
        there = None if known is None else await self._entries.chain_at(known.sequence)
        self._last, self._chain = end.sequence, end.chain
        self._published = int(await self._redis.hget(self._writer, "published") or 0)
        if known is not None and there is None and known.sequence < await self._entries.first():
            _LOG.warning(
                "the witness of the journal of %s is older than its oldest entry, and proves "
                "nothing at this start",
                self._area,
            )
            known = None
        lost = lost_entries(end, recorded, known, there)
        if lost is not None:
            await self._accept(lost, known)
        elif self._accepted_end is not None:
            raise JournalError(
                f"nothing is known to be lost of the journal of {self._area}: it ends at entry "
                f"{end.sequence}"
            )
        elif self._witness is None:
            _LOG.info(
                "no second place knows the end of the journal of %s: that it is whole cannot be "
                "proved",
                self._area,
            )
        elif known is None and end.sequence:
            _LOG.warning(
                "%s is new: that the journal of %s is whole, up to entry %d, cannot be proved at "
                "this start",
                *(self._witness.path, self._area, end.sequence),
            )
        if lost is None:
            self._note_end()
            await self._trimming.open(end.sequence)

    async def _accept(self, lost: LostEntries, known: JournalEnd | None) -> None:
        """Go on with what is there, where that was asked for by its last entry."""
        place = "" if self._witness is None else f" (the witness: {self._witness.path})"
        if self._accepted_end != lost.ends_at:
            raise LostEntriesError(
                f"the journal of {self._area} ends at entry {lost.ends_at}, but {lost.detail}"
                f"{place}: entries are lost. Bring the right journal back; or accept the loss of "
                f"what followed entry {lost.ends_at}: doe-exchange accept-loss SCENARIO "
                f"--ends-at {lost.ends_at}"
            )
        # An older copy has an older epoch: no writer that was started since may be taken for this.
        epoch = max(self._epoch, 0 if known is None else known.epoch) + 1
        self._keeper.stop()
        await self._fenced(*(self._repair_script, self._stream, 0, epoch, self._last, self._chain))
        self._epoch = epoch
        self._keeper.start(epoch)
        self._published = min(self._published, self._last)
        self.lost = lost
        _LOG.warning(
            "the journal of %s goes on after entry %d, although %s",
            *(self._area, lost.ends_at, lost.detail),
        )

    def _note_end(self) -> None:
        if self._witness is not None:
            self._witness.note(JournalEnd(self._epoch, self._last, self._chain))

    async def _recorded_end(self) -> tuple[int, bytes]:
        last, chain = await self._redis.hmget(self._writer, "last", "chain")
        return int(last or 0), cast("bytes", chain or BEGINNING)

    async def _find_base(self) -> None:
        head = await self._snapshots.read_head()
        if head is not None:
            self._entries.base = (head.sequence, head.chain)

    # -- attempts -------------------------------------------------------------------------------

    async def _look(self) -> None:
        self._durability = await self._watch.look()
        self._looked_at = asyncio.get_running_loop().time()

    async def _fenced(
        self, script: Any, keys: str | Sequence[str], published: int, *rest: object
    ) -> None:
        """Run a script that checks the epoch, and raise its refusals as errors."""
        if self._read_only:
            raise JournalError("this journal was opened for reading only")
        try:
            await script(
                keys=[self._writer, self._lease, *([keys] if isinstance(keys, str) else keys)],
                args=[self._epoch, self._owner, self._lease_ms, published, *rest],
            )
        except ResponseError as error:
            words = str(error)
            if "STALE" in words:
                raise self._replaced(int(words.rpartition("STALE ")[2])) from None
            if "GAP" in words:
                raise SequenceGapError(
                    f"entry {rest[0]} does not follow the journal's last one, "
                    f"{words.rpartition('GAP ')[2]}"
                ) from None
            raise

    def _replaced(self, epoch: int) -> JournalError:
        """Return the error for a journal that has another writer's epoch."""
        if epoch > self._epoch:
            return StaleWriterError(f"another writer has taken over the journal of {self._area}")
        return LostEntriesError(
            f"the journal of {self._area} came back in an older form while it was written to: its "
            f"epoch is {epoch} and was {self._epoch}; a new start says which entries are lost"
        )

    async def _retrying(self, attempt: Any) -> Any:
        return await retrying(self._url, attempt, self._retry_for_s)
