-- Writes the manual's list of messages that say what to do, from the sources: in a message of this program what
-- is wrong stands before "; ", and what to do about it behind.
-- Run: vmatrix scripts/dev/messages.lua > docs/manual/messages.md
local raw = require "vm.raw"

local root = arg[0]:match "^(.*)/scripts/dev/[^/]*$" or "."

-- What is called with the text of an error: errors.fail, guest:fail, refuse, problems:add, ...
local makers = { fail = true, new = true, refuse = true, complain = true, vx_err_set = true,
    [":fail"] = true, [":add"] = true, [":at"] = true }
local keywords = { ["and"] = true, ["or"] = true, ["not"] = true, ["return"] = true }

-- Where a message belongs, by the folder of its source. What is left over comes first.
local chapters = {
    { "Running and options", "" },
    { "Guests", "guest", "cloud", "default", "remote", "virt", "ssh", "loop", "base" },
    { "Copying", "copy", "data" },
    { "Networks", "network", "net" },
    { "Snapshots, templates, states", "template", "state" },
    { "Images", "images", "image", "seed", "build" },
    { "Test matrices and reports", "matrix", "test", "report" },
    { "Kept guests and commands", "owner", "commands", "cli", "repl", "terminal" },
}

-- The function that a place in a text is an argument of, its last word: of `self:fail(1, "` it is ":fail".
local function caller(text, at)
    local depth = 0
    for i = at - 1, 1, -1 do
        local c = text:sub(i, i)
        if c == ")" or c == "}" then
            depth = depth + 1
        elseif (c == "(" or c == "{") and depth > 0 then
            depth = depth - 1
        elseif c == "(" or c == "{" then
            local name = text:sub(math.max(1, i - 80), i - 1):match ":?[%w_]+$"
            if name and not keywords[name] then return name end
        end
    end
end

-- A text as people see it: without escapes, and with "..." for what differs.
local function readable(text)
    text = text:gsub("\\n.*$", ""):gsub("\1", '"'):gsub("%%%%", "\0"):gsub("%%[%d.]*[dfgsu]", "...")
    text = text:gsub("%z", "%%"):gsub("%.%.%.%.+", "...")
    repeat
        local before = text
        text = text:gsub("^%.%.%.[:,]? ", "")
    until text == before
    return (text:gsub("|", "\\|"))
end

-- What begins so goes on about what is wrong, and is nothing to do.
local no_remedy = {}
for word in ("it the ... only nothing sha256"):gmatch "%S+" do
    no_remedy[word] = true
end

local function find(path, found)
    local text = assert(raw.fs.read(path, 1 << 20))
    text = text:gsub("\n%s*%-%-[^\n]*", "\n"):gsub('\\"', "\1"):gsub('"%s*%.%.%s*"', ""):gsub('"%s*\n%s*"', "")
    for at, message in text:gmatch '()"([^"\n]*; [^"\n]*)"' do
        local wrong, remedy = readable(message):match "^(.-); (.*)$"
        if makers[caller(text, at)] and #wrong > 3 and not no_remedy[remedy:match "^%S*"] then
            found[wrong .. "\0" .. remedy] = { wrong = wrong, remedy = remedy, room = path:match "([^/]+)/[^/]+$" }
        elseif os.getenv "SHOW" and makers[caller(text, at)] then
            io.stderr:write(path, ": ", message, "\n")
        end
    end
end

local found = {}
for _, pattern in ipairs { "scripts/vm/*.lua", "scripts/vm/*/*.lua", "scripts/vm/*/*/*.lua", "runtime/*/*.c" } do
    for _, path in ipairs(assert(raw.fs.glob(root .. "/" .. pattern))) do
        find(path, found)
    end
end

local of_room = {}
for i, chapter in ipairs(chapters) do
    for k = 2, #chapter do
        of_room[chapter[k]] = i
    end
end
local rows = {}
for key, each in pairs(found) do
    each.key, each.chapter = key:lower(), of_room[each.room] or 1
    rows[#rows + 1] = each
end
table.sort(rows, function(a, b)
    if a.chapter ~= b.chapter then return a.chapter < b.chapter end
    return a.key < b.key
end)

print [[
# Messages that say what to do

Made from the sources by `scripts/dev/messages.lua`: the error messages that have a remedy, in two halves. A message
says what is wrong, often with the name of the thing in front, and behind a ";" what to do; `...` stands for what
differs. [Troubleshooting](troubleshooting.md) says more about those that need more words. An unknown name (of an
option, a command, an image, an architecture) is refused with the one that is most like it, "did you mean".]]
local chapter
for _, each in ipairs(rows) do
    if each.chapter ~= chapter then
        chapter = each.chapter
        print(("\n## %s\n\n| what is wrong | what to do |\n|---|---|"):format(chapters[chapter][1]))
    end
    print(("| %s | %s |"):format(each.wrong, each.remedy))
end
