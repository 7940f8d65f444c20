/* vm.raw.terminal: how large a terminal is, and keys as they are typed. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <lauxlib.h>

#include "bindings/error.h"
#include "bindings/modules.h"
#include "bindings/task.h"
#include "runtime/loop/signal.h"

#define RAW_TYPE "vm.raw.terminal.raw"

struct l_raw_mode {
    int fd; /* -1: closed */
    struct termios before, wanted;
    struct vx_signal *continued;
};

static int push_errno(lua_State *L, const char *what)
{
    struct vx_err err;

    vx_err_errno(&err, errno, "cannot %s", what);
    return l_push_fail(L, &err);
}

/* size([fd]): the rows and columns of the terminal behind a descriptor (1); or nil, err. A terminal
 * that does not know them says 0. */
static int l_terminal_size(lua_State *L)
{
    struct winsize size = { 0 };

    if (ioctl((int)luaL_optinteger(L, 1, 1), TIOCGWINSZ, &size) != 0)
        return push_errno(L, "ask for the size of the terminal");
    lua_pushinteger(L, size.ws_row);
    lua_pushinteger(L, size.ws_col);
    return 2;
}

/* close(): the terminal is as it was; harmless when repeated. */
static int release_raw(lua_State *L)
{
    struct l_raw_mode *mode = luaL_checkudata(L, 1, RAW_TYPE);

    if (mode->fd >= 0)
        tcsetattr(mode->fd, TCSADRAIN, &mode->before);
    mode->fd = -1;
    vx_signal_free(mode->continued);
    mode->continued = NULL;
    return 0;
}

/* Whoever has stopped the program, its shell has set the terminal as it likes meanwhile. */
static void continued(int signum, void *arg)
{
    struct l_raw_mode *mode = arg;

    (void)signum;
    tcsetattr(mode->fd, TCSADRAIN, &mode->wanted);
}

/* suspend(): stops the program, as Ctrl-Z does where it makes a signal; the terminal is as it was
 * until the program goes on. */
static int raw_suspend(lua_State *L)
{
    struct l_raw_mode *mode = luaL_checkudata(L, 1, RAW_TYPE);

    if (mode->fd < 0)
        return luaL_error(L, "the terminal's settings were put back already");
    tcsetattr(mode->fd, TCSADRAIN, &mode->before);
    vx_signal_suspend();
    tcsetattr(mode->fd, TCSADRAIN, &mode->wanted);
    return 0;
}

/* raw([fd]): from now on the terminal behind a descriptor (0) hands on each byte as it is typed,
 * echoes nothing and makes no signals, until the handle that is returned is closed; or nil, err. */
static int l_terminal_raw(lua_State *L)
{
    int fd = (int)luaL_optinteger(L, 1, 0);
    struct l_raw_mode *mode = lua_newuserdatauv(L, sizeof *mode, 0);
    struct vx_err err;

    mode->fd = -1;
    mode->continued = NULL;
    luaL_setmetatable(L, RAW_TYPE);
    if (tcgetattr(fd, &mode->before) != 0)
        return push_errno(L, "read the terminal's settings");
    mode->wanted = mode->before;
    cfmakeraw(&mode->wanted);
    mode->continued = vx_signal_new(task_loop(L), SIGCONT, continued, mode, &err);
    if (mode->continued == NULL)
        return l_push_fail(L, &err);
    if (tcsetattr(fd, TCSADRAIN, &mode->wanted) != 0) {
        vx_err_errno(&err, errno, "cannot change the terminal's settings");
        vx_signal_free(mode->continued);
        mode->continued = NULL;
        return l_push_fail(L, &err);
    }
    mode->fd = fd;
    return 1;
}

static const luaL_Reg raw_methods[] = {
    { "close", release_raw },
    { "suspend", raw_suspend },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "input", l_terminal_input },
    { "open", l_terminal_open },
    { "raw", l_terminal_raw },
    { "size", l_terminal_size },
    { NULL, NULL },
};

int luaopen_raw_terminal(lua_State *L)
{
    l_new_type(L, RAW_TYPE, raw_methods, release_raw);
    luaL_newlib(L, functions);
    return 1;
}
