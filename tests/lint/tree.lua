-- What the lints share: the files of the source tree and the programs they ask.
local M = {}

---The folder of the source tree, without a slash at its end.
M.root = assert(os.getenv "VMATRIX_SOURCE", "VMATRIX_SOURCE is not set: run the lints by ctest")

---Quotes a word for the shell.
---@param word string
---@return string
function M.quote(word)
    return "'" .. word:gsub("'", [['\'']]) .. "'"
end

---Runs a shell command and gives what it printed on both streams.
---@param command string
---@return string output
---@return boolean ok whether it ended with status 0
function M.run(command)
    local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1 </dev/null"))
    local output = pipe:read "a"
    return output, pipe:close() == true
end

-- What scripts/examples/real-project/fetch.sh has put there is somebody else's.
local FETCHED <const> = "-not -path '*/real-project/zlib/*'"

---The files below some folders whose names match one of the patterns of find, sorted.
---@param folders string[] relative to the root; those that do not exist are left out
---@param ... string such as "*.lua"
---@return string[] paths relative to the root
function M.files(folders, ...)
    local names, places = {}, {}
    for _, pattern in ipairs { ... } do
        names[#names + 1] = "-name " .. M.quote(pattern)
    end
    for _, folder in ipairs(folders) do
        places[#places + 1] = M.quote(folder)
    end
    local output = M.run(("cd %s && for d in %s; do if [ -d $d ]; then find $d -type f '(' %s ')' %s; fi; done")
        :format(M.quote(M.root), table.concat(places, " "), table.concat(names, " -o "), FETCHED))
    local found = {}
    for path in output:gmatch "[^\n]+" do
        found[#found + 1] = path
    end
    table.sort(found)
    return found
end

---The same, of which there are to be at least so many: a lint that looks at nothing finds nothing.
---@param least integer
---@param folders string[]
---@param ... string
---@return string[]
function M.some(least, folders, ...)
    local files = M.files(folders, ...)
    if #files < least then
        error(("only %d files were found in %s"):format(#files, table.concat(folders, ", ")), 0)
    end
    return files
end

---Runs a program in the root of the tree on files of it.
---@param program string with its options, quoted for the shell
---@param paths string[]|string relative to the root, or quoted already
---@return string output
---@return boolean ok
function M.ask(program, paths)
    if type(paths) == "table" then
        local words = {}
        for i, path in ipairs(paths) do
            words[i] = M.quote(path)
        end
        paths = table.concat(words, " ")
    end
    return M.run(("cd %s && %s %s"):format(M.quote(M.root), program, paths))
end

---The text of a file.
---@param path string relative to the root
---@return string
function M.read(path)
    local file = assert(io.open(M.root .. "/" .. path, "rb"))
    local text = file:read "a"
    file:close()
    return text
end

---The lines of a text, without their newlines.
---@param text string
---@return string[]
function M.lines(text)
    local lines = {}
    for line in (text:find "\n$" and text or text .. "\n"):gmatch "([^\n]*)\n" do
        lines[#lines + 1] = line
    end
    return lines
end

---Writes a text to a temporary file, calls fn(path) and removes the file.
---@param text string
---@param suffix string such as ".lua"
---@param fn fun(path: string): any
---@return any ... what fn returns
function M.with_sample(text, suffix, fn)
    local name = os.tmpname()
    local path = name .. suffix
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    local results = table.pack(pcall(fn, path))
    os.remove(path)
    os.remove(name)
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
end

---Fails with the complaints, one a line, if there are any.
---@param complaints string[]
function M.none(complaints)
    if #complaints > 0 then
        error(#complaints .. " found:\n" .. table.concat(complaints, "\n"), 0)
    end
end

---The texts of the program's own sources, by path.
---@return table<string, string>
function M.sources()
    local texts = {}
    for _, path in ipairs(M.some(200, { "scripts/vm", "runtime", "bindings" }, "*.lua", "*.c")) do
        texts[path] = M.read(path)
    end
    return texts
end

---Fails with what a check complains of in any of these files.
---@param paths string[] relative to the root
---@param check fun(path: string, text: string): string[]
function M.check(paths, check)
    local complaints = {}
    for _, path in ipairs(paths) do
        for _, complaint in ipairs(check(path, M.read(path))) do
            complaints[#complaints + 1] = complaint
        end
    end
    M.none(complaints)
end

return M
