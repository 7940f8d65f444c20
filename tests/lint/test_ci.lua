-- The files for CI in the manual are what GitHub, GitLab and Jenkins take, as far as that can be told without
-- them: their structure is known, and every command in them is one of the shell's and one of vmatrix.
local t = require "harness"
local tree = require "lint.tree"
local cli = require "vm.cli"
local json = require("vm.raw").json
local usages = require "vm.cli.usage"

local chapter <const> = "docs/manual/reports.md"

local function set(words)
    local found = {}
    for word in words:gmatch "%S+" do
        found[word] = true
    end
    return found
end

local github = {
    top = set "name run-name on permissions env defaults concurrency jobs",
    job = set "name runs-on needs if env strategy container services steps timeout-minutes permissions defaults",
    step = set "name id if uses run with env shell working-directory continue-on-error timeout-minutes",
}
local gitlab = {
    job = set [[image script before_script after_script artifacts cache needs tags rules variables stage parallel
        retry timeout services interruptible]],
    artifacts = set "when paths reports name expire_in exclude untracked expose_as",
}

-- PyYAML reads YAML 1.1, where the word "on" is a truth value.
local to_json <const> = [[import json, sys, yaml
print(json.dumps({"on" if k is True else k: v for k, v in yaml.safe_load(open(sys.argv[1])).items()}))]]

local function parse(text)
    local output, ok = tree.with_sample(text, ".yml", function(path)
        return tree.run(("python3 -c %s %s"):format(tree.quote(to_json), tree.quote(path)))
    end)
    if not ok then error(output, 0) end
    return assert(json.decode(output))
end

local function unknown(found, where, item, known)
    if type(item) ~= "table" then
        found[#found + 1] = where .. " is no mapping"
        return
    end
    for key in pairs(item) do
        if not known[key] then found[#found + 1] = ("%s has no key '%s'"):format(where, tostring(key)) end
    end
end

-- Complaints about a workflow of GitHub, and its commands.
local function check_github(file)
    local found, commands = {}, {}
    unknown(found, "a workflow", file, github.top)
    if not file.on then found[#found + 1] = "a workflow has to say `on` what it runs" end
    for name, job in pairs(file.jobs or {}) do
        unknown(found, "job " .. name, job, github.job)
        if not job["runs-on"] then found[#found + 1] = "job " .. name .. " has no runs-on" end
        for i, step in ipairs(job.steps or {}) do
            local where = ("job %s, step %d"):format(name, i)
            unknown(found, where, step, github.step)
            if (step.uses == nil) == (step.run == nil) then found[#found + 1] = where .. " wants either uses or run" end
            if step.uses and not step.uses:find "^[%w-]+/[%w-]+@%S+$" then
                found[#found + 1] = ("%s: %s names no version of an action"):format(where, step.uses)
            end
            commands[#commands + 1] = step.run
        end
    end
    return found, commands
end

local function check_gitlab(file)
    local found, commands = {}, {}
    for name, job in pairs(file) do
        if name ~= "variables" then
            unknown(found, "job " .. name, job, gitlab.job)
            if #(job.script or {}) == 0 then found[#found + 1] = "job " .. name .. " has no script" end
            unknown(found, "artifacts", job.artifacts or {}, gitlab.artifacts)
            for _, list in ipairs { job.before_script or {}, job.script or {} } do
                table.move(list, 1, #list, #commands + 1, commands)
            end
        end
    end
    return found, commands
end

-- A declarative pipeline: its brackets match, and it has what Jenkins insists on.
local function check_jenkins(text)
    local found, commands = {}, {}
    local body = text:match "^%s*pipeline%s*(%b{})%s*$"
    if not body then return { "it is not one pipeline { ... }" }, commands end
    for _, section in ipairs { "agent", "stages", "stage", "steps" } do
        if not body:find("%f[%w]" .. section .. "%f[%W]") then found[#found + 1] = "there is no " .. section end
    end
    for command in body:gmatch "%f[%w]sh '([^'\n]*)'" do
        commands[#commands + 1] = command
    end
    return found, commands
end

-- Complaints about command lines: of the shell, and about what vmatrix does not know.
local function check_commands(commands)
    local found = {}
    for _, text in ipairs(commands) do
        local output, ok = tree.with_sample(text .. "\n", ".sh", function(path)
            return tree.run("sh -n " .. tree.quote(path))
        end)
        if not ok then found[#found + 1] = output end
        for words in ("\n" .. text):gmatch "\n%s*vmatrix ([^\n]*)" do
            local name, item = words:match "^[%w-]+"
            for _, each in ipairs(cli.commands) do
                item = each.name == name and each or item
            end
            local known = {}
            for _, option in ipairs(item and usages.parse(usages.of(item)).options or {}) do
                for _, spelling in ipairs(option.names) do known[spelling] = true end
            end
            if not item then found[#found + 1] = "vmatrix has no command " .. tostring(name) end
            for option in (" " .. words):gmatch "%s(%-%-?[%w-]+)" do
                if item and not known[option] then found[#found + 1] = ("vmatrix %s has no %s"):format(name, option) end
            end
        end
    end
    return found
end

-- The blocks of the chapter in a language.
local function of_language(language)
    local found = {}
    for text in ("\n" .. tree.read(chapter)):gmatch("\n```" .. language .. "\n(.-\n)```") do
        found[#found + 1] = text
    end
    return found
end

local function need_yaml()
    t.need "python3"
    t.need("PyYAML", select(2, tree.run "python3 -c 'import yaml'"))
end

t.test("the workflow for GitHub and the file for GitLab are what these take", function()
    need_yaml()
    local files = of_language "yaml"
    t.equal(#files, 2, "GitHub's and GitLab's: ")
    for i, check in ipairs { check_github, check_gitlab } do
        local found, commands = check(parse(files[i]))
        tree.none(found)
        t.check(#commands >= 3, "the commands were not found")
        tree.none(check_commands(commands))
    end
end)

t.test("the pipeline for Jenkins is one", function()
    local files = of_language "groovy"
    t.equal(#files, 1)
    local found, commands = check_jenkins(files[1])
    tree.none(found)
    t.check(#commands >= 2, "the commands were not found")
    tree.none(check_commands(commands))
end)

t.test("the lint sees what is no file for CI", function()
    need_yaml()
    t.raises(function() parse "a: [\n" end)
    local function workflow(step)
        return { on = "push", jobs = { a = { ["runs-on"] = "x", steps = { step } } } }
    end
    t.equal((check_github(workflow { run = "ls" })), {})
    t.equal(#check_github(workflow { run = "ls", user = "me" }), 1)
    t.equal(#check_github(workflow { run = "ls", uses = "a/b@v1" }), 1)
    t.equal(#check_github(workflow { uses = "a/b" }), 1)
    t.equal(#check_gitlab { a = { script = { "ls" }, artifact = { paths = { "x" } } } }, 1)
    t.equal(#check_jenkins "pipeline { agent any\n stages { stage('x') { steps { sh 'ls' } } }\n", 1)
    t.equal(check_commands { "vmatrix test --format junit=x.xml\nls | wc -l" }, {})
    t.equal(#check_commands { "vmatrix tests" }, 1)
    t.equal(#check_commands { "vmatrix test --formats x" }, 1)
    t.equal(#check_commands { "if true" }, 1)
end)

t.finish()
