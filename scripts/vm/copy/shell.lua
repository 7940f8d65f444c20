-- What file copy asks the guest's shell to do: small POSIX scripts that GNU, busybox and BSD tools
-- understand, written aside and renamed into place over there.
local raw = require "vm.raw"
local errors = require "vm.errors"
local shell = require "vm.remote.shell"

local M = {}

-- $1 the final name, $2 the folder it is in, $3 a fresh name for what is written aside.
-- A folder that exists is merged into, from a temporary folder inside it (it may be a mount point);
-- otherwise the temporary folder is beside the final name, which then appears in one rename.
local PRELUDE <const> = [[
dst=$1 parent=$2
trap '' PIPE
refuse() { echo "$1" >&2; exit 17; }
if [ -d "$dst" ]; then base=$dst
elif [ -e "$dst" ] || [ -L "$dst" ]; then refuse "there is something that is not a folder"
else mkdir -p "$parent" || exit 2; base=$parent; fi
tmp=$base/$3
clean() { rm -rf "$tmp" 2>/dev/null || { chmod -R u+rwx "$tmp"; rm -rf "$tmp"; }; }
move() {
  if [ -w "$1" ] || [ -L "$1" ]; then mv -f "$1" "$2"
  else chmod u+w "$1" && mv -f "$1" "$2" && chmod u-w "$3"; fi
}
merge() {
  for e in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    n=${e##*/}
    if [ -L "$e" ] || [ -f "$e" ]; then
      if [ -d "$2/$n" ] && [ ! -L "$2/$n" ]; then refuse "$n is a folder there"; fi
    elif [ -d "$e" ] && [ ! -d "$2/$n" ]; then
      if [ -e "$2/$n" ] || [ -L "$2/$n" ]; then refuse "$n is not a folder there"; fi
      move "$e" "$2/" "$2/$n" || exit 6
    fi
  done
  find "$1" -mindepth 1 -maxdepth 1 ! -type d -exec sh -c 'mv -f "$@" "$0/"' "$2" {} + || exit 6
  for e in "$1"/*/ "$1"/.[!.]*/ "$1"/..?*/; do
    e=${e%/}
    if [ -d "$e" ]; then merge "$e" "$2/${e##*/}"; fi
  done
}
commit() {
  if [ -s "$tmp/end" ] && [ -d "$dst" ]; then
    (cd "$dst" && xargs -0 rm -rf) <"$tmp/end" || exit 5
  fi
  if [ -d "$dst" ]; then merge "$tmp/t" "$dst"
  else move "$tmp/t" "$dst" "$dst" || exit 6; fi
}
]]

-- $4... the command that unpacks.
local RECEIVE <const> = PRELUDE .. [[
shift 3
mkdir -m 700 "$tmp" || exit 2
trap clean EXIT
trap 'exit 1' HUP INT TERM
(cd "$tmp" && "$@") || exit 3
[ -f "$tmp/end" ] || { echo "the stream was cut" >&2; exit 4; }
commit
]]

local BEGIN <const> = PRELUDE .. [[
mkdir -m 700 "$tmp" && mkdir "$tmp/t" || exit 2
if [ "$base" = "$dst" ]; then echo inside; else echo beside; fi
]]

local COMMIT <const> = PRELUDE .. [[
trap clean EXIT
cat >"$tmp/end" || exit 2
commit
]]

-- $1 the final name, $2 its folder.
local PLACE <const> = [[
if [ -d "$1" ]; then echo "it is a folder; end the name with / to copy into it" >&2; exit 17; fi
mkdir -p "$2"
]]

-- $1 the temporary name, $2 the final one.
local RENAME <const> = [[
if [ -d "$2" ]; then rm -f "$1"; echo "it is a folder; end the name with / to copy into it" >&2; exit 17; fi
mv -f "$1" "$2" || { rm -f "$1"; exit 6; }
]]

-- $1 the final name, $2 its folder, $3 the temporary name, $4 the mode, $5 the size: content on stdin.
local WRITE <const> = PLACE .. [[
trap '' PIPE
trap 'rm -f "$3"' EXIT
cat >"$3" || exit 2
[ "$(wc -c <"$3")" -eq "$5" ] || { echo "the stream was cut" >&2; exit 4; }
chmod "$4" "$3" && mv -f "$3" "$1" || exit 6
]]

local KIND <const> = [[
if [ -d "$1" ]; then echo dir; elif [ -f "$1" ]; then echo file
elif [ -e "$1" ]; then echo other; else echo none; fi
]]

local LIST <const> = [[
cd "$1" 2>/dev/null || exit 0
find . -type d -print0 && printf '\0' && find . ! -type d -print0
]]

local PROBE <const> = [[
if command -v tar >/dev/null 2>&1; then tar --version 2>&1 </dev/null; else echo none; fi
]]

-- Said by every script before anything else: what stands before it came from the login shell's own files.
local MARK <const> = "--vmatrix--"

---The command that runs a script with arguments under the guest's sh, whatever the login shell is.
---@param script string
---@param ... string
---@return string
function M.command(script, ...)
    local words = { "exec /bin/sh -c", shell.quote(("echo %s >&2\n%s"):format(MARK, script)), "sh" }
    for i = 1, select("#", ...) do
        words[#words + 1] = shell.quote((select(i, ...)))
    end
    return table.concat(words, " ")
end

---What the commands of a script of ours wrote on standard error.
---@param words string
---@return string
function M.said(words)
    local _, last = words:find(MARK .. "\n", 1, true)
    return last and words:sub(last + 1) or words
end

local function kind_of(status, words)
    local text = words:lower()
    if text:find("no space left", 1, true) or text:find("disk quota", 1, true)
        or text:find "wrote only %d+ of %d+ bytes" then -- GNU tar, when the disk becomes full
        return "nospace"
    elseif text:find("permission denied", 1, true) or text:find("read-only", 1, true)
        or text:find("not permitted", 1, true) then
        return "denied"
    elseif status == 17 or text:find("cannot overwrite", 1, true) then
        return "exists"
    elseif text:find("no such file", 1, true) then
        return "notfound"
    end
    return "exit"
end

---Raises for a command of ours that did not end with status 0.
---@param what string "guest dev: copy_in a to /w"
---@param result table with status or signal, and words
function M.fail(what, result)
    local status = result.status or -1
    local words = M.said(result.words):gsub("%s+$", "")
    -- The last line says why: what comes before is about single files, or noise.
    local last = words:match "[^\n]*$"
    if last:find("tar:", 1, true) and words:find("\n", 1, true) then
        last = words:match "^[^\n]*"
    end
    if last == "" then
        last = result.signal and result.signal ~= "" and "ended by signal " .. result.signal
            or ("ended with status %d"):format(status)
    end
    error(errors.new(kind_of(status, words), ("%s: %s"):format(what, raw.tree.shown(last)),
        { code = status }), 0)
end

-- Runs a script to its end; raises unless it ended with 0. Returns its output.
local function sh(remote, what, script, stdin, max, ...)
    local run <close> = errors.raise(remote.session:run {
        command = M.command(script, ...), stdin = stdin, max_output = max or 64 * 1024,
    })
    local result = errors.raise(run:wait())
    if result.status ~= 0 then
        M.fail(what, { status = result.status, signal = result.signal, words = result.stderr })
    end
    if (result.truncated or 0) > 0 then
        errors.fail("limit", "%s: the answer is too long", what)
    end
    return result.stdout
end

---What kind of thing is called that, following links: "dir", "file", "other" or "none".
---@param remote table
---@param path string
---@return string
function M.kind(remote, path)
    local kind = sh(remote, remote.what, KIND, nil, nil, path):match "^(%l+)\n$"
    if kind ~= "dir" and kind ~= "file" and kind ~= "other" and kind ~= "none" then
        errors.fail("format", "%s: the guest's shell gave an answer that makes no sense", remote.what)
    end
    return kind
end

---About how many bytes a folder has; nil when the guest cannot say.
---@param remote table
---@param path string
---@return integer|nil
function M.size(remote, path)
    local text = sh(remote, path, [[
if n=$(du -sb "$1" 2>/dev/null); then echo "b $n"; else n=$(du -sk "$1" 2>/dev/null) && echo "k $n" || :; fi]],
        nil, nil, path)
    local unit, count = text:match "^([bk]) (%d+)%f[%D]"
    count = count and #count < 16 and math.tointeger(tonumber(count))
    return count and count * (unit == "k" and 1024 or 1) or nil
end

---Which tar the guest has: "gnu", "bsd", "busybox", "other" or "none". Asked once per session.
---@param remote table
---@return string
function M.tar(remote)
    local cache = remote.cache
    if cache.tar == nil then
        local text = sh(remote, remote.what .. ": looking for tar", PROBE, nil, nil)
        cache.tar = text:find("GNU tar", 1, true) and "gnu" or text:find("bsdtar", 1, true) and "bsd"
            or text:lower():find("busybox", 1, true) and "busybox" or text:find "^none\n" and "none" or "other"
    end
    return cache.tar
end

---The command that takes a tar stream and puts it in place.
---@param remote table
---@param target table { path, parent, temp }
---@return string
function M.receive(remote, target)
    local words = { "tar", "-xpo" }
    if M.tar(remote) == "gnu" then
        table.insert(words, 2, "--warning=no-unknown-keyword")
    end
    table.insert(words, "-f")
    table.insert(words, "-")
    return M.command(RECEIVE, target.path, target.parent, target.temp, table.unpack(words))
end

local formats = { gnu = "--format=gnu -S", bsd = "--format gnutar", busybox = "", other = "" }

---The command that sends a folder as a tar stream, its content named "./...".
---@param remote table
---@param path string
---@return string
function M.send(remote, path)
    return M.command(('cd "$1" && exec tar %s -cf - .'):format(formats[M.tar(remote)]), path)
end

---The command that sends what a pattern matches, and how many leading parts its names have.
---@param remote table
---@param pattern string
---@return string command
---@return integer strip
function M.send_matches(remote, pattern)
    local start, rest = "cd", pattern
    if pattern:sub(1, 1) == "/" then
        start, rest = "cd /", pattern:gsub("^/+", "")
    end
    local parts, words = 0, {}
    for part in rest:gmatch "[^/]+" do
        parts = parts + (part ~= "." and 1 or 0)
        words[#words + 1] = part:gsub("[^%*%?%[%]]+", function(text)
            return shell.quote(text)
        end)
    end
    local script = ([[%s || exit 2
set -- ./%s
if [ $# -eq 1 ] && [ ! -e "$1" ] && [ ! -L "$1" ]; then echo "nothing matches" >&2; exit 44; fi
exec tar %s -cf - "$@"]]):format(start, table.concat(words, "/"), formats[M.tar(remote)])
    return M.command(script), parts - 1
end

---Makes the folder that is written aside for a target. Returns its path.
---@param remote table
---@param what string
---@param target table
---@return string
function M.begin(remote, what, target)
    local where = sh(remote, what, BEGIN, nil, nil, target.path, target.parent, target.temp)
    local base = where == "inside\n" and target.path or target.parent
    return base .. "/" .. target.temp
end

---Moves what was written aside into place; `gone` lists what is removed before.
---@param remote table
---@param what string
---@param target table
---@param gone string
function M.commit(remote, what, target, gone)
    sh(remote, what, COMMIT, gone, nil, target.path, target.parent, target.temp)
end

---Removes something of ours.
---@param remote table
---@param path string
function M.discard(remote, path)
    sh(remote, remote.what, 'rm -rf "$1" 2>/dev/null || { chmod -R u+rwx "$1"; rm -rf "$1"; }', nil, nil, path)
end

---Writes a little to the end of a file, to hear from the shell why SFTP could not.
---@param remote table
---@param what string
---@param path string
function M.try_write(remote, what, path)
    sh(remote, what, 'LC_ALL=C dd if=/dev/zero bs=1024 count=64 >>"$1"', nil, nil, path)
end

---Makes the folder of a file's final name, which must not be a folder.
---@param remote table
---@param what string
---@param target table
function M.place(remote, what, target)
    sh(remote, what, PLACE, nil, nil, target.path, target.parent)
end

---Renames a complete file to its final name.
---@param remote table
---@param what string
---@param temp string
---@param path string
function M.rename(remote, what, temp, path)
    sh(remote, what, RENAME, nil, nil, temp, path)
end

---Writes a small file whole.
---@param remote table
---@param what string
---@param target table
---@param data string
---@param mode integer
function M.write(remote, what, target, data, mode)
    sh(remote, what, WRITE, data, nil, target.path, target.parent, target.parent .. "/" .. target.temp,
        ("%o"):format(mode), tostring(#data))
end

---Everything below a folder, two lists of paths relative to it: folders, and the rest.
---@param remote table
---@param what string
---@param path string
---@return string[] folders
---@return string[] others
function M.list(remote, what, path)
    local text = sh(remote, what, LIST, nil, 64 * 1024 * 1024, path)
    local lists, at = { {}, {} }, 1
    for name in text:gmatch "([^\0]*)\0" do
        if name == "" then
            at = 2
        elseif name ~= "." then
            table.insert(lists[at], (name:gsub("^%./", "")))
        end
    end
    return lists[1], lists[2]
end

---Reads a file whole, at most max bytes.
---@param remote table
---@param path string
---@param max integer
---@return string
function M.read(remote, path, max)
    return sh(remote, remote.what, 'exec cat <"$1"', nil, max, path)
end

---Mode (octal) and time of change of a file, as stat prints them; "" when it cannot.
---@param remote table
---@param path string
---@return string
function M.stat(remote, path)
    return sh(remote, remote.what, [[stat -c '%a %Y' "$1" 2>/dev/null || stat -f '%Lp %m' "$1" 2>/dev/null || :]],
        nil, nil, path)
end

return M
