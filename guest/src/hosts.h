/* The agent's lines of /etc/hosts; all others are the workload's. Pure. */
#ifndef DORMOUSE_HOSTS_H
#define DORMOUSE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The hosts file `old` with the agent's own line saying `name`, and with lines
 * for localhost in front when no line is about 127.0.0.1. Every other byte
 * stays, in its order. The caller frees the result; NULL: memory is short.
 */
char *hosts_with_name(const char *old, size_t length, const char *name, size_t *new_length);
/* Whether a line of a resolv.conf names this name server. */
bool resolv_names_server(const char *text, size_t length, const char *address);

#endif
