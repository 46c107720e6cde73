-- terminate.lua: have every node end a user's connections, and leave a note for
-- nodes that do not hear of it.
-- KEYS[1] <pre>tm  ZSET "<app>\n<user>" -> ms of Redis' clock, of the last minute
-- ARGV[1] publish command  ARGV[2] control topic  ARGV[3] "<app>\n<user>"
-- reply: the note's time
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - 60000))
call('ZADD', KEYS[1], now, ARGV[3])
call(ARGV[1], ARGV[2], 'T' .. string.format('%d', now) .. ':' .. ARGV[3])
return now
