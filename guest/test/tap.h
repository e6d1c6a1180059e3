/* Prints TAP, for test programs in C. */
#ifndef DORMOUSE_TAP_H
#define DORMOUSE_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_number;
static int tap_failures;

static inline void check(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tap_number, what);
	tap_failures += !good;
}

static inline int tap_end(void)
{
	printf("1..%d\n", tap_number);
	return tap_failures != 0;
}

#endif
