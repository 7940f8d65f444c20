/* The owner of kept guests is a process of its own, in the background. */
#ifndef VX_APP_OWN_H
#define VX_APP_OWN_H

/* Goes into the background: a new process in a session of its own, without any descriptor of its
 * starter's, whose output goes to the end of HOME/owner.log. Returns -1 in that process, and the
 * exit code in the one that was started. Call it before there are threads. */
int own_detach(const char *home);

#endif
