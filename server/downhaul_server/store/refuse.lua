-- Appends refused attempts to their own log: a hash chain like the main one, that lets go of its oldest entries.
--
-- Keys: {downhaul}:refusals:meta hash (number, chain, origin, origin_chain, minute, and how many of each kind in it),
--       {downhaul}:refusals stream (<number>-0 -> at, digest, chain, body)
--
-- Arguments: 1 how many are kept   2.. for each entry: kind, how many of its kind a minute may have, digest, body
--
-- Answers: number and chain of the newest, then for each entry 1 (appended) or 0 (there were too many this minute).

local META, LOG = KEYS[1], KEYS[2]
local keep = tonumber(ARGV[1])

local now = redis.call('TIME')
local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local minute = string.format('%.0f', math.floor(tonumber(now[1]) / 60))

local meta = redis.call('HMGET', META, 'number', 'chain', 'origin', 'minute')
local number, chain, origin = tonumber(meta[1] or '0'), meta[2] or '', tonumber(meta[3] or '1')
if not meta[1] then redis.call('HSET', META, 'number', '0', 'chain', '', 'origin', '1', 'origin_chain', '') end
if meta[4] ~= minute then
  redis.call('HDEL', META, 'known', 'unknown', 'rest')
  redis.call('HSET', META, 'minute', minute)
end

local answer = {}
for i = 2, #ARGV, 4 do
  local kind, most, digest, body = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
  if tonumber(redis.call('HGET', META, kind) or '0') >= most then
    answer[#answer + 1] = 0
  else
    redis.call('HINCRBY', META, kind, 1)
    number = number + 1
    local name = string.format('%.0f', number)
    chain = redis.sha1hex(chain .. ':' .. name .. ':' .. at .. ':' .. digest)
    redis.call('XADD', LOG, name .. '-0', 'at', at, 'digest', digest, 'chain', chain, 'body', body)
    redis.call('HSET', META, 'number', name, 'chain', chain)
    answer[#answer + 1] = 1
  end
end

-- What is let go is remembered by the hash that the oldest that is left follows from.
local surplus = number - origin + 1 - keep
if surplus > 0 then
  local last = string.format('%.0f', origin + surplus - 1)
  local entry = redis.call('XRANGE', LOG, last .. '-0', last .. '-0')[1]
  if entry then
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'chain' then redis.call('HSET', META, 'origin_chain', entry[2][i + 1]) end
    end
    redis.call('HSET', META, 'origin', string.format('%.0f', origin + surplus))
    redis.call('XTRIM', LOG, 'MAXLEN', keep)
  end
end

return {string.format('%.0f', number), chain, unpack(answer)}
