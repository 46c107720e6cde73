-- ask.lua: answer a question through pub/sub, on the node's own topic, so that the
-- answer stands in order with the messages of the channel that it is about.
-- KEYS[1] <pre>e  (routes the call)
-- ARGV[1] pre  ARGV[2] publish command  ARGV[3] the node's topic
-- ARGV[4] the node's incarnation  ARGV[5..] triples: kind token cid
--   kind L  the last event:         message L<token>:<ms left>:<event>, -2: none
--        S  all subscriptions:      message S<token>:<count>:<the node's own>
--        O  is the user signed in:  message O<token>:<0 or 1>:
-- reply: how many listened to the last answer
local call = redis.call
local pre, pub = ARGV[1], ARGV[2]
local listeners = 0
for p = 5, #ARGV, 3 do
  local kind, cid = ARGV[p], ARGV[p + 2]
  local n, body = 0, ''
  if kind == 'L' then
    n, body = call('PTTL', pre .. 'k:' .. cid), call('GET', pre .. 'k:' .. cid) or ''
  elseif kind == 'S' then
    for _, inc in ipairs(call('ZRANGE', pre .. 'hb', 0, -1)) do
      n = n + tonumber(call('HGET', pre .. 'nc:' .. inc, cid) or 0)
    end
    body = call('HGET', pre .. 'nc:' .. ARGV[4], cid) or '0'
  else
    n = call('EXISTS', pre .. 'o:' .. cid)
  end
  listeners = call(pub, ARGV[3], kind .. ARGV[p + 1] .. ':' .. n .. ':' .. body)
end
return listeners
