/* The versions of the libraries that this folder stands on, as they run. */
#ifndef VX_LOOP_VERSION_H
#define VX_LOOP_VERSION_H

/* The version in figures and dots; static. */
const char *vx_uv_version(void);

#endif
