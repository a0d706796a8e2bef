-- Many runs in one command, where all keys are in one slot. An error is the reply of its run alone.
--
--   ARGV    the number of runs; "shared" when one set of arguments is for all of them, else "own"; the arguments
--   reply   those of the runs

local function slice(list, first, count)
  return {unpack(list, first, first + count - 1)}
end

local runs, is_shared = tonumber(ARGV[1]), ARGV[2] == 'shared'
local keys_each = #KEYS / runs
local arguments_each = (#ARGV - 2) / (is_shared and 1 or runs)

local replies = {}
for number = 0, runs - 1 do
  local keys = slice(KEYS, number * keys_each + 1, keys_each)
  local arguments = slice(ARGV, (is_shared and 0 or number * arguments_each) + 3, arguments_each)
  local done, reply = pcall(run, keys, arguments)
  if not done then
    reply = redis.error_reply(type(reply) == 'table' and reply.err or tostring(reply))
  end
  replies[number + 1] = reply
end
return replies
