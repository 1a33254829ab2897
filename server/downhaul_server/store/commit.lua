-- Commits one change: all of it, or nothing.
--
-- Keys:
--   KEYS[1]  {downhaul}:meta      hash    schema, epoch, revision, chain, ...   (revision and chain are written)
--   KEYS[2]  {downhaul}:docs      hash    address -> JSON text                  (opaque here: cjson would turn [] into {})
--   KEYS[3]  {downhaul}:versions  hash    address -> revision of its last change
--   KEYS[4]  {downhaul}:touched   hash    service@environment -> revision of the last commit that affects it
--   KEYS[5]  {downhaul}:log       stream  <revision>-0 -> at, digest, chain, body
--   KEYS[6]  {downhaul}:op:<id>   hash    fingerprint, revision, at, result     (expires)
--
-- Arguments:
--   1 epoch, 2 revision and 3 chain that the caller serves   4 revision that it must build on, or ''
--   5 fingerprint, 6 result of the operation                 7 seconds to remember it
--   8 digest, 9 body of the entry
--   10.. four lists, each with its length in front: address, version expected | address, JSON to put |
--        address to delete | field to touch
--
-- Answers (the first is what happened; numbers travel as text, because Lua's are doubles):
--   committed, revision, at, chain      replayed, revision, at, result      reused
--   stale, revision              conflict, address, version          diverged, what Redis holds
--
-- Every check comes before the first write, and the first write (XADD) is the only one that can be refused.

local META, DOCS, VERSIONS, TOUCHED, LOG, OPERATION = unpack(KEYS)

local argument = 9
local function take()
  argument = argument + 1
  return ARGV[argument]
end

local function take_list(width)
  local list = {}
  for i = 1, tonumber(take()) * width do
    list[i] = take()
  end
  return list
end

local function field_of(entry, name)
  for i = 1, #entry, 2 do
    if entry[i] == name then return entry[i + 1] end
  end
end

local epoch, served, served_chain, base = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local fingerprint, result, ttl = ARGV[5], ARGV[6], ARGV[7]
local digest, body = ARGV[8], ARGV[9]
local expected, puts, deletes, touches = take_list(2), take_list(2), take_list(1), take_list(1)

-- Is this the history that the caller has served? A store that lost or swapped revisions must not get another one.
local meta = redis.call('HMGET', META, 'epoch', 'revision', 'chain', 'lost')
if not meta[1] then return {'diverged', 'no store of Downhaul'} end
if meta[1] ~= epoch then return {'diverged', 'epoch ' .. meta[1]} end
local revision, chain = tonumber(meta[2]), meta[3]
if revision < served then return {'diverged', 'revision ' .. meta[2]} end
local chain_there = chain
if revision > served then
  local id = ARGV[2] .. '-0'
  local found = redis.call('XRANGE', LOG, id, id)
  -- Without an entry there (the log was trimmed) there is nothing to compare.
  chain_there = found[1] and field_of(found[1][2], 'chain') or served_chain
end
if chain_there ~= served_chain then return {'diverged', 'another entry at revision ' .. ARGV[2]} end
if meta[4] then return {'diverged', 'less than another server has served (revision ' .. meta[4] .. ')'} end

local first = redis.call('HMGET', OPERATION, 'fingerprint', 'revision', 'at', 'result')
if first[1] then
  if first[1] ~= fingerprint then return {'reused'} end
  return {'replayed', first[2], first[3], first[4]}
end

if base ~= '' and tonumber(base) ~= revision then return {'stale', meta[2]} end
for i = 1, #expected, 2 do
  local version = redis.call('HGET', VERSIONS, expected[i]) or '0'
  if version ~= expected[i + 1] then return {'conflict', expected[i], version} end
end

local now = redis.call('TIME')
local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local new = string.format('%.0f', revision + 1)
chain = redis.sha1hex(chain .. ':' .. new .. ':' .. at .. ':' .. digest)

redis.call('XADD', LOG, new .. '-0', 'at', at, 'digest', digest, 'chain', chain, 'body', body)
redis.call('HSET', META, 'revision', new, 'chain', chain)
for i = 1, #puts, 2 do
  redis.call('HSET', DOCS, puts[i], puts[i + 1])
  redis.call('HSET', VERSIONS, puts[i], new)
end
for i = 1, #deletes do
  redis.call('HDEL', DOCS, deletes[i])
  redis.call('HDEL', VERSIONS, deletes[i])
end
for i = 1, #touches do
  redis.call('HSET', TOUCHED, touches[i], new)
end
redis.call('HSET', OPERATION, 'fingerprint', fingerprint, 'revision', new, 'at', at, 'result', result)
redis.call('EXPIRE', OPERATION, ttl)
return {'committed', new, at, chain}
