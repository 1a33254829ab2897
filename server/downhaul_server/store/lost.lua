-- Says in Redis that it lacks what a server has served, so that nobody goes on with it before an operator has decided.
--
-- Keys: {downhaul}:meta hash (written), {downhaul}:log stream (the fifth key)
--
-- Arguments: 1 epoch, 2 revision and 3 chain that the caller has served
--
-- Answers: noted | agrees (also: of another epoch, or noted before)

local META, LOG = KEYS[1], KEYS[5]

local epoch, served, served_chain = unpack(ARGV)
local meta = redis.call('HMGET', META, 'epoch', 'revision', 'chain', 'lost')
if meta[1] ~= epoch or meta[4] then return {'agrees'} end
local chain = meta[3]
if tonumber(meta[2]) > tonumber(served) then
  local found = redis.call('XRANGE', LOG, served .. '-0', served .. '-0')
  -- Without an entry there (the log was trimmed) there is nothing to compare.
  chain = served_chain
  for i = 1, found[1] and #found[1][2] or 0, 2 do
    if found[1][2][i] == 'chain' then chain = found[1][2][i + 1] end
  end
end
if tonumber(meta[2]) >= tonumber(served) and chain == served_chain then return {'agrees'} end
redis.call('HSET', META, 'lost', served)
return {'noted'}
