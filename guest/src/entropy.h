/* Randomness from the host for the kernel's pool. */
#ifndef DORMOUSE_ENTROPY_H
#define DORMOUSE_ENTROPY_H

#include <stdbool.h>

#include "wire.h"

#define MIN_ENTROPY_BYTES 16u
#define MAX_ENTROPY_BYTES 4096u

/* Mixes bytes in (at most MAX_ENTROPY_BYTES); inside a VM they also count as entropy. 0 or an errno. */
int entropy_mix(struct bytes bytes, bool reseed);

#endif
