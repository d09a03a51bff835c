-- Tables, strings, closures, coroutines and garbage collection in all modes;
-- prints sums. The order of `pairs` differs between runs, but the output does
-- not depend on it.
local random = 42
local function next_random(limit)
  random = (random * 6364136223846793005 + 1442695040888963407)
  return (random >> 33) % limit
end

local function digest(text)
  local sum = 5381
  for i = 1, #text do sum = (sum * 33 + text:byte(i)) & 0xffffffffffff end
  return string.format("%d:%012x", #text, sum)
end

local function tree(depth)
  if depth == 0 then return { value = next_random(1000) } end
  return { left = tree(depth - 1), right = tree(depth - 1), value = depth }
end
local function total(node)
  if not node then return 0 end
  return node.value + total(node.left) + total(node.right)
end
for _, mode in ipairs { "incremental", "generational" } do
  collectgarbage(mode)
  local kept, sum = {}, 0
  for i = 1, 60 do
    kept[i % 5 + 1] = tree(11)
    sum = sum + total(kept[i % 5 + 1])
  end
  print(mode, sum)
end
collectgarbage("incremental")

local words, list = {}, {}
for i = 1, 200000 do
  local word = string.format("%x", next_random(70000))
  words[word] = (words[word] or 0) + i
  if i % 4 == 0 then words[string.format("%x", next_random(70000))] = nil end
end
for word, count in pairs(words) do list[#list + 1] = word .. "=" .. count end
table.sort(list)
print("words", #list, digest(table.concat(list, ",")))

local pieces = {}
for i = 1, 20000 do pieces[i] = ("%d:%s"):format(i, ("ab"):rep(next_random(60))) end
local text = table.concat(pieces, "\n")
print("text", digest(text))
print("changed", digest((text:gsub("(%d)(%d):", "%2-%1;"):gsub("abab", function(s) return s:upper() end))))
local count = 0
for a, b in text:gmatch("(%d+):([ab]*)") do count = count + #a * #b end
print("matched", count)
local packed = {}
for i = 1, 30000 do packed[i] = string.pack("<i4s2d", i, "s" .. i, i / 3) end
print("packed", digest(table.concat(packed)))
print("long", #("x"):rep(50 * 1000 * 1000), #(("y"):rep(1000, ("z"):rep(9000))))

local grown = ""
for i = 1, 6000 do grown = grown .. i .. ";" end
print("grown", digest(grown))

local function numbers(from, to)
  return coroutine.wrap(function() for i = from, to do coroutine.yield(i) end end)
end
local sum, alive = 0, {}
for i = 1, 4000 do
  local it = numbers(i, i + 10)
  for _ = 1, i % 10 do sum = sum + it() end
  alive[i % 500] = it
end
print("coroutines", sum)

local finished = 0
for i = 1, 20000 do setmetatable({ i }, { __gc = function(t) finished = finished + t[1] end }) end
collectgarbage()
collectgarbage()
print("finished", finished)

local weak = setmetatable({}, { __mode = "k" })
for i = 1, 20000 do weak[{}] = ("v"):rep(i % 100) end
collectgarbage()
print("weak", next(weak))

local sorted = {}
for i = 1, 100000 do sorted[i] = next_random(1 << 30) end
table.sort(sorted, function(a, b) return a % 1000 < b % 1000 or (a % 1000 == b % 1000 and a < b) end)
print("sorted", digest(table.concat(sorted, " ")))
print("error", select(2, pcall(function() local s = "x" while true do s = s .. s if #s > 1 << 26 then error("enough", 0) end end end)))
