-- Puts what a backup holds in the place of all that is there, under a new epoch: an operator's decision.
--
-- Keys:
--   1 to 5  {downhaul}:meta hash, {downhaul}:docs hash, {downhaul}:versions hash, {downhaul}:touched hash,
--           {downhaul}:log stream. What they hold is described in keys.py; all of them are written.
--   6..     pairs: {downhaul}:restore:<name>, where a part of the backup waits (or nothing, if it has no such part), and
--           the key whose place it takes
--
-- Arguments:
--   1 epoch and 2 revision that the operator has seen; both '' where there was nothing
--   3 schema   4 new epoch   5 epochs that it succeeds   6 revision and 7 chain of the backup
--   8 first revision of its log, and 9 the chain before it   10 digest, 11 body of the entry
--
-- Answers: restored, revision, at | changed

local META, LOG = KEYS[1], KEYS[5]

local seen_epoch, seen_revision, schema, epoch, succeeds, last, previous, origin, origin_chain, digest, body = unpack(ARGV)
local meta = redis.call('HMGET', META, 'epoch', 'revision')
if (meta[1] or '') ~= seen_epoch or (meta[2] or '') ~= seen_revision then return {'changed'} end
if seen_epoch == '' then
  for i = 1, 5 do
    if redis.call('EXISTS', KEYS[i]) == 1 then return {'changed'} end
  end
end

redis.call('DEL', META)
for i = 6, #KEYS, 2 do
  redis.call('DEL', KEYS[i + 1])
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('PERSIST', KEYS[i])
    redis.call('RENAME', KEYS[i], KEYS[i + 1])
  end
end

local now = redis.call('TIME')
local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local revision = string.format('%.0f', tonumber(last) + 1)
local chain = redis.sha1hex(previous .. ':' .. revision .. ':' .. at .. ':' .. digest)
redis.call('XADD', LOG, revision .. '-0', 'at', at, 'digest', digest, 'chain', chain, 'body', body)
redis.call('HSET', META, 'schema', schema, 'epoch', epoch, 'succeeds', succeeds, 'revision', revision, 'chain', chain,
  'origin', origin, 'origin_chain', origin_chain)
return {'restored', revision, at}
