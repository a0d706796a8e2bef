-- Store an entry with its expiry and its tag.
--
--   keys        the entry [, the index of its tag]
--   arguments   request, value [, tag [, what add_member.lua answered]]
--   reply       1: stored; nil: not, for there is one, or none, or one of another version; 0: the end has passed;
--               {tag, end}: first its member has to be added to the index
--
--   request     mode    version   expected       sliding   interval   relative   absolute
--               u8      8 bytes   8 bytes        f64       f64        f64        f64
--                                 zeros: any

local ADD, REPLACE = 1, 2
local ANY = string.rep('\0', 8)

local function is_refused(mode, expected, old)
  if mode == ADD then
    return old ~= nil
  end
  return mode == REPLACE and (old == nil or (expected ~= ANY and expected ~= old.version))
end

local function run(keys, arguments)
  local request, value, tag, shown = unpack(arguments)
  local mode, version, expected, sliding, interval, relative, absolute = struct.unpack('>Bc8c8dddd', request)
  local now = clock()
  if absolute <= now then
    return 0
  end
  local old = living(keys[1], now)
  if old and old.version == version then
    return 1  -- the driver has lost the answer and asks again
  end
  if is_refused(mode, expected, old) then
    return false
  end

  local entry = {
    refreshed = now, version = version, sliding = sliding, interval = interval,
    fixed_end = math.min(absolute, now + relative), token = 0, promise = 0, tag = tag or '',
  }
  local ends = ending(entry)
  if old and old.tag == entry.tag then
    entry.token, entry.promise = old.token, old.promise
  end
  if entry.tag ~= '' and ends > entry.promise and not promised(entry, keys, now, ends, tag, shown) then
    return {tag, struct.pack('>d', ends)}
  end

  local stored = fixed_part(entry) .. struct.pack('>H', #entry.tag) .. entry.tag .. value
  if ends < NEVER then
    redis.call('SET', keys[1], stored, 'PXAT', milliseconds(ends))
  else
    redis.call('SET', keys[1], stored)
  end
  return 1
end
