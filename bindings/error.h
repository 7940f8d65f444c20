/* Error objects: what every failing call hands to Lua. */
#ifndef BINDINGS_ERROR_H
#define BINDINGS_ERROR_H

#include <lua.h>

#include "runtime/base/err.h"

/* Pushes an error object: a table with kind, code and message, whose tostring is the message.
 */
void push_err(lua_State *L, const struct vx_err *err);

/* Pushes nil and the error object: `return l_push_fail(L, &err);`. Returns 2. */
int l_push_fail(lua_State *L, const struct vx_err *err);

/* Raises an error object made from the text; never returns. */
int l_raise(lua_State *L, enum vx_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
