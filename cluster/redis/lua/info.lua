-- info.lua: what is known of channels over all nodes.
-- KEYS[1] <pre>e  (routes the call)
-- ARGV[1] pre  ARGV[2..] channels (cid)
-- reply: four values a channel: subscriptions, users, last event or '', ms left of it
local call = redis.call
local pre = ARGV[1]
local t = call('TIME')
local incs = call('ZRANGEBYSCORE', pre .. 'hb', string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000)), '+inf')
local out = {}
for p = 2, #ARGV do
  local cid, subs = ARGV[p], 0
  for i = 1, #incs do subs = subs + tonumber(call('HGET', pre .. 'nc:' .. incs[i], cid) or 0) end
  out[#out + 1] = subs
  out[#out + 1] = math.max(call('HLEN', pre .. 'p:' .. cid) - 1, 0)
  out[#out + 1] = call('GET', pre .. 'k:' .. cid) or ''
  out[#out + 1] = call('PTTL', pre .. 'k:' .. cid)
end
return out
