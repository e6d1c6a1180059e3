/* The Entry of PROTOCOL.md: the description of one file. Worker threads. */
#ifndef DORMOUSE_ENTRY_H
#define DORMOUSE_ENTRY_H

#include "packet.h"
#include "users.h"

/* An ENTRY message about `path`, or NULL with errno set. */
struct packet *entry_message(const char *path, struct owner_names *names);
/* The same for `name` inside an open directory; `path` is what the entry calls itself. */
struct packet *entry_message_at(int directory, const char *name, const char *path, struct owner_names *names);
/* An ENTRY for a file that exists and cannot be looked at; NULL with errno set. */
struct packet *entry_message_unknown(const char *path);
enum entry_type entry_type_of(unsigned mode);

#endif
