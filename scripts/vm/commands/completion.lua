-- `vmatrix completion`: what makes a shell complete vmatrix's command lines. The scripts ask the program.
local options = require "vm.options"

local M = {}

M.usage = [[
usage: vmatrix completion bash|zsh|fish

Prints a script that makes the shell complete commands, options, guests, images and more. Packages
install it; by hand, put one of these into the shell's start-up file:

  bash   eval "$(vmatrix completion bash)"
  zsh    eval "$(vmatrix completion zsh)", after compinit
  fish   vmatrix completion fish | source
]]

M.shells = {
    bash = [=[
# Completion of vmatrix for bash.
_vmatrix() {
    local line word prefix value files= IFS=$' \t\n'
    local -a words
    COMPREPLY=()
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    case ${COMP_LINE:0:COMP_POINT} in *[[:space:]]) words+=("") ;; esac
    word=${words[${#words[@]} - 1]}
    # bash takes a word apart at these, and wants only what stands behind the last of them.
    prefix=${word%"${word##*[=:]}"}
    while IFS= read -r line; do
        case $line in
        :files) files=yes ;;
        *)
            value=${line%%$'\t'*}
            case $value in *[=:/]) compopt -o nospace 2>/dev/null ;; esac
            COMPREPLY+=("${value#"$prefix"}")
            ;;
        esac
    done < <("${words[0]}" completion --words "${words[@]:1}" 2>/dev/null)
    if [ -n "$files" ]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen -f -- "${word#"$prefix"}")
    fi
}
complete -F _vmatrix vmatrix
]=],
    zsh = [=[
#compdef vmatrix
# Completion of vmatrix for zsh.
_vmatrix() {
    local line files
    local -a found
    for line in "${(@f)$(${(Q)words[1]} completion --words "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
        '') ;;
        :files) files=yes ;;
        *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#found )) && _describe -t words 'vmatrix' found
    [[ -n $files ]] && _files
}
if [ "$funcstack[1]" = "_vmatrix" ]; then
    _vmatrix "$@"
else
    compdef _vmatrix vmatrix
fi
]=],
    fish = [=[
# Completion of vmatrix for fish.
function __vmatrix_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] completion --words $words[2..] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c vmatrix -f -a '(__vmatrix_complete)'
]=],
}

-- What the scripts above ask: a candidate a line with its description behind a tab, and ":files" where
-- files of the host could stand as well.
local function answer(words)
    local found = require("vm.cli.complete").words(words)
    for _, item in ipairs(found.list) do
        print((item.value:gsub("%c", "?")) .. "\t" .. item.text:gsub("%c", " "))
    end
    if found.files then
        print ":files"
    end
    return 0
end

---Runs `vmatrix completion ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    if args[1] == "--words" then
        return answer(table.move(args, 2, #args, 1, {}))
    elseif args[1] == "-h" or args[1] == "--help" then
        io.stdout:write(M.usage)
        return 0
    elseif M.shells[args[1]] and not args[2] then
        io.stdout:write(M.shells[args[1]])
        return 0
    end
    local near = args[1] and options.nearest(args[1], { "bash", "zsh", "fish" })
    io.stderr:write(("vmatrix completion: %s\n"):format(not args[1] and "which shell?"
        or near and ("there is none for '%s'; did you mean '%s'?"):format(args[1], near)
        or ("there is none for '%s'"):format(args[1])), M.usage)
    return 2
end

return M
