/* The versions of the libraries that this folder stands on, as they run. */
#ifndef VX_VIRT_VERSION_H
#define VX_VIRT_VERSION_H

#include <stddef.h>

/* Each fills buf with the version in figures and dots. */
void vx_libvirt_version(char *buf, size_t size);
void vx_xml_version(char *buf, size_t size);

#endif
