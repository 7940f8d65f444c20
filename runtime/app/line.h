/* vm.raw.line: lines that are typed, for the interactive prompt. A task asks for a line; the
 * host sees that between two turns of its loop and lets the editor read, which turns the loop
 * meanwhile. */
#ifndef VX_APP_LINE_H
#define VX_APP_LINE_H

#include <lua.h>
#include <stdbool.h>

#include "bindings/task.h"

/* Pushes the module. */
int luaopen_raw_line(lua_State *L);

/* In line_run.c: the module's run. */
int l_line_run(lua_State *L);

/* Reads the line that a task waits for, to its end. False, at once, when no task waits for
 * one. Called by the host's loop only, never by a callback or inside a task. */
bool line_serve(struct sched *sched, struct vx_loop *loop);

/* Takes an interrupt (Ctrl-C), on the loop thread: ends the line that is edited, or tells
 * whoever waits for interrupts. False when there is no prompt. */
bool line_interrupt(void);

/* Whether there is a prompt, and interrupts are its own. Safe in a signal handler. */
bool line_is_open(void);

/* The terminal as it was before the prompt. Safe in a signal handler. */
void line_restore(void);

#endif
