/*
 * What CONFIGURE sets, and what the process was started as. Strings are copied
 * out under a lock, because workers look at them.
 */
#ifndef DORMOUSE_SETTINGS_H
#define DORMOUSE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_VERSION "0.1.0"
#define MAX_USER_BYTES 255u
#define MAX_ENVIRONMENT_BYTES (1u << 20)

/* True inside a VM (PID 1): clock, power and network of the machine are ours. */
extern bool settings_own_machine;

/* "NAME=value" strings, one after the other, each terminated. */
struct environment {
	char *strings;
	size_t bytes;
	uint32_t count;
};

void settings_default_user(char *out, size_t size);
void settings_workdir(char *out, size_t size);
void settings_set_user(const char *user);
void settings_set_workdir(const char *path);
/* Main thread: the sandbox's environment, merged by name or replaced; false: too large. */
bool settings_merge_environment(char *const *list, uint32_t count, bool replace);
const struct environment *settings_environment(void);

#endif
