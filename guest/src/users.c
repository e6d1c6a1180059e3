#include "users.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define MAX_FIELDS 7
/* A larger file is not read. */
#define MAX_DATABASE_BYTES (16u << 20)

/* One line of passwd or group, split at colons. */
struct record {
	FILE *file;
	char *line;
	size_t capacity;
	char *field[MAX_FIELDS];
	int fields;
};

/* False when there is no such file. The workload may have put anything in its place. */
static bool open_records(const char *path, struct record *r)
{
	struct stat status;
	*r = (struct record){ 0 };
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= (off_t)MAX_DATABASE_BYTES)
		r->file = fdopen(fd, "r");
	if (fd >= 0 && !r->file)
		close(fd);
	return r->file;
}

static void close_records(struct record *r)
{
	fclose(r->file);
	free(r->line);
}

static bool next_record(struct record *r)
{
	ssize_t length;
	while ((length = getline(&r->line, &r->capacity, r->file)) >= 0) {
		if (length && r->line[length - 1] == '\n')
			r->line[--length] = 0;
		if (r->line[0] == '#' || !length || memchr(r->line, 0, (size_t)length))
			continue;
		char *at = r->line;
		r->fields = 0;
		while (at && r->fields < MAX_FIELDS) {
			r->field[r->fields++] = at;
			at = strchr(at, ':');
			if (at)
				*at++ = 0;
		}
		if (r->fields >= 3)
			return true;
	}
	return false;
}

static bool parse_id(const char *s, uint32_t *id)
{
	uint64_t value = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		value = value * 10 + (uint64_t)(*s - '0');
		if (value >= UINT32_MAX)
			return false;
	}
	*id = (uint32_t)value;
	return true;
}

static void fill_user(struct user *user, const struct record *r, uint32_t uid)
{
	uint32_t gid;
	user->uid = uid;
	user->gid = r->fields > 3 && parse_id(r->field[3], &gid) ? gid : uid;
	copy_string(user->name, sizeof user->name, r->field[0]);
	copy_string(user->home, sizeof user->home, r->fields > 5 && r->field[5][0] == '/' ? r->field[5] : "/");
	copy_string(user->shell, sizeof user->shell, r->fields > 6 && r->field[6][0] ? r->field[6] : "/bin/sh");
}

/* Finds a record by name, or else by number. */
static bool passwd_find(const char *name, bool numeric, uint32_t wanted, struct user *user)
{
	struct record r;
	bool found = false;
	if (!open_records("/etc/passwd", &r))
		return false;
	while (!found && next_record(&r)) {
		uint32_t uid;
		if (!parse_id(r.field[2], &uid))
			continue;
		if ((name && strcmp(r.field[0], name) == 0) || (numeric && uid == wanted)) {
			fill_user(user, &r, uid);
			found = true;
		}
	}
	close_records(&r);
	return found;
}

bool user_find(const char *name, struct user *user, struct result *result)
{
	char standard[MAX_USER_BYTES + 1];
	if (!*name) {
		settings_default_user(standard, sizeof standard);
		name = standard;
	}
	uint32_t uid = 0;
	bool numeric = parse_id(name, &uid);
	if (passwd_find(name, numeric, uid, user))
		return true;
	/* root and plain numbers work without any passwd file. */
	if (!numeric && strcmp(name, "root") != 0) {
		result_fail(result, RESULT_UNKNOWN_USER, 0, "invalid username: '%s'", name);
		return false;
	}
	user->uid = user->gid = uid;
	copy_string(user->name, sizeof user->name, name);
	copy_string(user->home, sizeof user->home, numeric && uid ? "/" : "/root");
	copy_string(user->shell, sizeof user->shell, "/bin/sh");
	return true;
}

static bool lists_member(const char *members, const char *name)
{
	size_t length = strlen(name);
	while (*members) {
		size_t n = strcspn(members, ",");
		if (n == length && memcmp(members, name, n) == 0)
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

int user_groups(const struct user *user, gid_t *groups, int max)
{
	int count = 0;
	groups[count++] = user->gid;
	struct record r;
	if (!open_records("/etc/group", &r))
		return count;
	while (count < max && next_record(&r)) {
		uint32_t gid;
		if (r.fields > 3 && parse_id(r.field[2], &gid) && gid != user->gid && lists_member(r.field[3], user->name))
			groups[count++] = gid;
	}
	close_records(&r);
	return count;
}

bool group_find(const char *name, gid_t *gid)
{
	uint32_t number = 0;
	bool numeric = parse_id(name, &number);
	bool found = false;
	struct record r;
	bool there = open_records("/etc/group", &r);
	while (there && !found && next_record(&r)) {
		uint32_t id;
		if (strcmp(r.field[0], name) == 0 && parse_id(r.field[2], &id)) {
			*gid = id;
			found = true;
		}
	}
	if (there)
		close_records(&r);
	if (!found && numeric) {
		*gid = number;
		found = true;
	}
	return found;
}

static void name_of(const char *path, uint32_t id, char *out, size_t size)
{
	struct record r;
	bool there = open_records(path, &r);
	bool found = false;
	while (there && !found && next_record(&r)) {
		uint32_t have;
		if (parse_id(r.field[2], &have) && have == id) {
			copy_string(out, size, r.field[0]);
			found = true;
		}
	}
	if (there)
		close_records(&r);
	if (!found)
		snprintf(out, size, "%u", id);
}

static const char *remember(struct owner_name *list, unsigned *next, const char *path, uint32_t id)
{
	for (int i = 0; i < 8; i++)
		if (list[i].known && list[i].id == id)
			return list[i].name;
	struct owner_name *slot = &list[*next];
	*next = (*next + 1) % 8;
	slot->id = id;
	slot->known = true;
	name_of(path, id, slot->name, sizeof slot->name);
	return slot->name;
}

const char *owner_user(struct owner_names *names, uid_t uid)
{
	return remember(names->users, &names->next_user, "/etc/passwd", uid);
}

const char *owner_group(struct owner_names *names, gid_t gid)
{
	return remember(names->groups, &names->next_group, "/etc/group", gid);
}
