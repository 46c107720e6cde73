-- living.lua: the incarnations whose leases have not run out.
-- KEYS[1] <pre>hb
-- reply: their names
local t = redis.call('TIME')
local now = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
