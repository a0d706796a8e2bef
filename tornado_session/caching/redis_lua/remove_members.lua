-- Remove dead members from an index.
--
--   keys        the index [, the entries of the members: named so that a cluster that looks like one server refuses]
--   arguments   the members
--   reply       how many were there

local function run(keys, arguments)
  return redis.call('ZREM', keys[1], unpack(arguments))
end
