#include "runtime/ssh/stream.h"

#include <stdlib.h>

enum { WORDS_KEPT = 16 * 1024, SPILL = 32 * 1024 };

struct vx_stream {
    struct vx_command *command;
    struct vx_stream_opts opts;
    struct vx_buf words;
    bool finished; /* done ran, or never will */
};

static void finish(struct vx_stream *stream, const struct vx_err *err)
{
    stream->finished = true;
    stream->opts.done(err, stream->opts.arg);
}

static void keep_words(struct vx_stream *stream, const char *data, size_t len)
{
    vx_buf_add(&stream->words, data, len);
    if (stream->words.len > 2 * WORDS_KEPT)
        vx_buf_drop(&stream->words, stream->words.len - WORDS_KEPT);
}

/* Standard input; -1: the pipe was broken. */
static int feed(struct vx_stream *stream, struct vx_err *err)
{
    struct vx_pipe *in = stream->opts.in;
    const char *data = NULL;
    size_t len = 0;

    if (in == NULL)
        return 0;
    while ((len = vx_pipe_peek(in, &data)) > 0) {
        long taken = vx_command_write(stream->command, data, len);
        if (taken <= 0)
            break;
        vx_pipe_drop(in, (size_t)taken);
    }
    if (vx_pipe_broken(in, err))
        return -1;
    if (vx_pipe_ended(in))
        vx_command_eof(stream->command);
    return 0;
}

/* Output, as far as there is room. Returns what vx_command_read said last; WAIT when full. */
static long drain(struct vx_stream *stream)
{
    struct vx_pipe *out = stream->opts.out;
    char spill[SPILL];
    long got = 0;
    int number = 0;

    do {
        char *to = spill;
        size_t room = sizeof spill;
        if (out != NULL && (room = vx_pipe_room(out, &to)) == 0)
            return VX_COMMAND_WAIT;
        got = vx_command_read(stream->command, &number, to, room);
        if (got > 0 && number == 1 && out != NULL)
            vx_pipe_added(out, (size_t)got);
        else if (got > 0)
            keep_words(stream, to, (size_t)got);
    } while (got > 0);
    return got;
}

static void on_ready(void *arg)
{
    struct vx_stream *stream = arg;
    struct vx_err err = { 0 };
    long got = 0;

    if (stream->finished)
        return;
    if (feed(stream, &err) != 0 ||
        (stream->opts.out != NULL && vx_pipe_broken(stream->opts.out, &err))) {
        finish(stream, &err);
        return;
    }
    got = drain(stream);
    if (got == VX_COMMAND_FAILED) {
        finish(stream, vx_command_error(stream->command));
    } else if (got == VX_COMMAND_END) {
        if (stream->opts.out != NULL)
            vx_pipe_end(stream->opts.out);
        finish(stream, NULL);
    }
}

struct vx_stream *vx_stream_start(struct vx_session *session, const struct vx_stream_opts *opts,
                                  struct vx_err *err)
{
    struct vx_stream *stream = vx_zalloc(sizeof *stream);
    struct vx_command_opts command = { .line = opts->line,
                                       .line_len = opts->line_len,
                                       .stdin_open = opts->in != NULL,
                                       .ready = on_ready,
                                       .arg = stream };

    stream->opts = *opts;
    stream->command = vx_command_start(session, &command, err);
    if (stream->command == NULL) {
        free(stream);
        return NULL;
    }
    if (opts->in != NULL)
        vx_pipe_on_ready(opts->in, on_ready, stream);
    if (opts->out != NULL)
        vx_pipe_on_ready(opts->out, on_ready, stream);
    return stream;
}

void vx_stream_free(struct vx_stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->opts.in != NULL)
        vx_pipe_on_ready(stream->opts.in, NULL, NULL);
    if (stream->opts.out != NULL)
        vx_pipe_on_ready(stream->opts.out, NULL, NULL);
    vx_command_free(stream->command);
    vx_buf_free(&stream->words);
    free(stream);
}

void vx_stream_result(const struct vx_stream *stream, struct vx_command_result *result)
{
    vx_command_result(stream->command, result);
}

const struct vx_buf *vx_stream_words(const struct vx_stream *stream)
{
    return &stream->words;
}
