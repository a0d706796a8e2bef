-- Many runs in one command, where all keys are in one slot. An error is the reply of its run alone.
--
--   ARGV    the number of runs; how many arguments each has; "shared", and the arguments, which are for all of them,
--           or "own", the sizes of all arguments as u32 each, and all arguments in one string
--   reply   those of the runs: a list, or one string if they are short strings, small numbers and nil only: for each
--           an i32, which is the size of a string, -1 for nil, or -2 - number; and then the strings
--
-- One string, since a driver in Python takes longer for the pieces of a command and its reply than for all else. Not of
-- large ones: Lua would copy each several times, at several times the memory, while the server does nothing else.

local LARGE = 16 * 1024

local function slice(list, first, count)
  return {unpack(list, first, first + count - 1)}
end

local runs, arguments_each, is_shared = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'shared'
local keys_each = #KEYS / runs

local position, start = 1, 1
local function next_arguments()
  if is_shared then
    return slice(ARGV, 4, arguments_each)
  end
  local arguments, size = {}, nil
  for number = 1, arguments_each do
    size, position = struct.unpack('>I', ARGV[4], position)
    arguments[number] = string.sub(ARGV[5], start, start + size - 1)
    start = start + size
  end
  return arguments
end

local function head(reply)
  if type(reply) == 'string' and #reply < LARGE then
    return struct.pack('>i', #reply)
  elseif type(reply) == 'number' then
    return struct.pack('>i', -2 - reply)
  elseif not reply then
    return struct.pack('>i', -1)
  end
end

local replies, heads, strings = {}, {}, {}
for number = 1, runs do
  local keys = slice(KEYS, (number - 1) * keys_each + 1, keys_each)
  local done, reply = pcall(run, keys, next_arguments())
  if not done then
    reply = redis.error_reply(type(reply) == 'table' and reply.err or tostring(reply))
  end
  replies[number] = reply
  heads[#heads + 1] = head(reply)
  strings[#strings + 1] = type(reply) == 'string' and reply or nil
end
return #heads == runs and table.concat(heads) .. table.concat(strings) or replies
