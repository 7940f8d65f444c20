/* An intrusive, doubly linked, circular list: a head is a link that points to itself when empty. */
#ifndef VX_BASE_LIST_H
#define VX_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct vx_link {
    struct vx_link *next;
    struct vx_link *prev;
};

/* The struct of the given type that holds this link as the given member. */
#define VX_OF(link, type, member) ((type *)(void *)(((char *)(link)) - offsetof(type, member)))

/* Makes a head (or a link that is in no list) point to itself. */
static inline void vx_list_init(struct vx_link *head)
{
    head->next = head->prev = head;
}

/* Whether a head has no links. */
static inline bool vx_list_empty(const struct vx_link *head)
{
    return head->next == head;
}

/* Puts a link that is in no list at the end. */
static inline void vx_list_push(struct vx_link *head, struct vx_link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Harmless when repeated: an unlinked link points to itself. */
static inline void vx_list_unlink(struct vx_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = link;
}

#endif
