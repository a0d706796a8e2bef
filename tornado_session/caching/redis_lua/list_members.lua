-- List some members of an index.
--
--   keys        the index
--   arguments   the cursor; "0" begins
--   reply       the next cursor, "0" at the end; the token from which on members are too young to be removed on sight;
--               the members

local PER_CALL = 100

local function run(keys, arguments)
  local page = redis.call('ZSCAN', keys[1], arguments[1], 'COUNT', PER_CALL)
  local reply = {page[1], struct.pack('>d', clock() - 2 * GAP)}
  for position = 1, #page[2], 2 do
    reply[#reply + 1] = page[2][position]
  end
  return reply
end
