"""Freeze the present form of journals and snapshots as files, once for each version.

Run: ``python tools/freeze.py``.  It writes ``tests/data/VERSION`` with the version of
``exchange/vocabulary/versions.py``: a line for each command and event, and journals and snapshots
of the days in ``tests/support/services/frozen_days.py``.  A folder that is there is never written
to: what a release has written is kept as it was, and later programs must read it.  The policy is
in ``docs/formats/envelopes-and-results.md``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

sys.path += [
    str(Path(__file__).resolve().parents[1] / folder)
    for folder in (
        "",
        "tests",
        "tests/support/grids",
        "tests/support/markets",
        "tests/support/oracles",
        "tests/support/services",
    )
]

from frozen_days import FROZEN_DAYS, FrozenDay, record
from pinned_entries import pinned_entries

from exchange.vocabulary.versions import VERSION
from gateway.journal.codec import encode_entry
from gateway.journal.replay import replay_journal
from gateway.ports import JournalEntry

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"


def freeze(folder: Path, days: Mapping[str, FrozenDay] = FROZEN_DAYS) -> list[Path]:
    """Write the files of the present version into a new folder; return their paths.

    Raises
    ------
    FileExistsError
        When the folder is there; nothing in it has changed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        raise FileExistsError(f"{folder} is frozen already")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".freezing-") as temporary:
        fresh = Path(temporary) / "files"
        fresh.mkdir()
        _write_journal(fresh / "lines.jsonl", pinned_entries())
        expected = {name: _write_day(fresh, name, day) for name, day in days.items()}
        (fresh / "digests.json").write_text(f"{json.dumps(expected, indent=2)}\n", encoding="utf-8")
        fresh.rename(folder)
    return sorted(folder.iterdir())


def _write_journal(path: Path, entries: Iterable[JournalEntry]) -> None:
    path.write_bytes(b"".join(encode_entry(entry) + b"\n" for entry in entries))


def _write_day(folder: Path, name: str, day: FrozenDay) -> dict[str, object]:
    """Write journal and snapshots of a day; return the digests that they must lead to."""
    journal = folder / f"{name}.jsonl"
    entries, snapshots = record(day)
    _write_journal(journal, entries)
    for snapshot, _ in snapshots:
        (folder / f"{name}-{snapshot.sequence}.json").write_bytes(snapshot.state)
    replayed = asyncio.run(replay_journal(str(journal), None))
    return {
        "entries": replayed.entries,
        "events": replayed.events,
        "snapshots": {str(snapshot.sequence): digest for snapshot, digest in snapshots},
        "replay": replayed.digest,
    }


def main() -> None:
    """Freeze the present version, or say why not."""
    try:
        paths = freeze(DATA / str(VERSION))
    except FileExistsError as error:
        raise SystemExit(
            f"{error}: journals and snapshots of a released version stay as they are. If the form"
            " has changed, raise VERSION in exchange/vocabulary/versions.py"
        ) from None
    for path in paths:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
