/* A command that runs on the other side, on a channel of its own. */
#ifndef VX_SSH_COMMAND_H
#define VX_SSH_COMMAND_H

#include "runtime/ssh/session.h"

struct vx_command;

/* Runs from the loop, as often as something may have changed: it was accepted, output came,
 * input can be taken, it ended. The owner then calls read, write or error. It may free the
 * command. */
typedef void (*vx_command_cb)(void *arg);

struct vx_command_opts {
    const char *line; /* what the server's shell gets; copied */
    size_t line_len;
    bool stdin_open;   /* false: its standard input is at the end from the start */
    bool stdin_unused; /* it reads from elsewhere: the end of its input need not be sent */
    bool pty;
    int cols, rows;   /* of the pty; 0 is 80 and 24 */
    const char *term; /* of the pty; NULL is "xterm" */
    /* The command's first line on stderr (stdout with pty) starts with this and goes on with
     * the id of its process group. The line is taken out and kept for vx_command_group. NULL:
     * none. */
    const char *marker;
    vx_command_cb ready;
    void *arg;
};

/* Returns at once; err when the session is over already. The command holds the session's
 * memory, so that either may be freed first. */
struct vx_command *vx_command_start(struct vx_session *session,
                                    const struct vx_command_opts *opts, struct vx_err *err);

/* Lets go of the command and closes its channel in the background; ready never runs after this.
 * This does not end the process on the other side. NULL is fine. */
void vx_command_free(struct vx_command *cmd);

/* True once the server has accepted the command. */
bool vx_command_running(const struct vx_command *cmd);

/* Output, as it comes. Returns the number of bytes and sets *stream to 1 or 2; or one of these.
 * What is not read stays with the server once the channel's window is full. */
enum { VX_COMMAND_END = 0, VX_COMMAND_FAILED = -1, VX_COMMAND_WAIT = -2 };
long vx_command_read(struct vx_command *cmd, int *stream, void *buf, size_t len);

/* Input. Returns how many bytes were taken, VX_COMMAND_WAIT (try again after ready), FAILED, or END
 * when the command takes no more. */
long vx_command_write(struct vx_command *cmd, const void *data, size_t len);
/* The end of its standard input; harmless when repeated. */
void vx_command_eof(struct vx_command *cmd);

/* Its terminal has another size from now on; nothing without one, or once it has ended. */
void vx_command_resize(struct vx_command *cmd, int cols, int rows);

/* True once read has returned END or FAILED, or would. */
bool vx_command_ended(const struct vx_command *cmd);
/* Why it failed; NULL while it runs and after a normal end. */
const struct vx_err *vx_command_error(const struct vx_command *cmd);

struct vx_command_result {
    int status;      /* -1 when a signal ended it */
    char signal[32]; /* "KILL", "" when it exited by itself */
};
/* Legal once read returned END. */
void vx_command_result(const struct vx_command *cmd, struct vx_command_result *result);

/* The id that the marker's line gave, 0 while there was none. It comes from the other side: it
 * is a number above 1, and nothing more is known. */
long vx_command_group(const struct vx_command *cmd);
/* The same, and looks for it in what has come; output is not lost by that. */
long vx_command_find_group(struct vx_command *cmd);

#endif
