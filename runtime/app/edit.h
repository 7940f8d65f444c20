/* A line editor on the terminal: libedit, with a loop in between. Everything belongs to the
 * loop thread; there is one editor, since there is one terminal. */
#ifndef VX_APP_EDIT_H
#define VX_APP_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/err.h"

struct edit;

struct edit_ops {
    /* Returns 1 and the next byte, 0 at the end of the input, -1 when no more is to be read.
     * Turns the loop until then. */
    int (*next)(void *arg, char *byte);
    /* The key for completion was pressed: may turn the loop, and may call edit_complete. */
    void (*complete)(void *arg, const char *before, const char *after);
};

enum edit_end {
    EDIT_LINE, /* a line was entered */
    EDIT_EOF,  /* the end of the input: Ctrl-D on an empty line */
    EDIT_STOP, /* ops->next said so */
};

/* Makes the editor for standard input and output, which must be a terminal; reads the user's
 * ~/.editrc. It is the caller's to free. NULL with err. */
struct edit *edit_new(const struct edit_ops *ops, void *arg, struct vx_err *err);
void edit_free(struct edit *self);

/* Shows the prompt (copied) and edits until a line is entered; stores it without its line
 * break, the caller frees it. The terminal is as before when it returns. */
enum edit_end edit_gets(struct edit *self, const char *prompt, char **line);

/* Makes an entry of the history; those of several lines are one. */
void edit_remember(struct edit *self, const char *text);

/* Before something else writes to the terminal: takes the input line away, if there is one.
 * Whether what is written will end its line is told by edit_wrote. Harmless when repeated. */
void edit_hide(struct edit *self);
void edit_wrote(struct edit *self, bool ends_line);
/* The input line is back, below what was written. */
void edit_show(struct edit *self);
/* Whether edit_show has something to do. */
bool edit_hidden(const struct edit *self);

/* The terminal has another size. */
void edit_resize(struct edit *self);

/* Within ops->complete: replaces `drop` bytes before the cursor by a text, and shows a listing
 * (whole lines, or NULL) below the input. */
void edit_complete(struct edit *self, size_t drop, const char *insert, const char *listing);

/* The terminal as it was when the editor was made, for a program that is about to end. Safe in
 * a signal handler. */
void edit_restore(const struct edit *self);

/* Before the program is stopped: the input line goes away, and the terminal is as before. */
void edit_leave(struct edit *self);
/* The program goes on: the terminal is the editor's again, and edit_show draws the line. Both
 * only do something while a line is edited, and are harmless when repeated. */
void edit_again(struct edit *self);

#endif
