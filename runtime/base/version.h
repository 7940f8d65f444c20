/* The versions of the libraries that this folder stands on, as they run. */
#ifndef VX_BASE_VERSION_H
#define VX_BASE_VERSION_H

/* The version in figures and dots; static. */
const char *vx_jansson_version(void);

#endif
