-- A headless Chromium, driven over a pipe with its DevTools protocol: pages from files, JavaScript in
-- them, keys, sizes, colour schemes, screenshots; and whatever it complains about.
local host = require "vm.host"
local raw = require "vm.raw"
local vm = require "vm"

local M = {}

local names <const> = { "chromium", "chromium-headless-shell", "chromium-browser", "google-chrome" }

---The program, or nil.
function M.program()
    for _, name in ipairs(names) do
        local path = host.which(name)
        if path then return path end
    end
end

local Browser, Page = {}, {}
Browser.__index, Page.__index = Browser, Page

---Starts one with a profile of its own in this folder; it ends when it is closed.
function M.start(folder)
    local program = assert(M.program(), "no Chromium is here; scripts/dev/deps test installs it")
    local profile = assert(raw.fs.mkdtemp(folder .. "/chromium-"))
    local flags = { "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--disable-default-apps", "--no-default-browser-check", "--force-device-scale-factor=1", "--hide-scrollbars",
        "--host-resolver-rules='MAP * ~NOTFOUND'", "--user-data-dir='" .. profile .. "'", "--remote-debugging-pipe" }
    -- It reads commands from descriptor 3 and writes to 4: our pipes.
    local process = assert(raw.process.start {
        argv = { "sh", "-c", ("exec '%s' %s 3<&0 4>&1 </dev/null >/dev/null 2>&1"):format(program,
            table.concat(flags, " ")) },
        stdin = true,
    })
    return setmetatable({ process = process, last = 0, parts = {}, events = {}, profile = profile }, Browser)
end

function Browser:__close()
    self.process:close()
    raw.fs.remove_tree(self.profile)
end

-- The next message; its text ends with a NUL.
function Browser:message(deadline)
    while true do
        local text = self.parts[1]
        local stop = text and text:find("\0", 1, true)
        if stop then
            self.parts[1] = text:sub(stop + 1)
            return assert(raw.json.decode(text:sub(1, stop - 1)))
        end
        local more = {}
        repeat
            local stream, chunk = self.process:read(math.max(0, deadline - vm.now()))
            if not stream then
                error("Chromium says nothing any more: " .. tostring(chunk), 0)
            end
            more[#more + 1] = chunk
        until chunk:find("\0", 1, true)
        self.parts[1] = (text or "") .. table.concat(more)
    end
end

---Sends a command and waits for its answer; what arrives meanwhile is kept as events.
function Browser:call(method, params, session, seconds)
    self.last = self.last + 1
    local command = { id = self.last, method = method, params = params or {}, sessionId = session }
    assert(self.process:queue(raw.json.encode(command) .. "\0"))
    local deadline = vm.now() + (seconds or 60)
    while true do
        local message = self:message(deadline)
        if message.id == self.last then
            if message.error then
                error(method .. ": " .. message.error.message, 0)
            end
            return message.result or {}
        end
        self.events[#self.events + 1] = message
    end
end

---A blank page.
function Browser:page()
    local target = self:call("Target.createTarget", { url = "about:blank" }).targetId
    local session = self:call("Target.attachToTarget", { targetId = target, flatten = true }).sessionId
    local page = setmetatable({ browser = self, session = session, target = target }, Page)
    for _, domain in ipairs { "Page", "Runtime", "Log" } do
        page:call(domain .. ".enable")
    end
    return page
end

function Page:call(method, params, seconds)
    return self.browser:call(method, params, self.session, seconds)
end

---Closes the page.
function Page:close()
    self.browser:call("Target.closeTarget", { targetId = self.target })
end

---Opens a file and waits until it has loaded; gives the seconds it took.
function Page:open(path)
    local started = vm.now()
    self.browser.events = {}
    local result = self:call("Page.navigate", { url = path:find "^%a+:" and path or "file://" .. path })
    if result.errorText then
        error(path .. ": " .. result.errorText, 2)
    end
    self:wait "Page.loadEventFired"
    return vm.now() - started
end

---Waits for an event of this name, be it one that has come already.
function Page:wait(name, seconds)
    local deadline = vm.now() + (seconds or 60)
    while true do
        for _, event in ipairs(self.browser.events) do
            if event.method == name and event.sessionId == self.session then
                return event.params
            end
        end
        table.insert(self.browser.events, self.browser:message(deadline))
    end
end

---The value of an expression in the page.
function Page:eval(expression)
    local answer = self:call("Runtime.evaluate", { expression = expression, returnByValue = true, awaitPromise = true })
    if answer.exceptionDetails then
        local exception = answer.exceptionDetails.exception
        error(expression .. ": " .. (exception and exception.description or answer.exceptionDetails.text), 2)
    end
    return answer.result.value
end

---Presses a key with these modifiers (2 is Control).
function Page:key(key, modifiers)
    local codes = { Enter = 13, Escape = 27, ArrowLeft = 37, ArrowUp = 38, ArrowRight = 39, ArrowDown = 40, Tab = 9,
        Home = 36, End = 35, [" "] = 32 }
    local text = #key == 1 and key or key == "Enter" and "\r" or nil
    self:call("Input.dispatchKeyEvent", { type = text and "keyDown" or "rawKeyDown", key = key, text = text,
        windowsVirtualKeyCode = codes[key] or key:upper():byte(), modifiers = modifiers or 0 })
    self:call("Input.dispatchKeyEvent", { type = "keyUp", key = key, windowsVirtualKeyCode = codes[key]
        or key:upper():byte(), modifiers = modifiers or 0 })
end

---Types a text, key by key.
function Page:type(text)
    for char in text:gmatch "." do
        self:key(char)
    end
end

---Makes the window this large; a phone is narrow and touched.
function Page:size(width, height, phone)
    self:call("Emulation.setDeviceMetricsOverride", { width = width, height = height, deviceScaleFactor = 1,
        mobile = phone or false })
end

---Emulates media: colour scheme "light" or "dark", medium "screen" or "print".
function Page:media(scheme, medium)
    self:call("Emulation.setEmulatedMedia", { media = medium or "screen", features = {
        { name = "prefers-color-scheme", value = scheme },
        { name = "prefers-reduced-motion", value = "reduce" },
    } })
end

---Whether the pages that are opened from now on may run scripts.
function Page:scripts(allowed)
    self:call("Emulation.setScriptExecutionDisabled", { value = not allowed })
end

---What the page and the browser complained about since it was opened.
function Page:complaints()
    self:eval "0"
    local found = {}
    for _, event in ipairs(self.browser.events) do
        local params = event.sessionId == self.session and event.params or {}
        if event.method == "Runtime.exceptionThrown" then
            local details = params.exceptionDetails
            found[#found + 1] = details and (details.exception and details.exception.description or details.text)
        elseif event.method == "Runtime.consoleAPICalled" then
            found[#found + 1] = params.type and "console: " .. params.type
        elseif event.method == "Log.entryAdded" then
            found[#found + 1] = params.entry and params.entry.text
        end
    end
    return found
end

local function base64(text)
    local values = {}
    for i = 1, 64 do
        values[("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):byte(i)] = i - 1
    end
    return (text:gsub("=", ""):gsub("..?.?.?", function(group)
        local bits, count = 0, 0
        for i = 1, #group do
            bits, count = bits << 6 | values[group:byte(i)], count + 6
        end
        bits = bits >> (count % 8)
        local bytes = {}
        for shift = count // 8 * 8 - 8, 0, -8 do
            bytes[#bytes + 1] = string.char(bits >> shift & 255)
        end
        return table.concat(bytes)
    end))
end

---Writes a PNG of the window, or of the whole page.
function Page:screenshot(path, whole)
    local answer = self:call("Page.captureScreenshot", { format = "png", captureBeyondViewport = whole or false })
    local file = assert(io.open(path, "wb"))
    file:write(base64(answer.data))
    file:close()
end

return M
