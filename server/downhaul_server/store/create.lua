-- Creates the store, with its first documents and its first log entry, where there is none at all.
-- Used for a store's birth (revision 1) and for an operator's recovery from a checkpoint (the revision after it).
--
-- Keys: {downhaul}:meta hash, {downhaul}:docs hash, {downhaul}:versions hash, {downhaul}:touched hash,
--       {downhaul}:log stream; all must be absent. What they hold is described in keys.py.
--
-- Arguments:
--   1 schema   2 epoch   3 epochs that it succeeds   4 first revision   5 chain before it   6 digest, 7 body of the entry
--   8.. two lists, each with its length in front: address, version, JSON | field, revision
--
-- Answers: created, revision, at | exists, key

local META, DOCS, VERSIONS, TOUCHED, LOG = unpack(KEYS)

for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return {'exists', KEYS[i]} end
end

local schema, epoch, succeeds, revision, previous, digest, body = unpack(ARGV, 1, 7)
local now = redis.call('TIME')
local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local chain = redis.sha1hex(previous .. ':' .. revision .. ':' .. at .. ':' .. digest)

redis.call('XADD', LOG, revision .. '-0', 'at', at, 'digest', digest, 'chain', chain, 'body', body)
local argument = 8
for _ = 1, tonumber(ARGV[argument]) do
  local address = ARGV[argument + 1]
  redis.call('HSET', VERSIONS, address, ARGV[argument + 2])
  redis.call('HSET', DOCS, address, ARGV[argument + 3])
  argument = argument + 3
end
argument = argument + 1
for _ = 1, tonumber(ARGV[argument]) do
  redis.call('HSET', TOUCHED, ARGV[argument + 1], ARGV[argument + 2])
  argument = argument + 2
end
redis.call('HSET', META, 'schema', schema, 'epoch', epoch, 'succeeds', succeeds, 'revision', revision, 'chain', chain,
  'origin', revision, 'origin_chain', previous)
return {'created', revision, at}
