-- roster.lua: the members of a presence channel and their version.
-- KEYS[1] <pre>p:<cid>  KEYS[2] <pre>e
-- ARGV[1] the version that the node has seen. Redis is behind it only when it lost
--   writes; the version then jumps ahead, since nodes drop changes that look old.
-- ARGV[2] epoch the node believes in, '' for any
-- reply {-1}: it is another, and not everybody has told who is there; or
--   {version, field, value, ...}: fields are 'u' and the user's id, values
--   '<incarnations>;<data>'
-- Safe to run twice.
local call = redis.call
if ARGV[2] ~= '' and call('GET', KEYS[2]) ~= ARGV[2] then return { -1 } end
local v = tonumber(call('HGET', KEYS[1], 'v') or '0')
if v < tonumber(ARGV[1]) then
  local t = call('TIME')
  v = math.max(t[1] * 1000000 + t[2], tonumber(ARGV[1]) + 1)
  call('HSET', KEYS[1], 'v', string.format('%d', v))
  if call('HLEN', KEYS[1]) == 1 then call('PEXPIRE', KEYS[1], 60000) end
end
local all = call('HGETALL', KEYS[1])
local out = { v }
for i = 1, #all, 2 do
  if all[i] ~= 'v' then
    out[#out + 1], out[#out + 2] = all[i], all[i + 1]
  end
end
return out
