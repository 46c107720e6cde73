-- append.lua: append events to a slice's outbox, all of them.
-- KEYS[1] <pre>wh  STREAM outbox  KEYS[2] <pre>wi  HASH own id -> entry
-- ARGV[1] most entries  ARGV[2..] groups: own id or '', number of texts n, n texts
--   (names and values of fields)
-- reply: how many were appended; one whose own id is there is left out
-- Safe to run twice for events with own ids.
local added, p = 0, 2
while p <= #ARGV do
  local id, n = ARGV[p], tonumber(ARGV[p + 1])
  if id == '' or redis.call('HEXISTS', KEYS[2], id) == 0 then
    local entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, p + 2, p + 1 + n))
    if id ~= '' then redis.call('HSET', KEYS[2], id, entry) end
    added = added + 1
  end
  p = p + 2 + n
end
return added
