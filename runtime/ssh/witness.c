#include "runtime/ssh/internal.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/ssh/state.h"

/* libssh2 says 0 both for "exit status 0" and for "no status came", and offers no way to tell them
 * apart. Every message goes through memory of the allocator that a session is made with, and is
 * whole when it is given back: looking at it there tells which channel has heard its status. */

enum { MSG_OPEN = 90, MSG_CHANNEL_REQUEST = 98 };

/* Keeps what malloc aligns to. */
struct block {
    struct vx_link
        link; /* in the session's list: what libssh2 forgets to free is freed at its end */
    size_t len;
    size_t pad;
};

static uint32_t number(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_string(const unsigned char *at, size_t len, const char *text)
{
    size_t want = strlen(text);

    return len >= 4 + want && number(at) == want && memcmp(at + 4, text, want) == 0;
}

static void look(struct vx_session *session, const unsigned char *msg, size_t len)
{
    if (len >= 24 && msg[0] == MSG_OPEN && is_string(msg + 1, len - 1, "session")) {
        session->opened_id = (long)number(msg + 12);
    } else if (len >= 24 && msg[0] == MSG_CHANNEL_REQUEST &&
               (is_string(msg + 5, len - 5, "exit-status") ||
                is_string(msg + 5, len - 5, "exit-signal"))) {
        struct vx_link *at = NULL;

        for (at = session->commands.next; at != &session->commands; at = at->next) {
            struct vx_witness *witness = VX_OF(at, struct vx_witness, link);
            if (witness->channel == (long)number(msg + 1))
                witness->status_seen = true;
        }
    }
}

void *vx_witness_alloc(size_t len, void **abstract)
{
    struct vx_session *session = *abstract;
    struct block *block = malloc(sizeof *block + len);

    if (block == NULL)
        return NULL;
    block->len = len;
    vx_list_push(&session->blocks, &block->link);
    return block + 1;
}

static void give(void *ptr, void **abstract)
{
    struct block *block = ptr;

    if (block == NULL)
        return;
    block--;
    if (block->len >= 24)
        look(*abstract, ptr, block->len);
    vx_list_unlink(&block->link);
    free(block);
}

void vx_witness_free(struct vx_session *session, void *ptr)
{
    void *abstract = session;

    give(ptr, &abstract);
}

static void *retake(void *ptr, size_t len, void **abstract)
{
    struct vx_session *session = *abstract;
    struct block *block = ptr;
    struct block *moved = NULL;

    if (block == NULL)
        return vx_witness_alloc(len, abstract);
    block--;
    vx_list_unlink(&block->link);
    moved = realloc(block, sizeof *block + len);
    if (moved != NULL)
        moved->len = len;
    vx_list_push(&session->blocks, moved != NULL ? &moved->link : &block->link);
    return moved != NULL ? moved + 1 : NULL;
}

void vx_witness_end(struct vx_session *session)
{
    libssh2_session_free(session->ssh);
    session->ssh = NULL;
    while (!vx_list_empty(&session->blocks)) {
        struct block *block = VX_OF(session->blocks.next, struct block, link);

        vx_list_unlink(&block->link);
        free(block);
    }
}

LIBSSH2_SESSION *vx_witness_new(struct vx_session *session)
{
    session->opened_id = -1;
    vx_list_init(&session->blocks);
    return libssh2_session_init_ex(vx_witness_alloc, give, retake, session);
}

void vx_witness_add(struct vx_session *session, struct vx_witness *witness)
{
    witness->channel = session->opened_id;
    witness->status_seen = false;
    session->opened_id = -1;
    vx_list_push(&session->commands, &witness->link);
}

void vx_witness_remove(struct vx_witness *witness)
{
    vx_list_unlink(&witness->link);
}
