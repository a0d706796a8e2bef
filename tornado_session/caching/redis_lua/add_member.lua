-- Add a member to an index ahead of its entry, which is in another slot.
--
--   keys        the index
--   arguments   the entry's name, its end
--   reply       token and promise, for the next command to show

local function run(keys, arguments)
  local name, ends = arguments[1], struct.unpack('>d', arguments[2])
  return struct.pack('>dd', add_member(keys[1], name, clock(), ends))
end
