#include "settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
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

bool settings_merge_environment(char *const *list, uint32_t count, bool replace)
{
	uint32_t total = replace ? 0 : environment.count;
	char **all = malloc(((size_t)total + count + 1) * sizeof *all);
	if (!all)
		return false;
	char *old = environment.strings;
	for (uint32_t i = 0; i < total; i++, old += strlen(old) + 1)
		all[i] = old;
	if (count)
		memcpy(all + total, list, count * sizeof *all);
	total += count;
	bool merged = environment_unique(all, &total);
	size_t bytes = 0;
	for (uint32_t i = 0; merged && i < total; i++)
		bytes += strlen(all[i]) + 1;
	char *strings = merged && bytes <= MAX_ENVIRONMENT_BYTES ? malloc(bytes + 1) : NULL;
	if (strings) {
		char *at = strings;
		for (uint32_t i = 0; i < total; i++) {
			size_t length = strlen(all[i]) + 1;
			memcpy(at, all[i], length);
			at += length;
		}
		free(environment.strings);
		environment = (struct environment){ .strings = strings, .bytes = bytes, .count = total };
	}
	free(all);
	return strings;
}

const struct environment *settings_environment(void) { return &environment; }
