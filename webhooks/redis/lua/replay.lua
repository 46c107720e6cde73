-- replay.lua: put dead letters into the outbox again.
-- KEYS[1] <pre>wh  KEYS[2] <pre>wd  KEYS[3] <pre>wi
-- ARGV[1] most entries of the outbox  ARGV[2..] pairs: dead letter, its id
-- reply: how many; one whose id is in the outbox already is only removed. Safe to
--   run twice.
local n = 0
for p = 2, #ARGV, 2 do
  local letter = redis.call('XRANGE', KEYS[2], ARGV[p], ARGV[p])[1]
  if letter then
    redis.call('XDEL', KEYS[2], ARGV[p])
    if redis.call('HEXISTS', KEYS[3], ARGV[p + 1]) == 0 then
      local entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(letter[2]))
      redis.call('HSET', KEYS[3], ARGV[p + 1], entry)
    end
    n = n + 1
  end
end
return n
