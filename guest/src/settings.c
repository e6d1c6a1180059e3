#include "settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "wire.h"

bool settings_own_machine;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char default_user[MAX_USER_BYTES + 1] = "root";
static char workdir[MAX_PATH_BYTES + 1];
static struct environment environment;

static void copy_out(char *out, size_t size, const char *from)
{
	pthread_mutex_lock(&lock);
	copy_string(out, size, from);
	pthread_mutex_unlock(&lock);
}

void settings_default_user(char *out, size_t size) { copy_out(out, size, default_user); }
void settings_workdir(char *out, size_t size) { copy_out(out, size, workdir); }

void settings_set_user(const char *user)
{
	pthread_mutex_lock(&lock);
	copy_string(default_user, sizeof default_user, user);
	pthread_mutex_unlock(&lock);
}

void settings_set_workdir(const char *path)
{
	pthread_mutex_lock(&lock);
	copy_string(workdir, sizeof workdir, path);
	pthread_mutex_unlock(&lock);
}

bool environment_same_name(const char *a, const char *b)
{
	size_t name = strcspn(a, "=");
	return strncmp(a, b, name) == 0 && (b[name] == '=' || b[name] == 0);
}

static void append(struct environment *to, const char *s)
{
	size_t bytes = strlen(s) + 1;
	memcpy(to->strings + to->bytes, s, bytes);
	to->bytes += bytes;
	to->count++;
}

bool settings_merge_environment(char *const *list, uint32_t count, bool replace)
{
	size_t bytes = replace ? 0 : environment.bytes;
	for (uint32_t i = 0; i < count; i++)
		bytes += strlen(list[i]) + 1;
	if (bytes > MAX_ENVIRONMENT_BYTES)
		return false;
	struct environment merged = { .strings = malloc(bytes + 1) };
	if (!merged.strings)
		return false;
	const char *old = environment.strings;
	for (uint32_t i = 0; !replace && i < environment.count; i++, old += strlen(old) + 1) {
		bool overridden = false;
		for (uint32_t j = 0; j < count && !overridden; j++)
			overridden = environment_same_name(list[j], old);
		if (!overridden)
			append(&merged, old);
	}
	for (uint32_t i = 0; i < count; i++)
		append(&merged, list[i]);
	free(environment.strings);
	environment = merged;
	return true;
}

const struct environment *settings_environment(void) { return &environment; }
