-- The index of a tag: a sorted set of the entries' names, in whatever slot its own name falls.
--
--   member   token (f64, when it was put there) .. the entry's name
--   score    the promise: until then the member stays
--
-- The entry is the truth and the index follows it: an entry is stored only with a promise that it does not outlive, and
-- its member is put into the index before. So a living entry is always found, and what else is in the index is dead:
-- members go when their promise has passed, or when somebody who lists the tag meets them. As the token is the entry's
-- own, removing a dead member cannot hit the one of an entry that was stored anew under the same name.

-- How far the promise reaches beyond the end, so that an expiry slides this long without a look at the index.
local AHEAD = 24 * 60 * 60 * 1000000
-- How long after its member an entry may be stored when that takes two commands. Whoever lists the tag leaves members
-- alone for twice as long, so the clocks of a cluster's nodes may differ by as much.
local GAP = 30 * 1000000
local PURGED_PER_CALL = 100

local function expire_with_last_member(index)
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', index)
  else
    redis.call('PEXPIREAT', index, milliseconds(tonumber(last)))
  end
end

-- Adding comes first: it is what Redis refuses when memory is full, and then nothing has changed.
local function add_member(index, name, now, ends)
  local promise = ends + AHEAD
  redis.call('ZADD', index, string.format('%.17g', promise), struct.pack('>d', now) .. name)
  local past = redis.call('ZRANGEBYSCORE', index, '-inf', string.format('%.17g', now), 'LIMIT', 0, PURGED_PER_CALL)
  if #past > 0 then
    redis.call('ZREM', index, unpack(past))
  end
  expire_with_last_member(index)
  return now, promise
end

-- Give the entry in keys[1] a promise that covers `ends`. Either its index is keys[2], where both are in one slot, or
-- the caller has added the member with a command of its own and shows the answer. False: that has to be done first.
local function promised(entry, keys, now, ends, tag, shown)
  if entry.tag ~= tag then
    return false
  end
  if keys[2] then
    local former = entry.token
    entry.token, entry.promise = add_member(keys[2], keys[1], now, ends)
    if former > 0 and former ~= entry.token then
      redis.call('ZREM', keys[2], struct.pack('>d', former) .. keys[1])
    end
    return true
  end
  if not shown then
    return false
  end
  entry.token, entry.promise = struct.unpack('>dd', shown)
  return ends <= entry.promise and now - entry.token <= GAP
end
