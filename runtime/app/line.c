#include "runtime/app/line.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/error.h"
#include "bindings/task_core.h"
#include "runtime/app/edit.h"
#include "runtime/base/buf.h"
#include "runtime/base/log.h"
#include "runtime/loop/signal.h"
#include "runtime/loop/timer.h"
#include "runtime/loop/watch.h"

#define EDITOR_TYPE "vm.raw.line.editor"
#define READ_TYPE   "vm.raw.line.read"
#define WAIT_TYPE   "vm.raw.line.wait"

/* How long the key for completion waits for an answer, in seconds. */
#define COMPLETE_MAX 2.0

/* A task that waits for a line. */
struct l_read {
    struct wait wait;
    char *prompt;
    char *line;
    enum edit_end end;
    bool interrupted;
};

/* A task that waits for an interrupt, or for the key for completion. */
struct l_wait {
    struct wait wait;
    struct l_wait **place; /* where it is noted, NULL once released */
};

static struct {
    struct edit *edit; /* NULL: no prompt */
    struct sched *sched;
    struct vx_loop *loop;
    pthread_t thread;
    struct vx_watch *watch; /* while a line is edited */
    struct vx_signal *resized, *stopped, *continued;
    struct l_read *read;
    struct task *task; /* that an interrupt cancels; held by the editor's user value */
    struct l_wait *interrupts, *completer;
    char *before, *after; /* of the cursor, until the completer has answered */
    bool interrupted;     /* since the last line began, or since whoever waits was told */
    bool has_input;
    volatile sig_atomic_t open;
} self;

bool line_is_open(void)
{
    return self.open != 0;
}

void line_restore(void)
{
    if (self.open != 0)
        edit_restore(self.edit);
}

/* --- one turn of the host's loop, while a line is edited ------------------------------------ */

static void has_input(int events, void *arg)
{
    (void)events;
    (void)arg;
    self.has_input = true;
}

static bool can_read(void)
{
    struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };

    return poll(&fd, 1, 0) > 0;
}

static void turn(void)
{
    task_run_ready(self.sched);
    edit_show(self.edit);
    if (self.read == NULL || self.interrupted)
        return;
    vx_watch_want(self.watch, VX_READABLE);
    vx_loop_turn(self.loop, !task_any_ready(self.sched) && !self.has_input);
}

static int next_byte(void *arg, char *byte)
{
    (void)arg;
    for (;;) {
        ssize_t got = 0;

        if (self.read == NULL || self.interrupted)
            return -1;
        if (!self.has_input && !can_read()) {
            turn();
            continue;
        }
        self.has_input = false;
        got = read(STDIN_FILENO, byte, 1);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        return got == 1 ? 1 : 0; /* a terminal whose other side is gone says EIO */
    }
}

static void time_over(void *arg)
{
    *(bool *)arg = true;
}

/* Asks the task that completes, and turns the loop until it has answered. */
static void complete(void *arg, const char *before, const char *after)
{
    bool over = false;
    struct vx_timer *timer = NULL;

    (void)arg;
    if (self.completer == NULL)
        return;
    self.before = vx_strdup(before);
    self.after = vx_strdup(after);
    wait_done(&self.completer->wait);
    timer = vx_timer_new(self.loop, COMPLETE_MAX, time_over, &over);
    while (self.before != NULL && !over && self.read != NULL && !self.interrupted) {
        task_run_ready(self.sched);
        edit_show(self.edit);
        if (self.before != NULL) {
            vx_watch_want(self.watch, 0); /* keys wait */
            vx_loop_turn(self.loop, !task_any_ready(self.sched));
        }
    }
    vx_timer_free(timer);
    free(self.before);
    free(self.after);
    self.before = self.after = NULL;
}

bool line_serve(struct sched *sched, struct vx_loop *loop)
{
    struct vx_err err = { 0 };
    char *line = NULL;
    enum edit_end end = EDIT_EOF;
    int flags = 0;

    if (self.read == NULL || self.read->wait.done || self.edit == NULL)
        return false;
    self.sched = sched;
    self.loop = loop;
    self.interrupted = self.has_input = false;
    /* Watching makes a descriptor non-blocking, and with it everybody else's of this terminal:
     * our own output, the programs that a line starts, the shell that started us. */
    flags = fcntl(STDIN_FILENO, F_GETFL);
    self.watch = vx_watch_new(loop, STDIN_FILENO, has_input, NULL, &err);
    fcntl(STDIN_FILENO, F_SETFL, flags);
    if (self.watch == NULL) {
        vx_log(VX_LOG_ERROR, NULL, "%s", err.msg);
    } else {
        end = edit_gets(self.edit, self.read->prompt, &line);
        vx_watch_free(self.watch);
        self.watch = NULL;
    }
    if (self.read == NULL) { /* cancelled */
        free(line);
    } else {
        self.read->line = line;
        self.read->end = end;
        self.read->interrupted = self.interrupted;
        wait_done(&self.read->wait);
    }
    self.interrupted = false;
    return true;
}

/* Cancels the line's task right here: it may be computing, and no other task would run. */
static void cancel_task(void)
{
    struct vx_err err = { 0 };
    lua_State *L = self.task->sched->L;

    vx_err_set(&err, VX_CANCELLED, 0, "interrupted");
    push_err(L, &err);
    task_cancel(L, self.task);
}

bool line_interrupt(void)
{
    if (self.edit == NULL)
        return false;
    if (self.watch != NULL) {
        self.interrupted = true;
        return true;
    }
    if (self.task != NULL && self.task->state != TASK_DONE)
        cancel_task();
    if (self.interrupts != NULL)
        wait_done(&self.interrupts->wait);
    return true;
}

static void resized(int signum, void *arg)
{
    (void)signum;
    (void)arg;
    edit_resize(self.edit);
}

/* Whoever stopped us, its shell has set the terminal as it likes meanwhile, and it may have
 * another size. */
static void continued(int signum, void *arg)
{
    (void)signum;
    (void)arg;
    edit_again(self.edit);
    edit_resize(self.edit);
}

/* Ctrl-Z: the shell that started us gets a terminal as it was. */
static void stopped(int signum, void *arg)
{
    edit_leave(self.edit);
    vx_signal_suspend();
    continued(signum, arg);
}

/* --- log lines ------------------------------------------------------------------------------ */

static void write_log(const char *text, size_t len)
{
    if (self.edit != NULL)
        edit_hide(self.edit);
    fwrite(text, 1, len, stderr);
    fflush(stderr);
    if (self.edit != NULL)
        edit_wrote(self.edit, true);
}

static void write_posted(void *arg)
{
    write_log(arg, strlen(arg));
    free(arg);
}

/* Any thread. */
static void take_log(const char *text, size_t len)
{
    if (pthread_equal(pthread_self(), self.thread))
        write_log(text, len);
    else
        vx_loop_post(self.loop, write_posted, vx_strndup(text, len));
}

/* --- what Lua calls ------------------------------------------------------------------------- */

/* editor:close(): the prompt is over; harmless when repeated. */
static int editor_close(lua_State *L)
{
    luaL_checkudata(L, 1, EDITOR_TYPE);
    if (self.edit == NULL)
        return 0;
    self.open = 0;
    vx_log_sink(NULL);
    vx_signal_free(self.resized);
    vx_signal_free(self.stopped);
    vx_signal_free(self.continued);
    edit_free(self.edit);
    self.resized = self.stopped = self.continued = NULL;
    self.edit = NULL;
    self.task = NULL;
    return 0;
}

static int read_release(lua_State *L)
{
    struct l_read *op = luaL_checkudata(L, 1, READ_TYPE);

    if (self.read == op)
        self.read = NULL;
    free(op->prompt);
    free(op->line);
    op->prompt = op->line = NULL;
    return 0;
}

static int read_finish(lua_State *L, struct wait *wait)
{
    struct l_read *op = (struct l_read *)wait;

    if (op->end == EDIT_LINE && !op->interrupted) {
        lua_pushstring(L, op->line);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, op->interrupted ? "interrupted" : "end");
    return 2;
}

static void check_open(lua_State *L)
{
    luaL_checkudata(L, 1, EDITOR_TYPE);
    if (self.edit == NULL)
        luaL_error(L, "the editor is closed");
}

/* editor:read(prompt): waits for a line. Returns it without its line break, or nil and "end"
 * (Ctrl-D) or "interrupted" (Ctrl-C). One task at a time. */
static int editor_read(lua_State *L)
{
    const char *prompt = luaL_checkstring(L, 2);
    struct l_read *op = NULL;

    check_open(L);
    check_may_wait(L, "editor:read");
    if (self.read != NULL)
        return luaL_error(L, "another task reads a line already");
    op = l_new_op(L, sizeof *op, READ_TYPE, read_release);
    op->prompt = vx_strdup(prompt);
    self.read = op;
    return task_park(L, &op->wait, read_finish);
}

static int wait_release(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);

    if (op->place != NULL && *op->place == op)
        *op->place = NULL;
    op->place = NULL;
    return 0;
}

static int wait_at(lua_State *L, struct l_wait **place, task_finish finish)
{
    struct l_wait *op = NULL;

    check_open(L);
    check_may_wait(L, "editor:wait");
    if (*place != NULL)
        return luaL_error(L, "another task waits for this already");
    op = l_new_op(L, sizeof *op, WAIT_TYPE, wait_release);
    op->place = place;
    *place = op;
    return task_park(L, &op->wait, finish);
}

static int interrupts_finish(lua_State *L, struct wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

/* editor:interrupts(): waits for a Ctrl-C while no line is edited, which has cancelled the
 * guarded task by then. Returns nothing. */
static int editor_interrupts(lua_State *L)
{
    return wait_at(L, &self.interrupts, interrupts_finish);
}

static int completions_finish(lua_State *L, struct wait *wait)
{
    (void)wait;
    lua_pushstring(L, self.before != NULL ? self.before : "");
    lua_pushstring(L, self.after != NULL ? self.after : "");
    return 2;
}

/* editor:completions(): waits until the key for completion is pressed. Returns what stands
 * before the cursor and what after; the answer is awaited for two seconds. */
static int editor_completions(lua_State *L)
{
    return wait_at(L, &self.completer, completions_finish);
}

/* editor:complete(drop, insert, [listing]): answers the key for completion: replaces `drop`
 * bytes before the cursor, and shows a listing below the input. False when it is too late.
 * Does not wait. */
static int editor_complete(lua_State *L)
{
    lua_Integer drop = luaL_checkinteger(L, 2);
    const char *insert = luaL_checkstring(L, 3);
    const char *listing = luaL_optstring(L, 4, NULL);
    bool awaited = self.before != NULL;

    check_open(L);
    if (awaited)
        edit_complete(self.edit, drop > 0 ? (size_t)drop : 0, insert, listing);
    free(self.before);
    free(self.after);
    self.before = self.after = NULL;
    lua_pushboolean(L, awaited);
    return 1;
}

/* editor:remember(text): an entry of the history. */
static int editor_remember(lua_State *L)
{
    const char *text = luaL_checkstring(L, 2);

    check_open(L);
    edit_remember(self.edit, text);
    return 0;
}

/* editor:guard([task]): what an interrupt cancels from now on, nothing without a task. */
static int editor_guard(lua_State *L)
{
    struct task *task = lua_isnoneornil(L, 2) ? NULL : luaL_checkudata(L, 2, TASK_TYPE);

    luaL_checkudata(L, 1, EDITOR_TYPE);
    lua_settop(L, 2);
    lua_setiuservalue(L, 1, 1);
    self.task = task;
    return 0;
}

/* editor:hide([ends_line]): something is about to be written: the input line goes away, and
 * comes back with the next turn of the loop, on a new line unless what is written ends its own
 * (true). */
static int editor_hide(lua_State *L)
{
    luaL_checkudata(L, 1, EDITOR_TYPE);
    if (self.edit != NULL) {
        edit_hide(self.edit);
        edit_wrote(self.edit, lua_isnone(L, 2) || lua_toboolean(L, 2));
    }
    return 0;
}

static const luaL_Reg methods[] = {
    { "close", editor_close },
    { "complete", editor_complete },
    { "completions", editor_completions },
    { "guard", editor_guard },
    { "hide", editor_hide },
    { "interrupts", editor_interrupts },
    { "read", editor_read },
    { "remember", editor_remember },
    { NULL, NULL },
};

/* open(): the prompt's editor on this program's terminal; or nil, err. From now on Ctrl-C is
 * for it, and log lines do not tear its line. There is one. */
static int l_line_open(lua_State *L)
{
    static const struct edit_ops ops = { next_byte, complete };
    struct vx_err err = { 0 };

    if (self.edit != NULL)
        return luaL_error(L, "there is a prompt already");
    lua_newuserdatauv(L, 0, 1);
    l_new_type(L, EDITOR_TYPE, methods, editor_close);
    luaL_setmetatable(L, EDITOR_TYPE);
    self.edit = edit_new(&ops, NULL, &err);
    if (self.edit == NULL)
        return l_push_fail(L, &err);
    self.thread = pthread_self();
    self.loop = task_loop(L);
    self.resized = vx_signal_new(self.loop, SIGWINCH, resized, NULL, NULL);
    self.stopped = vx_signal_new(self.loop, SIGTSTP, stopped, NULL, NULL);
    self.continued = vx_signal_new(self.loop, SIGCONT, continued, NULL, NULL);
    vx_log_sink(take_log);
    self.open = 1;
    return 1;
}

/* version(): that of libedit, in figures and dots, as the program was built with: the library
 * does not say its own. */
static int l_line_version(lua_State *L)
{
    lua_pushliteral(L, VX_EDIT_VERSION);
    return 1;
}

static const luaL_Reg functions[] = {
    { "open", l_line_open },
    { "run", l_line_run }, /* in line_run.c */
    { "version", l_line_version },
    { NULL, NULL },
};

int luaopen_raw_line(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
