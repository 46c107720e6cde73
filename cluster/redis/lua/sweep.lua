-- sweep.lua: any node may run it at any time; one call does a bounded amount of work.
--  1 take a number of channels away from one dead incarnation
--  2 turn timers of members removed and channels vacated that are due into webhooks
-- KEYS[1] <pre>hb
-- ARGV[1] pre  ARGV[2] channels a call  ARGV[3] timers a call
-- ARGV[4] publish command  ARGV[5] delay, ms  ARGV[6] most entries of the outbox
-- ARGV[7] the latest time (ms, Redis' clock) at which this may still be done
-- reply {dead incarnation or '', channels taken, webhooks, more 1/0}
-- Safe to run twice, and by many at once.
local call, band = redis.call, bit.band
local pre, limit, pub, delay, maxlen = ARGV[1], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local kMq, kVq, kWh, kC = pre .. 'mq', pre .. 'vq', pre .. 'wh', pre .. 'c:'
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local nowUs = string.format('%d', t[1] * 1000000 + t[2])
if now > tonumber(ARGV[7]) then return { '', 0, 0, 0 } end
local reaped, hooks, more = 0, 0, 0
local dead = call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%d', now), 'LIMIT', 0, 1)[1]
local incs

local function bump(pk)
  local v = call('HINCRBY', pk, 'v', 1)
  if v == 1 then
    call('HSET', pk, 'v', nowUs)
    return nowUs
  end
  return string.format('%d', v)
end

local function publishTotal(cid)
  incs = incs or call('ZRANGE', KEYS[1], 0, -1)
  local n = 0
  for i = 1, #incs do
    if incs[i] ~= dead then n = n + tonumber(call('HGET', pre .. 'nc:' .. incs[i], cid) or 0) end
  end
  if n > 0 then call(pub, kC .. cid, 'S' .. n) end
end

-- The value v of a field f of a presence hash without the dead node; false when it
-- was not in it.
local function without(v)
  local s = string.find(v, ';', 1, true)
  local nodes = s and string.sub(v, 1, s - 1)
  if not s or not string.find(',' .. nodes .. ',', ',' .. dead .. ',', 1, true) then return false end
  local keep = {}
  for node in string.gmatch(nodes, '[^,]+') do
    if node ~= dead then keep[#keep + 1] = node end
  end
  if #keep == 0 then return '' end
  return table.concat(keep, ',') .. string.sub(v, s)
end

local function reapMembers(cid, fl)
  local pk = pre .. 'p:' .. cid
  local all = call('HGETALL', pk)
  for i = 1, #all, 2 do
    local f = all[i]
    local left = f ~= 'v' and without(all[i + 1])
    if left == '' then
      local user = string.sub(f, 2)
      call('HDEL', pk, f)
      call(pub, kC .. cid, 'R' .. bump(pk) .. ':' .. user)
      if band(fl, 4) ~= 0 then call('ZADD', kMq, now + delay, cid .. '\n' .. user) end
    elseif left then
      call('HSET', pk, f, left)
    end
  end
  if call('HLEN', pk) == 1 then call('PEXPIRE', pk, 60000) end
end

local function reapChannel(cid, fl)
  if band(fl, 2) ~= 0 then reapMembers(cid, fl) end
  local ok = pre .. 'o:' .. cid
  if call('HDEL', ok, dead) == 1 and call('EXISTS', ok) == 0 then
    if band(fl, 1) ~= 0 then call('ZADD', kVq, now + delay, cid) end
    if band(fl, 8) ~= 0 then call(pub, kC .. cid, 'O0') end
  end
  if band(fl, 16) ~= 0 then publishTotal(cid) end
end

if dead then
  call('DEL', pre .. 'l:' .. dead) -- fence first: a zombie can not write any more
  local nb = pre .. 'nb:' .. dead
  for _, m in ipairs(call('SPOP', nb, ARGV[2])) do
    reapChannel(string.sub(m, 2), string.byte(m) - 64)
    reaped = reaped + 1
  end
  if call('EXISTS', nb) == 0 then
    call('UNLINK', pre .. 'nc:' .. dead)
    call('ZREM', KEYS[1], dead)
  end
  more = 1 -- the rest of it, or the next dead one
end

local due = call('ZRANGEBYSCORE', kMq, '-inf', now, 'LIMIT', 0, limit)
for _, m in ipairs(due) do
  call('ZREM', kMq, m)
  local nl = string.find(m, '\n', 1, true)
  local cid, user = string.sub(m, 1, nl - 1), string.sub(m, nl + 1)
  if call('HEXISTS', pre .. 'p:' .. cid, 'u' .. user) == 0 then
    call('XADD', kWh, 'MAXLEN', '~', maxlen, '*', 'n', 'member_removed', 'c', cid, 'u', user, 't', now)
    hooks = hooks + 1
  end
end
-- A channel is vacated after its last member was removed: only when no such timer
-- is due any more.
if #due == limit then return { dead or '', reaped, hooks, 1 } end
due = call('ZRANGEBYSCORE', kVq, '-inf', now, 'LIMIT', 0, limit)
if #due == limit then more = 1 end
for _, cid in ipairs(due) do
  call('ZREM', kVq, cid)
  if call('EXISTS', pre .. 'o:' .. cid) == 0 then
    call('XADD', kWh, 'MAXLEN', '~', maxlen, '*', 'n', 'channel_vacated', 'c', cid, 't', now)
    hooks = hooks + 1
  end
end
return { dead or '', reaped, hooks, more }
