-- state.lua: everything that the nodes have in slice 0, as JSON. See state in
-- history_test.go. Lists are objects, since an empty one has no kind here.
local pre, app = 'dunlin:{0}:', 'app-id:'
local call = redis.call
local s = { living = {}, counts = {}, tracked = {}, occupied = {}, members = {}, leases = {} }
local function strip(cid) return string.sub(cid, #app + 1) end
local function field(key, kind) return string.sub(key, #pre + #kind + 2) end
local hb = call('ZRANGE', pre .. 'hb', 0, -1, 'WITHSCORES')
for i = 1, #hb, 2 do s.living[hb[i]] = tonumber(hb[i + 1]) end
for _, key in ipairs(call('KEYS', pre .. '*')) do
  local kind = string.match(string.sub(key, #pre + 1), '^(%a+):')
  if kind == 'l' then
    s.leases[field(key, kind)] = 1
  elseif kind == 'nc' then
    local all, to = call('HGETALL', key), {}
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, #app) == app then to[strip(all[i])] = tonumber(all[i + 1]) end
    end
    s.counts[field(key, kind)] = to
  elseif kind == 'nb' then
    local to = {}
    for _, m in ipairs(call('SMEMBERS', key)) do to[strip(string.sub(m, 2))] = 1 end
    s.tracked[field(key, kind)] = to
  elseif kind == 'o' then
    local to = {}
    for _, inc in ipairs(call('HKEYS', key)) do to[inc] = 1 end
    s.occupied[strip(field(key, kind))] = to
  elseif kind == 'p' then
    local all, to, any = call('HGETALL', key), {}, false
    for i = 1, #all, 2 do
      if all[i] ~= 'v' then
        local list = {}
        for inc in string.gmatch(string.match(all[i + 1], '^[^;]*'), '[^,]+') do list[#list + 1] = inc end
        to[string.sub(all[i], 2)], any = list, true
      end
    end
    if any then s.members[strip(field(key, kind))] = to end
  end
end
s.timers = call('ZCARD', pre .. 'vq') + call('ZCARD', pre .. 'mq')
s.webhooks = call('XLEN', pre .. 'wh')
s.handedout = 0
if call('EXISTS', pre .. 'wh') == 1 then
  for _, g in ipairs(call('XINFO', 'GROUPS', pre .. 'wh')) do
    for i = 1, #g, 2 do
      if g[i] == 'pending' then s.handedout = g[i + 1] end
    end
  end
end
return cjson.encode(s)
