-- What every script begins with: the server's clock, and what an entry looks like.
--
-- An entry is one string. Numbers are big-endian; instants and durations are doubles in microseconds, exact until the
-- year 2255; "never" is infinity. Without a sliding expiry `sliding` is infinite.
--
--   0        1           9         17        25         33          41      49        57       59    59+n
--   ┌────────┬───────────┬─────────┬─────────┬──────────┬───────────┬───────┬─────────┬────────┬─────┬───────┐
--   │ format │ refreshed │ version │ sliding │ interval │ fixed end │ token │ promise │ n      │ tag │ value │
--   │ u8 = 1 │ f64       │ 8 bytes │ f64     │ f64      │ f64       │ f64   │ f64     │ u16    │ n   │ rest  │
--   └────────┴───────────┴─────────┴─────────┴──────────┴───────────┴───────┴─────────┴────────┴─────┴───────┘
--
-- One string, since a hash takes more than twice the memory and time. `token` and `promise` place a tagged entry in the
-- index of its tag, see tag_index.lua. The end follows from the rest; Redis's own expiry of the key, never earlier,
-- only clears away what has ended.

local FORMAT = 1
local NEVER = math.huge
local FIXED_PART = '>Bdc8ddddd'

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Rounded up: what Redis keeps a moment too long is not returned, but what it drops is lost.
local function milliseconds(instant)
  return string.format('%.0f', math.ceil(instant / 1000))
end

local function ending(entry)
  return math.min(entry.fixed_end, entry.refreshed + entry.sliding + entry.interval)
end

local function fixed_part(entry)
  return struct.pack(FIXED_PART, FORMAT, entry.refreshed, entry.version, entry.sliding, entry.interval,
    entry.fixed_end, entry.token, entry.promise)
end

-- The entry that is stored under a name and has not ended, and the string that holds it.
local function living(name, now)
  local stored = redis.call('GET', name)
  if not stored then
    return nil
  end
  if #stored < 59 or string.byte(stored) ~= FORMAT then
    error('what is stored is no entry of a RedisCache, or one of a later release', 0)
  end
  local entry, _ = {}, nil
  _, entry.refreshed, entry.version, entry.sliding, entry.interval, entry.fixed_end, entry.token, entry.promise,
    entry.tag = struct.unpack(FIXED_PART .. 'Hc0', stored)
  if now >= ending(entry) then
    return nil
  end
  return entry, stored
end
