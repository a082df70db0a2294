"""The scripts by which a journal writes to Redis: each checks first who writes.

A script runs as a whole or not at all.  Every write compares the fencing epoch, so a writer that
was stalled while another took over can no longer write.
"""

from __future__ import annotations

from typing import NamedTuple


class JournalKeys(NamedTuple):
    """The keys of an area's journal, in one hash slot."""

    stream: str
    writer: str
    lease: str
    snapshot: str


def keys_of(area: str) -> JournalKeys:
    """Return the keys of an area's journal."""
    names = ("journal", "writer", "lease", "snapshot")
    return JournalKeys(*(f"doe:{{{area}}}:{name}" for name in names))


# KEYS: writer, lease.  ARGV: owner, lease in ms.
ACQUIRE = """
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return redis.error_reply('HELD by ' .. redis.call('GET', KEYS[2]))
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'epoch', 1)
"""

_EPOCH = """
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[1] then
  return redis.error_reply('STALE ' .. epoch)
end
"""

# KEYS: writer, lease, and one more.  ARGV: epoch, owner, lease in ms, published, ...
_FENCE = (
    _EPOCH
    + """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', KEYS[1], 'published') or 0) then
  redis.call('HSET', KEYS[1], 'published', ARGV[4])
end
"""
)

# Further ARGV: first sequence, then each entry's line and the digest of the chain at it.
APPEND = (
    _FENCE
    + """
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0)
if tonumber(ARGV[5]) ~= last + 1 then
  return redis.error_reply('GAP ' .. last)
end
for i = 6, #ARGV, 2 do
  last = last + 1
  redis.call('XADD', KEYS[3], string.format('%d-0', last), 'entry', ARGV[i], 'chain', ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'last', last, 'chain', ARGV[#ARGV])
return last
"""
)

RENEW = _FENCE + "return 0"

# What is in the stream is the journal, whatever else was known: after a loss was accepted.
# Further ARGV: epoch from now on, last sequence, the digest at it.
REPAIR = (
    _FENCE
    + """
local published = tonumber(redis.call('HGET', KEYS[1], 'published') or 0)
local last = tonumber(ARGV[6])
redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'last', last, 'chain', ARGV[7],
           'published', math.min(published, last))
if last == 0 then
  redis.call('DEL', KEYS[3])
elseif redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('XSETID', KEYS[3], string.format('%d-0', last))
end
return 0
"""
)

# KEYS: writer, place of a snapshot's parts.  ARGV: epoch, and for a part its number and bytes.
CLEAR = _EPOCH + "return redis.call('UNLINK', KEYS[2])"
PART = _EPOCH + "return redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])"

# KEYS: writer, lease, head, place of the parts, place of the parts before.
# Further ARGV: number of parts, then names and values of the head.
ADOPT = (
    _FENCE
    + """
if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[5]) then
  return redis.error_reply('PARTS ' .. redis.call('HLEN', KEYS[4]))
end
redis.call('HSET', KEYS[3], unpack(ARGV, 6))
redis.call('UNLINK', KEYS[5])
return 0
"""
)

# Further ARGV: the first entry that stays.
TRIM = _FENCE + "return redis.call('XTRIM', KEYS[3], 'MINID', string.format('%d-0', ARGV[5]))"

# KEYS: lease.  ARGV: owner.
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
"""

# A process that shares areas says that it lives; those whose time is up are forgotten.
# KEYS: members.  ARGV: name, time to live in ms, word.
ANNOUNCE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  if tonumber(string.match(known[i + 1], '^%d+')) <= now then
    redis.call('HDEL', KEYS[1], known[i])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s', now + ARGV[2], ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 60000)
return 0
"""
