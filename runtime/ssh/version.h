/* The versions of the libraries that this folder stands on, as they run. */
#ifndef VX_SSH_VERSION_H
#define VX_SSH_VERSION_H

/* The version in figures and dots; static. */
const char *vx_ssh2_version(void);

#endif
