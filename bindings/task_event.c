/* Events: the one primitive that locks, queues and semaphores are made of in Lua. */
#include <lauxlib.h>

#include "bindings/task_core.h"

#define EVENT_TYPE "vmatrix.event"
#define EWAIT_TYPE "vmatrix.event.wait"

struct event {
    struct vx_link waiters;
    long long count; /* notifications that nobody has taken */
};

struct event_wait {
    struct wait wait;
    struct vx_link link;
    struct event *event;
    struct vx_timer *timer;
    bool granted;
    bool taken;
};

static void event_give(struct event *event)
{
    if (vx_list_empty(&event->waiters)) {
        event->count++;
    } else {
        struct event_wait *first = VX_OF(event->waiters.next, struct event_wait, link);
        vx_list_unlink(&first->link);
        first->granted = true;
        wait_done(&first->wait);
    }
}

static int event_wait_release(lua_State *L)
{
    struct event_wait *op = luaL_checkudata(L, 1, EWAIT_TYPE);

    if (op->event == NULL)
        return 0;
    vx_list_unlink(&op->link);
    vx_timer_free(op->timer);
    op->timer = NULL;
    /* Cancelled after it was granted: somebody else gets it. */
    if (op->granted && !op->taken)
        event_give(op->event);
    op->event = NULL;
    return 0;
}

static void event_timeout(void *arg)
{
    struct event_wait *op = arg;

    if (op->granted)
        return;
    vx_list_unlink(&op->link);
    wait_done(&op->wait);
}

static int event_finish(lua_State *L, struct wait *wait)
{
    struct event_wait *op = (struct event_wait *)wait;

    op->taken = true;
    lua_pushboolean(L, op->granted);
    return 1;
}

/* task.event([count]) -> an event with that many notifications to take (0). */
int l_event_new(lua_State *L)
{
    lua_Integer count = luaL_optinteger(L, 1, 0);
    struct event *event = NULL;

    luaL_argcheck(L, count >= 0, 1, "a count of 0 or more expected");
    event = lua_newuserdatauv(L, sizeof *event, 0);
    vx_list_init(&event->waiters);
    event->count = count;
    luaL_setmetatable(L, EVENT_TYPE);
    return 1;
}

/* event:notify([n]) gives n (1) notifications, to the waiters in their order, then kept. */
static int l_event_notify(lua_State *L)
{
    struct event *event = luaL_checkudata(L, 1, EVENT_TYPE);
    lua_Integer count = luaL_optinteger(L, 2, 1);

    while (count-- > 0)
        event_give(event);
    return 0;
}

/* event:broadcast() gives every waiter one, and keeps none. */
static int l_event_broadcast(lua_State *L)
{
    struct event *event = luaL_checkudata(L, 1, EVENT_TYPE);

    while (!vx_list_empty(&event->waiters))
        event_give(event);
    return 0;
}

/* event:wait([seconds]) takes one notification -> true, or false when the time is over. */
static int l_event_wait(lua_State *L)
{
    struct event *event = luaL_checkudata(L, 1, EVENT_TYPE);
    double seconds = luaL_optnumber(L, 2, -1);
    struct event_wait *op = NULL;

    lua_settop(L, 2);
    check_may_wait(L, "event:wait");
    if (event->count > 0) {
        event->count--;
        lua_pushboolean(L, 1);
        return 1;
    }
    op = l_new_op(L, sizeof *op, EWAIT_TYPE, event_wait_release);
    vx_list_init(&op->link);
    op->event = event;
    vx_list_push(&event->waiters, &op->link);
    if (seconds >= 0)
        op->timer = vx_timer_new(task_loop(L), seconds, event_timeout, op);
    return task_park(L, &op->wait, event_finish);
}

static const luaL_Reg event_methods[] = {
    { "broadcast", l_event_broadcast },
    { "notify", l_event_notify },
    { "wait", l_event_wait },
    { NULL, NULL },
};

void event_new_type(lua_State *L)
{
    task_new_type(L, EVENT_TYPE, event_methods);
}
