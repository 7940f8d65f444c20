-- Makes the pictures of the HTML report that the manual shows: vmatrix tests/cli/screenshots.lua FOLDER
-- (with LUA_PATH as tests/CMakeLists.txt sets it).
local raw = require "vm.raw"
local chromium = require "cli.chromium"
local html = require "vm.report.html"
local models = require "lua.html_model"

local folder = assert(arg[1], "which folder?")
local work = assert(raw.fs.realpath(assert(raw.fs.mkdtemp "vmt-screenshots-")))
local browser = chromium.start(work)
local page = browser:page()
page:media "light"
page:size(1280, 1000)
for _, name in ipairs { "few", "many" } do
    local file <close> = assert(io.open(work .. "/report.html", "wb"))
    file:write(html.render(models[name]()))
    file:flush()
    page:open(work .. "/report.html")
    page:eval "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page:screenshot(("%s/report-%s.png"):format(folder, name))
end
browser:__close()
assert(raw.fs.remove_tree(work))
