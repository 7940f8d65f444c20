-- The reports by name, and writing them: to a file, or to the standard output.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local github = require "vm.report.github"
local model_of = require "vm.report.model"
local store = require "vm.report.store"

local M = {}

local fs = raw.fs

-- Each is a module with render(model, opts); they are loaded when they are asked for.
local modules <const> = {
    terminal = "vm.report.summary",
    junit = "vm.report.junit",
    tap = "vm.report.tap",
    json = "vm.report.data",
    markdown = "vm.report.markdown",
    github = "vm.report.github",
    html = "vm.report.html",
}

-- What a report is called when only a folder is given for it.
local names <const> = {
    terminal = "report.txt", junit = "junit.xml", tap = "report.tap", json = "report.json",
    markdown = "report.md", github = "github.txt", html = "report.html",
}

---The formats there are, in the order of the help.
M.FORMATS = { "terminal", "junit", "tap", "json", "markdown", "github", "html" }

---Whether text for a terminal is to be colored: it goes to one, and NO_COLOR is not set.
---@param fd integer
---@return boolean
function M.color(fd)
    local no_color = os.getenv "NO_COLOR"
    return fs.is_tty(fd) and (no_color == nil or no_color == "") and os.getenv "TERM" ~= "dumb"
end

---"junit" or "junit=FILE" as a format and a file; raises for what is no format.
---@param text string
---@return string format
---@return string|nil file nil: the standard output
function M.parse(text)
    local format, file = text:match "^([^=]*)=?(.*)$"
    if not modules[format] then
        options.unknown("report", "format", format, M.FORMATS)
    end
    return format, file ~= "" and file ~= "-" and file or nil
end

-- The way from a file's folder to the run, for links; absolute where the two have nothing in common.
local function way_to(run_path, file)
    local function absolute(path)
        return fs.realpath(path) or path
    end
    local target = absolute(run_path) .. "/"
    local from = absolute(file:match "^(.*)/[^/]*$" or ".") .. "/"
    local common = 0
    for at = 1, math.min(#target, #from) do
        if target:byte(at) ~= from:byte(at) then
            break
        elseif target:sub(at, at) == "/" then
            common = at
        end
    end
    local up = select(2, from:sub(common + 1):gsub("/", ""))
    return ("../"):rep(up) .. target:sub(common + 1)
end

local function path_below_workspace(file)
    local root = os.getenv "GITHUB_WORKSPACE"
    local real = root and fs.realpath(file)
    root = root and (fs.realpath(root) or root)
    if real and real:sub(1, #root + 1) == root .. "/" then
        return real:sub(#root + 2)
    end
    return file
end

---A report as text.
---@param model vm.report.Model
---@param format string
---@param opts? { file?: string, color?: boolean }
---@return string
function M.render(model, format, opts)
    opts = opts or {}
    local report = require(modules[format])
    if format == "html" then
        return report.render(model, { read = require("vm.report.html_files").reader(model.run.path),
            base = opts.file and way_to(model.run.path, opts.file) or fs.realpath(model.run.path) .. "/" })
    elseif format == "github" then
        return report.render(model, { path_of = path_below_workspace })
    end
    return report.render(model, { color = opts.color })
end

-- The file that is meant: in a folder, the report has its usual name.
local function file_of(file, format)
    local stat = fs.stat(file)
    if file:sub(-1) == "/" or stat and stat.type == "dir" then
        return file:gsub("/*$", "/") .. names[format]
    end
    return file
end

---Writes a report to a file, whole or not at all, or to the standard output. Returns the file's path.
---@param model vm.report.Model
---@param format string
---@param file? string a folder gets a file of the format's usual name
---@return string|nil path
function M.write(model, format, file)
    if not file then
        local text = M.render(model, format, { color = M.color(1) })
        io.stdout:write(format ~= "github" and github.here() and github.defuse(text) or text)
        io.stdout:flush()
        return nil
    end
    file = file_of(file, format)
    errors.raise(fs.mkdir_p(file:match "^(.+)/[^/]*$" or "."))
    errors.raise(fs.write_atomic(file, M.render(model, format, { file = file })))
    return file
end

---In GitHub Actions (GITHUB_ACTIONS is "true"): annotates the run and adds to the step's summary.
---Returns whether it did.
---@param model vm.report.Model
---@return boolean
function M.for_github(model)
    if not github.here() then
        return false
    end
    M.write(model, "github")
    M.step_summary(model)
    return true
end

---Adds the run to the summary of the step, where GITHUB_STEP_SUMMARY names its file.
---@param model vm.report.Model
function M.step_summary(model)
    local path = os.getenv "GITHUB_STEP_SUMMARY"
    if not path or path == "" then
        return
    end
    local file, why = io.open(path, "ab")
    if not file then
        errors.fail("system", "cannot write the step's summary: %s", why)
    end
    local ok
    ok, why = file:write(github.summary(model))
    local closed, late = file:close()
    if not (ok and closed) then
        errors.fail("system", "cannot write the step's summary %s: %s", path, why or late)
    end
end

---Opens a run and makes its model.
---@param what string a path, an id or the beginning of one, or "last"
---@param opts? { runs?: string }
---@return vm.report.Model
function M.load(what, opts)
    return model_of.load(store.open(what, opts))
end

return M
