-- luacheck is run over every Lua file of the tree by tests/lint/test_luacheck.lua.
std = "lua54"
max_line_length = 120
self = false
files["scripts/images"] = { max_line_length = false } -- locations and digests, one a line
