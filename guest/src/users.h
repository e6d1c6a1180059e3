/* Users and groups of the guest, from /etc/passwd and /etc/group. Any thread. */
#ifndef DORMOUSE_USERS_H
#define DORMOUSE_USERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"
#include "result.h"
#include "settings.h"

#define MAX_GROUPS 256

struct user {
	uid_t uid;
	gid_t gid;
	char name[MAX_USER_BYTES + 1];
	char home[1024];
	char shell[256];
};

/* Looks up a name or decimal uid (empty: the default user); false: the result says unknown_user. */
bool user_find(const char *name, struct user *user, struct result *result);
/* The user's groups, its own first; returns how many. */
int user_groups(const struct user *user, gid_t *groups, int max);
/* A group by name or decimal gid. */
bool group_find(const char *name, gid_t *gid);

/* Names of owners for many entries in a row: remembers the last few. */
struct owner_names {
	struct owner_name {
		uint32_t id;
		bool known;
		char name[MAX_USER_BYTES + 1];
	} users[8], groups[8];
	unsigned next_user, next_group;
};

/* The name of a uid or gid, decimal when it has none. */
const char *owner_user(struct owner_names *names, uid_t uid);
const char *owner_group(struct owner_names *names, gid_t gid);

#endif
