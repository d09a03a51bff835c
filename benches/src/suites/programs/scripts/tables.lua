-- Creates tables of strings, keeps some, and joins and splits strings.
-- Argument: the number of tables. Prints a sum over the results.

local count = tonumber(arg[1])
local kept, places = {}, 20000

local seed = 1
local function random(n)
  seed = seed * 48271 % 2147483647
  return seed % n
end

local sum = 0
local function add(value)
  sum = (sum * 33 + value) % 1000000007
end

for n = 1, count do
  local item = { id = n, name = "item " .. n, parts = {} }
  for k = 1, random(8) do
    item.parts[k] = string.format("part-%d/%d", k, random(1000000))
  end
  kept[random(places) + 1] = item
  if n % 16 == 0 then
    local lines = {}
    for _ = 1, 10 do
      local found = kept[random(places) + 1]
      if found then
        lines[#lines + 1] = found.name .. ": " .. table.concat(found.parts, ", ")
      end
    end
    for number in table.concat(lines, "\n"):gmatch("%d+") do
      add(tonumber(number))
    end
  end
end
print(sum)
