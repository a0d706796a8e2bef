-- Remove an entry. Its member in the index of its tag is dead from then on.
--
--   keys    the entry
--   reply   1, or 0 when there was none

local function run(keys)
  if not living(keys[1], clock()) then
    return 0
  end
  redis.call('UNLINK', keys[1])
  return 1
end
