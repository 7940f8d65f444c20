-- `vmatrix completion`: what makes a shell complete vmatrix's command lines. The scripts ask the program.
local command = require "vm.cli.command"
local options = require "vm.options"

local shells = {
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

local module = command.define {
    name = "completion",
    help = "completion for bash, zsh and fish",
    operands = { { name = "SHELL", words = { "bash", "zsh", "fish" } } },
    text = [[
Prints a script that makes the shell complete commands, options, guests, images and more. Packages
install it; by hand, put one of these into the shell's start-up file:

  bash   eval "$(vmatrix completion bash)"
  zsh    eval "$(vmatrix completion zsh)", after compinit
  fish   vmatrix completion fish | source]],
    handler = function(_, operands)
        io.stdout:write(shells[operands.shell]
            or options.unknown("completion", "shell", operands.shell, { "bash", "zsh", "fish" }))
    end,
}
local run = module.main

---Runs `vmatrix completion ARGS`; returns the exit code.
---@param args string[]
---@return integer
function module.main(args)
    if args[1] == "--words" then
        return answer(table.move(args, 2, #args, 1, {}))
    end
    return run(args)
end

return module
