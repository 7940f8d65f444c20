/* The program's life: start-up, the loop, signals and shutdown, in that order in host.c. */
#ifndef VX_APP_HOST_H
#define VX_APP_HOST_H

/* Runs the command line to its end and returns the exit code. */
int host_main(int argc, char **argv);

#endif
