-- Gives what Redis holds a new epoch, which follows the epochs that running servers serve: an operator's decision.
-- Documents may be put and deleted with it, in the same entry: so what the servers serve wins, and the log stays.
--
-- Keys: {downhaul}:meta hash, {downhaul}:docs hash, {downhaul}:versions hash, {downhaul}:touched hash,
--       {downhaul}:log stream. What they hold is described in keys.py; without documents only meta and the log are written.
--
-- Arguments:
--   1 epoch and 2 revision that the operator has seen   3 new epoch   4 epochs that it succeeds   5 digest, 6 body of the entry
--   7.. three lists, each with its length in front: address, JSON to put | address to delete | field to touch
--
-- Answers: adopted, revision, at | changed

local META, DOCS, VERSIONS, TOUCHED, LOG = unpack(KEYS)

local seen_epoch, seen_revision, epoch, succeeds, digest, body = unpack(ARGV, 1, 6)
local meta = redis.call('HMGET', META, 'epoch', 'revision', 'chain')
if meta[1] ~= seen_epoch or meta[2] ~= seen_revision then return {'changed'} end

local now = redis.call('TIME')
local at = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local revision = string.format('%.0f', tonumber(meta[2]) + 1)
local chain = redis.sha1hex(meta[3] .. ':' .. revision .. ':' .. at .. ':' .. digest)

redis.call('XADD', LOG, revision .. '-0', 'at', at, 'digest', digest, 'chain', chain, 'body', body)
redis.call('HSET', META, 'epoch', epoch, 'succeeds', succeeds, 'revision', revision, 'chain', chain)
redis.call('HDEL', META, 'lost')

local argument = 7
for _ = 1, tonumber(ARGV[argument]) do
  redis.call('HSET', DOCS, ARGV[argument + 1], ARGV[argument + 2])
  redis.call('HSET', VERSIONS, ARGV[argument + 1], revision)
  argument = argument + 2
end
argument = argument + 1
for _ = 1, tonumber(ARGV[argument]) do
  redis.call('HDEL', DOCS, ARGV[argument + 1])
  redis.call('HDEL', VERSIONS, ARGV[argument + 1])
  argument = argument + 1
end
argument = argument + 1
for _ = 1, tonumber(ARGV[argument]) do
  redis.call('HSET', TOUCHED, ARGV[argument + 1], revision)
  argument = argument + 1
end
return {'adopted', revision, at}
