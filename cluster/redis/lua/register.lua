-- register.lua: register or renew one incarnation of a node in one slice.
-- KEYS[1] <pre>hb       ZSET  incarnation -> expiry (ms, Redis' clock)
-- KEYS[2] <pre>l:<inc>  HASH  lease: lane -> last applied batch number
-- KEYS[3] <pre>e        STRING slice epoch, new only when Redis lost its data
-- ARGV[1] inc  ARGV[2] time to live, ms  ARGV[3] epoch for a slice without one
-- KEYS[4] but on a Redis Cluster: STRING which Redis of how many this is, and how many
--   slices there are
-- ARGV[4] '1' to register, '0' to renew  ARGV[5] number of lanes
-- ARGV[6] publish command  ARGV[7] topic of all nodes, which hears of a registration
-- ARGV[8] what the node takes this Redis for
-- reply {epoch, status, now, {all incarnations}, lane numbers...}; status 1: done,
--   0: fenced; {what it is, 0, now} when it is another
-- Safe to run twice.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if KEYS[4] then
  local place = redis.call('GET', KEYS[4])
  if not place then
    redis.call('SET', KEYS[4], ARGV[8])
  elseif place ~= ARGV[8] then
    return { place, 0, now }
  end
end
local e = redis.call('GET', KEYS[3])
if not e then
  e = ARGV[3]
  redis.call('SET', KEYS[3], e)
end
if ARGV[4] == '1' then
  for i = 0, tonumber(ARGV[5]) - 1 do
    redis.call('HSETNX', KEYS[2], i, 0)
  end
  redis.call(ARGV[6], ARGV[7], 'N' .. ARGV[1])
elseif redis.call('EXISTS', KEYS[2]) == 0 then
  return { e, 0, now }
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
local r = { e, 1, now, redis.call('ZRANGE', KEYS[1], 0, -1) }
for i = 0, tonumber(ARGV[5]) - 1 do
  r[#r + 1] = tonumber(redis.call('HGET', KEYS[2], i) or '-1')
end
return r
