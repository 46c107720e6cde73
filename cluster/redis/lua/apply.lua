-- apply.lua: apply a batch of desired state of one incarnation to one slice.
-- Every operation is idempotent: a batch may be sent again as it is.
-- KEYS[1] <pre>e        slice epoch
-- KEYS[2] <pre>l:<inc>  lease, HASH lane -> last applied batch number
-- KEYS[3] <pre>nc:<inc> HASH cid -> subscriptions on this incarnation
-- KEYS[4] <pre>nb:<inc> SET  <flags char><cid> of its tracked channels
-- ARGV[1] pre, such as "dunlin:{7}:"  ARGV[2] inc  ARGV[3] epoch the node believes in
-- ARGV[4] lane  ARGV[5] last batch number that was answered  ARGV[6] this batch's
-- ARGV[7] publish command  ARGV[8] delay of vacated and removed webhooks, ms
-- ARGV[9] most entries of the outbox
-- ARGV[10..] operations (cid = "<app>:<channel>"):
--   a cid count             plain channel: this many subscriptions here now
--   c cid flags count       tracked channel: the same, with its transitions
--   j cid flags user data most  the user has a connection in a presence channel
--     here; one who is no member is refused when there are so many, 0: never
--   l cid flags user        the user has none any more
-- flags: 1 occupied/vacated webhooks, 2 presence channel, 4 member webhooks,
--   8 a signed-in user, 16 counts are published, 32 quiet: told again after data
--   was lost, no webhooks
-- reply {'OK', r...}: r of j and l is the presence version, of a refused j -1, of
--   a and c 0;
--   or {'EPOCH' | 'FENCED' | 'LOST', detail}: nothing was applied
local call, band = redis.call, bit.band
local pre, inc = ARGV[1], ARGV[2]
local e = call('GET', KEYS[1])
if e ~= ARGV[3] then return { 'EPOCH', e or '' } end
local seq = call('HGET', KEYS[2], ARGV[4])
if not seq then return { 'FENCED', '' } end
if seq ~= ARGV[6] then
  if seq ~= ARGV[5] then return { 'LOST', seq } end
  call('HSET', KEYS[2], ARGV[4], ARGV[6])
end
local pub, delay, maxlen = ARGV[7], tonumber(ARGV[8]), ARGV[9]
local nc, nb = KEYS[3], KEYS[4]
local kO, kP, kC, kVq, kMq, kWh = pre .. 'o:', pre .. 'p:', pre .. 'c:', pre .. 'vq', pre .. 'mq', pre .. 'wh'
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local nowUs = string.format('%d', t[1] * 1000000 + t[2])
local incs

local function bump(pk)
  local v = call('HINCRBY', pk, 'v', 1)
  if v == 1 then -- a new hash begins with the clock, in us: versions never go back
    call('HSET', pk, 'v', nowUs)
    return nowUs
  end
  return string.format('%d', v)
end

-- Node counts are read once a call: which nodes there are does not change in it.
local function publishTotal(cid, mine)
  incs = incs or call('ZRANGE', pre .. 'hb', 0, -1)
  local n = 0
  for i = 1, #incs do n = n + tonumber(call('HGET', pre .. 'nc:' .. incs[i], cid) or 0) end
  call(pub, kC .. cid, 'S' .. n .. ':' .. mine .. ':' .. inc)
end

local function hook(name, cid, user)
  if user then
    call('XADD', kWh, 'MAXLEN', '~', maxlen, '*', 'n', name, 'c', cid, 'u', user, 't', now)
  else
    call('XADD', kWh, 'MAXLEN', '~', maxlen, '*', 'n', name, 'c', cid, 't', now)
  end
end

local function gone(cid, fl) -- no node has the channel any more
  if band(fl, 1) ~= 0 then call('ZADD', kVq, now + delay, cid) end
  if band(fl, 8) ~= 0 then call(pub, kC .. cid, 'O0') end
end

local function count(cid, fl, n)
  local ok, mark = kO .. cid, string.char(64 + band(fl, 31)) .. cid
  if n == '0' then
    if call('HDEL', nc, cid) == 0 then return end
    call('HDEL', ok, inc)
    call('SREM', nb, mark)
    if call('EXISTS', ok) == 0 then gone(cid, fl) end
  elseif call('HSET', nc, cid, n) == 1 then
    call('HSET', ok, inc, '')
    call('SADD', nb, mark)
    if call('HLEN', ok) == 1 then
      if band(fl, 1) ~= 0 and call('ZREM', kVq, cid) == 0 and band(fl, 32) == 0 then hook('channel_occupied', cid) end
      if band(fl, 8) ~= 0 then call(pub, kC .. cid, 'O1') end
    end
  end
  if band(fl, 16) ~= 0 then publishTotal(cid, n) end
end

local function join(cid, fl, user, data, most)
  local pk, f = kP .. cid, 'u' .. user
  local v = call('HGET', pk, f)
  if v then
    local s = string.find(v, ';', 1, true)
    local nodes = string.sub(v, 1, s - 1)
    if not string.find(',' .. nodes .. ',', ',' .. inc .. ',', 1, true) then
      call('HSET', pk, f, nodes .. ',' .. inc .. string.sub(v, s))
    end
    return call('HGET', pk, 'v')
  end
  if most > 0 and call('HLEN', pk) - 1 >= most then return -1 end -- one field is the version
  local ver = bump(pk)
  call('HSET', pk, f, inc .. ';' .. data)
  if call('HLEN', pk) == 2 then call('PERSIST', pk) end
  call(pub, kC .. cid, 'A' .. ver .. ':' .. #user .. ':' .. user .. data)
  if band(fl, 4) ~= 0 and call('ZREM', kMq, cid .. '\n' .. user) == 0 and band(fl, 32) == 0 then
    hook('member_added', cid, user)
  end
  return ver
end

local function leave(cid, fl, user)
  local pk, f = kP .. cid, 'u' .. user
  local v = call('HGET', pk, f)
  if not v then return 0 end
  local s = string.find(v, ';', 1, true)
  local keep, found = {}, false
  for node in string.gmatch(string.sub(v, 1, s - 1), '[^,]+') do
    if node == inc then found = true else keep[#keep + 1] = node end
  end
  if not found then return 0 end
  if #keep > 0 then
    call('HSET', pk, f, table.concat(keep, ',') .. string.sub(v, s))
    return 0
  end
  call('HDEL', pk, f)
  local ver = bump(pk)
  if call('HLEN', pk) == 1 then call('PEXPIRE', pk, 60000) end -- the version lives on for a minute
  call(pub, kC .. cid, 'R' .. ver .. ':' .. user)
  if band(fl, 4) ~= 0 then call('ZADD', kMq, now + delay, cid .. '\n' .. user) end
  return ver
end

local out, o, n, p = { 'OK' }, 1, #ARGV, 10
while p <= n do
  local op, cid = ARGV[p], ARGV[p + 1]
  local r = 0
  if op == 'a' then
    if ARGV[p + 2] == '0' then call('HDEL', nc, cid) else call('HSET', nc, cid, ARGV[p + 2]) end
    p = p + 3
  elseif op == 'c' then
    count(cid, tonumber(ARGV[p + 2]), ARGV[p + 3])
    p = p + 4
  elseif op == 'j' then
    r = join(cid, tonumber(ARGV[p + 2]), ARGV[p + 3], ARGV[p + 4], tonumber(ARGV[p + 5]))
    p = p + 6
  else
    r = leave(cid, tonumber(ARGV[p + 2]), ARGV[p + 3])
    p = p + 4
  end
  o = o + 1
  out[o] = tonumber(r)
end
return out
