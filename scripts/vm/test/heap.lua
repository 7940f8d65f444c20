-- A binary heap: the best item first, by a comparison given.
local M = {}

---@class vm.test.Heap
local Heap = {}
Heap.__index = Heap

---Makes an empty heap.
---@param before fun(a: any, b: any): boolean whether a comes before b
---@return vm.test.Heap
function M.new(before)
    return setmetatable({ before = before, n = 0 }, Heap)
end

---How many items there are.
---@return integer
function Heap:size()
    return self.n
end

---The first item, which stays; nil when empty.
---@return any
function Heap:peek()
    return self[1]
end

---Adds an item.
---@param item any
function Heap:push(item)
    local at = self.n + 1
    self.n = at
    while at > 1 do
        local parent = at // 2
        if not self.before(item, self[parent]) then
            break
        end
        self[at] = self[parent]
        at = parent
    end
    self[at] = item
end

---Takes the first item; nil when empty.
---@return any
function Heap:pop()
    local first, n = self[1], self.n
    if n == 0 then
        return nil
    end
    local item = self[n]
    self[n] = nil
    n = n - 1
    self.n = n
    local at = 1
    while n > 0 do
        local child = at * 2
        if child > n then
            break
        end
        if child < n and self.before(self[child + 1], self[child]) then
            child = child + 1
        end
        if not self.before(self[child], item) then
            break
        end
        self[at] = self[child]
        at = child
    end
    if n > 0 then
        self[at] = item
    end
    return first
end

---Puts all items in order anew, after what they are compared by has changed.
function Heap:reorder()
    local items = table.move(self, 1, self.n, 1, {})
    table.sort(items, self.before)
    table.move(items, 1, #items, 1, self)
end

return M
