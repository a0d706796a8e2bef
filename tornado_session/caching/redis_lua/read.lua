-- Read an entry, or only touch it; both start its sliding expiry anew.
--
--   keys        the entry [, the index of its tag]
--   arguments   peek | read | touch [, tag [, what add_member.lua answered]]
--   reply       the entry as stored, 1 for touch; nil: none; {tag, end}: first its member has to be added to the index

local function run(keys, arguments)
  local how, tag, shown = unpack(arguments)
  local now = clock()
  local entry, stored = living(keys[1], now)
  if not entry then
    return false
  end

  if how ~= 'peek' and entry.sliding < NEVER and now - entry.refreshed >= entry.interval then
    entry.refreshed = now
    local ends = ending(entry)
    if entry.tag ~= '' and ends > entry.promise and not promised(entry, keys, now, ends, tag, shown) then
      return {entry.tag, struct.pack('>d', ends)}
    end
    -- In this order reading works when memory is full: Redis lets PEXPIREAT pass, and then the script finish.
    local changed = fixed_part(entry)
    redis.call('PEXPIREAT', keys[1], milliseconds(ends))
    redis.call('SETRANGE', keys[1], 0, changed)
    stored = changed .. string.sub(stored, #changed + 1)
  end

  if how == 'touch' then
    return 1
  end
  return stored
end
