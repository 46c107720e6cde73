-- register.lua: register or renew one incarnation of a node in one slice.
-- KEYS[1] <pre>hb       ZSET  incarnation -> expiry (ms, Redis' clock)
-- KEYS[2] <pre>l:<inc>  HASH  lease: lane -> last applied batch number
-- KEYS[3] <pre>e        STRING slice epoch, new only when Redis lost its data
-- ARGV[1] inc  ARGV[2] time to live, ms  ARGV[3] epoch for a slice without one
-- KEYS[4] but on a Redis Cluster: STRING which Redis of how many this is, and how many
--   slices there are
-- ARGV[4] '1' to register, '0' to renew  ARGV[5] number of lanes
-- ARGV[6] what the node takes it for
-- reply {epoch, status, now, lane numbers...}; status 1: done, 0: fenced;
--   {what it is, 0, now} when it is another
-- Safe to run twice.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if KEYS[4] then
  local place = redis.call('GET', KEYS[4])
  if not place then
    redis.call('SET', KEYS[4], ARGV[6])
  elseif place ~= ARGV[6] then
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
elseif redis.call('EXISTS', KEYS[2]) == 0 then
  return { e, 0, now }
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
local r = { e, 1, now }
for i = 0, tonumber(ARGV[5]) - 1 do
  r[#r + 1] = tonumber(redis.call('HGET', KEYS[2], i) or '-1')
end
return r
