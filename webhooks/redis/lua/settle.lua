-- settle.lua: end events that were handed out.
-- KEYS[1] <pre>wh  KEYS[2] <pre>wd  STREAM dead letters  KEYS[3] <pre>wi
-- ARGV[1] group  ARGV[2] most dead letters  ARGV[3] now, ms
-- ARGV[4..] groups of four: entry, id, reason ('': delivered), endpoints (JSON)
-- reply: how many were ended. Only what is still handed out is: safe to run twice.
local n = 0
for p = 4, #ARGV, 4 do
  local entry, id, why = ARGV[p], ARGV[p + 1], ARGV[p + 2]
  local found = redis.call('XRANGE', KEYS[1], entry, entry)[1]
  if redis.call('XACK', KEYS[1], ARGV[1], entry) == 1 then
    if why ~= '' and found then
      local fields = found[2]
      for _, f in ipairs({ 'id', id, 'why', why, 'x', ARGV[3], 'o', ARGV[p + 3] }) do fields[#fields + 1] = f end
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
    end
    redis.call('XDEL', KEYS[1], entry)
    redis.call('HDEL', KEYS[3], id)
    n = n + 1
  end
end
return n
