/* Ending the machine in an orderly way. */
#ifndef DORMOUSE_SHUTDOWN_H
#define DORMOUSE_SHUTDOWN_H

#include <stdbool.h>

/* Syncs, lets go of the root file system, and powers off or restarts. */
_Noreturn void shutdown_now(bool restart);

#endif
