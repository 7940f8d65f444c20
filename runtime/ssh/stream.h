/* A command whose standard input or output is the loop's side of a pipe. */
#ifndef VX_SSH_STREAM_H
#define VX_SSH_STREAM_H

#include "runtime/base/buf.h"
#include "runtime/loop/pipe.h"
#include "runtime/ssh/command.h"

struct vx_stream;

/* Runs once, from the loop. err is NULL when the command ended by itself: ask for its result. */
typedef void (*vx_stream_cb)(const struct vx_err *err, void *arg);

struct vx_stream_opts {
    const char *line; /* for the server's shell; copied */
    size_t line_len;
    struct vx_pipe *in;  /* becomes its standard input; NULL: none */
    struct vx_pipe *out; /* takes its standard output; NULL: kept like its errors */
    vx_stream_cb done;
    void *arg;
};

/* Starts the command. The pipes stay the caller's and must outlive the stream. When one is broken
 * the stream ends with that error; when the command ends well the end is put into `out`. Returns
 * NULL with err when the session is over. */
struct vx_stream *vx_stream_start(struct vx_session *session, const struct vx_stream_opts *opts,
                                  struct vx_err *err);

/* Lets go: done never runs after this. The command's channel is closed, which ends its input; the
 * process itself may go on. NULL is fine. */
void vx_stream_free(struct vx_stream *stream);

/* After done without err: how it ended. */
void vx_stream_result(const struct vx_stream *stream, struct vx_command_result *result);

/* What it wrote to its standard error (and output, without `out`), the last 16 KiB of it. */
const struct vx_buf *vx_stream_words(const struct vx_stream *stream);

#endif
