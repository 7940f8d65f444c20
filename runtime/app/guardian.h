/* The guardian: a small process that clears away a run whose runtime has died. */
#ifndef VX_APP_GUARDIAN_H
#define VX_APP_GUARDIAN_H

/* Reads lines from standard input, which the runtime holds the other end of:
 *
 *   record PATH   the run's record, locked by its owner; removed last
 *   path PATH     processes whose command lines name it are killed, and it is removed
 *   done          the runtime has cleared everything away itself
 *
 * When the input ends without "done", the runtime is dead: clears the paths away. Returns the exit
 * code: 0 when nothing is left. */
int guardian_main(void);

#endif
