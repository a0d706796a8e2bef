-- Remove members whose entries were not met from an index.
--
--   keys        the index [, the entry of each member: looked at again, for one may have come since]
--   arguments   the members
--   reply       their number

local function run(keys, arguments)
  local now = clock()
  for position, member in ipairs(arguments) do
    local name = keys[position + 1]
    local entry = name and living(name, now)
    if not entry or entry.token ~= struct.unpack('>d', member) then
      redis.call('ZREM', keys[1], member)
    end
  end
  return #arguments
end
