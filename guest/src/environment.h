/* Lists of "NAME=value" strings. Pure. */
#ifndef DORMOUSE_ENVIRONMENT_H
#define DORMOUSE_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Leaves one string of each name, the last, where the first of that name stood.
 * Takes time in proportion to the list. False: memory is short, and the list is
 * as it was.
 */
bool environment_unique(char **list, uint32_t *count);

#endif
