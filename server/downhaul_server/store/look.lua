-- Looks through a page of the log, newest first, for entries with certain texts in them; nothing else leaves Redis.
--
-- Keys: {downhaul}:log stream
--
-- Arguments: 1 id to begin with   2 how many to look at   3 ms: nothing older
--   4.. lists, each with its length in front: of each, the body has to have one
--
-- Answers: id under which to go on, or '' when that was all; then the entries as they are.

local LOG, from, count, oldest = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local lists, argument = {}, 4
while ARGV[argument] do
  local list = {}
  for i = 1, tonumber(ARGV[argument]) do list[i] = ARGV[argument + i] end
  lists[#lists + 1] = list
  argument = argument + #list + 1
end

local function has_one(body, list)
  for _, text in ipairs(list) do
    if string.find(body, text, 1, true) then return true end
  end
  return false
end

local function is_wanted(body)
  for _, list in ipairs(lists) do
    if not has_one(body, list) then return false end
  end
  return true
end

local found = redis.call('XREVRANGE', LOG, from, '-', 'COUNT', count)
local answer = {#found == count and found[#found][1] or ''}
for _, entry in ipairs(found) do
  local at, body = 0, ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'at' then at = tonumber(entry[2][i + 1]) or 0 end
    if entry[2][i] == 'body' then body = entry[2][i + 1] end
  end
  if at < oldest then
    answer[1] = ''
    break
  end
  if is_wanted(body) then answer[#answer + 1] = entry end
end
return answer
