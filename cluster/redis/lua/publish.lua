-- publish.lua: a batch of events to one slice, all or none: last event of cache
-- channels, fan-out, counts.
-- KEYS[1] <pre>e  (routes the call; all other keys have the same hash tag)
-- ARGV[1] pre  ARGV[2] publish command
-- ARGV[3..] groups of four: bits cid ttl body
--   bits 1: body is the channel's last event for ttl ms, 2: answer subscriptions,
--   4: answer users, 8: the node delivers it itself, nobody else is there. body is
--   never looked into.
-- reply: two numbers an event, subscriptions and users, 0 when not wanted
local call, band = redis.call, bit.band
local pre, pub = ARGV[1], ARGV[2]
local incs
local out = {}
-- What may be refused when memory is full comes before anything is published; once
-- one of them was done, Redis refuses none.
for p = 3, #ARGV, 4 do
  if band(tonumber(ARGV[p]), 1) ~= 0 then call('SET', pre .. 'k:' .. ARGV[p + 1], ARGV[p + 3], 'PX', ARGV[p + 2]) end
end
for p = 3, #ARGV, 4 do
  local bits, cid, body = tonumber(ARGV[p]), ARGV[p + 1], ARGV[p + 3]
  local subs, users = 0, 0
  if band(bits, 8) == 0 then call(pub, pre .. 'c:' .. cid, body) end
  if band(bits, 2) ~= 0 then
    if not incs then
      local t = call('TIME')
      incs = call('ZRANGEBYSCORE', pre .. 'hb', string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000)), '+inf')
    end
    for i = 1, #incs do subs = subs + tonumber(call('HGET', pre .. 'nc:' .. incs[i], cid) or 0) end
  end
  if band(bits, 4) ~= 0 then users = math.max(call('HLEN', pre .. 'p:' .. cid) - 1, 0) end
  out[#out + 1], out[#out + 2] = subs, users
end
return out
