-- For GitHub Actions: annotations on the standard output, and the summary of the step.
local escape = require "vm.report.escape"
local markdown = require "vm.report.markdown"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

-- GitHub shows so many annotations of a kind and step, and takes 1 MiB of a step's summary.
local ANNOTATIONS <const> = 10
local SUMMARY <const> = 1000000

-- Where the test stands: the line that the error names, when that is in a file of the run; a guest
-- cannot name another one.
local function place(test, matrices)
    local why = model_of.why(test)
    local file, line = why:match "^([^%s:]+):(%d+): "
    for _, matrix in ipairs(matrices) do
        if file and file == matrix.file then
            return file, tonumber(line)
        end
    end
    if test.file then
        return test.file, test.line
    end
    for _, matrix in ipairs(matrices) do
        if matrix.name == test.cell.matrix then
            return matrix.file, matrix.line
        end
    end
end

local function annotation(kind, test, model, path_of)
    local file, line = place(test, model.matrices)
    local properties = {}
    if type(file) == "string" then
        properties[1] = "file=" .. escape.github_property(path_of and path_of(file) or file)
        properties[2] = math.type(line) == "integer" and ("line=%d"):format(line) or nil
    end
    properties[#properties + 1] = "title=" .. escape.github_property(test.id)
    local why = escape.head(model_of.why(test), 2000)
    return ("::%s %s::%s\n"):format(kind, table.concat(properties, ","),
        escape.github(("%s: %s"):format(test.outcome == "error" and "error" or words.NAMES[test.outcome], why)))
end

---Commands that annotate the run: an error for each failure, a warning for what is flaky; as many as
---GitHub shows.
---@param model vm.report.Model
---@param path_of? fun(file: string): string a file's path below the repository
---@return string
function M.annotations(model, path_of)
    local out, errors, warnings = {}, 0, 0
    local ranked = {}
    for _, test in ipairs(model.tests) do
        if not verdict.is_good(test.outcome) and test.outcome ~= "skipped" then
            ranked[#ranked + 1] = test
        end
    end
    for _, failures in ipairs { true, false } do
        for _, test in ipairs(ranked) do
            if verdict.is_failure(test.outcome) == failures then
                errors = errors + 1
                out[#out + 1] = errors <= ANNOTATIONS and annotation("error", test, model, path_of) or nil
            end
        end
    end
    for _, test in ipairs(model.tests) do
        if test.outcome == "flaky" then
            warnings = warnings + 1
            out[#out + 1] = warnings <= ANNOTATIONS and annotation("warning", test, model, path_of) or nil
        end
    end
    if errors > ANNOTATIONS or warnings > ANNOTATIONS then
        out[#out + 1] = ("::notice title=vmatrix::%s\n"):format(escape.github(words.counts(model.counts)
            .. ("; the first %d of a kind are annotated"):format(ANNOTATIONS)))
    end
    return table.concat(out)
end

---The summary of the step: Markdown that is not larger than GitHub takes.
---@param model vm.report.Model
---@return string
function M.summary(model)
    local text = markdown.render(model)
    if #text <= SUMMARY then
        return text
    end
    local cut = text:sub(1, SUMMARY):match "^(.*\n)[^\n]*$" or ""
    return escape.utf8(cut) .. "\n\nThe summary is cut here; the other reports are whole.\n"
end

---The run as annotations.
---@param model vm.report.Model
---@param opts? { path_of?: fun(file: string): string }
---@return string
function M.render(model, opts)
    return M.annotations(model, opts and opts.path_of)
end

---Text for a log that GitHub reads for commands, at the beginning of a line and, in an older spelling,
---anywhere: made to hold none.
---@param text string
---@return string
function M.defuse(text)
    if not (text:find("##[", 1, true) or text:find("::", 1, true)) then
        return text
    end
    return (("\n" .. text):gsub("##%[", "# #["):gsub("(\n%s*):(:)", "%1: %2"):sub(2))
end

---Whether this is a step of GitHub Actions.
---@return boolean
function M.here()
    return os.getenv "GITHUB_ACTIONS" == "true"
end

return M
