/* DIR_LIST: sorted, depth first, a level of open directory for each level of depth. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

/* Paths end at MAX_PATH_BYTES, so deeper levels than this have no name. */
#define MAX_LEVELS (MAX_PATH_BYTES / 2)
/* Names held at a time, over all levels of one listing. */
#define MAX_NAME_BYTES (64u << 20)
/* Entries per step, so that a long listing shares its thread. */
#define ENTRIES_PER_STEP 128

struct level {
	struct level *up;
	int fd;
	size_t path_length;      /* of the directory's own path */
	char *names;             /* terminated strings, one after the other */
	size_t names_bytes;
	char **sorted;
	uint32_t count;
	uint32_t next;
};

struct list_job {
	struct file_job file;
	uint32_t depth;
	bool opened;
	struct level *top;
	uint32_t levels;
	size_t names_bytes;
	char path[MAX_PATH_BYTES + 258];
};

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void level_free(struct list_job *list, struct level *level)
{
	list->names_bytes -= level->names_bytes;
	list->levels--;
	if (level->fd >= 0)
		close(level->fd);
	free(level->names);
	free(level->sorted);
	free(level);
}

/* Adds one name; 0 or an errno. */
static int add_name(struct list_job *list, struct level *level, size_t *capacity, const char *name)
{
	size_t bytes = strlen(name) + 1;
	if (list->names_bytes + bytes > MAX_NAME_BYTES)
		return ENOMEM;
	if (level->names_bytes + bytes > *capacity) {
		size_t wanted = *capacity ? *capacity * 2 : 4096;
		char *grown = realloc(level->names, wanted);
		if (!grown)
			return ENOMEM;
		level->names = grown;
		*capacity = wanted;
	}
	memcpy(level->names + level->names_bytes, name, bytes);
	level->names_bytes += bytes;
	list->names_bytes += bytes;
	level->count++;
	return 0;
}

static int read_names(struct list_job *list, struct level *level)
{
	size_t capacity = 0;
	int error = 0;
	int fd = dup(level->fd);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	if (!directory) {
		error = errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	const struct dirent *entry;
	while (!error && (errno = 0, entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = add_name(list, level, &capacity, entry->d_name);
	if (!error)
		error = errno;
	closedir(directory);
	if (error || !level->count)
		return error;
	level->sorted = malloc(level->count * sizeof *level->sorted);
	if (!level->sorted)
		return ENOMEM;
	char *at = level->names;
	for (uint32_t i = 0; i < level->count; i++, at += strlen(at) + 1)
		level->sorted[i] = at;
	qsort(level->sorted, level->count, sizeof *level->sorted, compare);
	return 0;
}

/* Enters a directory (owning fd), whose path is list->path; 0 or an errno. */
static int push(struct list_job *list, int fd)
{
	struct level *level = calloc(1, sizeof *level);
	if (!level) {
		close(fd);
		return ENOMEM;
	}
	level->fd = fd;
	level->up = list->top;
	level->path_length = strlen(list->path);
	list->top = level;
	list->levels++;
	return read_names(list, level);
}

static enum job_next open_root(struct list_job *list)
{
	struct file_job *file = &list->file;
	if (!file_job_resolve(file))
		return JOB_DONE;
	copy_string(list->path, sizeof list->path, file->path);
	int fd = open(file->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return job_fail(&file->job, errno, file->path);
	list->opened = true;
	int error = push(list, fd);
	return error ? job_fail(&file->job, error, file->path) : JOB_MORE;
}

/* A shortage of the agent's own: the listing cannot go on without memory and descriptors. */
static bool is_shortage(int error) { return error == ENOMEM || error == EMFILE || error == ENFILE; }

/* Sends the next entry of the innermost level; 0 or an errno. */
static int list_next(struct list_job *list)
{
	struct level *level = list->top;
	const char *name = level->sorted[level->next++];
	struct stat status;
	size_t length = level->path_length;
	if (length + 1 + strlen(name) > MAX_PATH_BYTES)
		return 0;
	list->path[length] = 0;
	if (length > 1)
		list->path[length++] = '/';
	copy_string(list->path + length, sizeof list->path - length, name);
	struct packet *packet = entry_message_at(level->fd, name, list->path, &list->file.names);
	if (!packet && errno == ENOENT)
		/* Gone since the names were read. */
		return 0;
	if (!packet && !is_shortage(errno))
		packet = entry_message_unknown(list->path);
	if (!packet)
		return errno;
	if (!job_send(&list->file.job, packet))
		return ENOMEM;
	if (list->levels >= list->depth || list->levels >= MAX_LEVELS ||
	    fstatat(level->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode))
		return 0;
	int fd = openat(level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return is_shortage(errno) ? errno : 0;
	int error = push(list, fd);
	if (!error || is_shortage(error))
		return error;
	/* Its content stays unknown; the rest of the listing does not depend on it. */
	list->top->count = 0;
	return 0;
}

static enum job_next step(struct job *job)
{
	struct list_job *list = container_of(job, struct list_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (!list->opened) {
		enum job_next next = open_root(list);
		if (next == JOB_DONE)
			return next;
	}
	for (int i = 0; i < ENTRIES_PER_STEP; i++) {
		while (list->top && list->top->next == list->top->count) {
			struct level *done = list->top;
			list->top = done->up;
			level_free(list, done);
		}
		if (!list->top)
			return job_ok(job);
		if (!job_message_room(job))
			return JOB_WAIT;
		int error = list_next(list);
		if (error)
			return job_fail(job, error, list->path);
	}
	return JOB_MORE;
}

static void dispose(struct job *job)
{
	struct list_job *list = container_of(job, struct list_job, file.job);
	while (list->top) {
		struct level *done = list->top;
		list->top = done->up;
		level_free(list, done);
	}
	file_job_dispose(job);
}

static const struct job_ops ops = { .lane = LANE_FILES, .step = step, .dispose = dispose };

void directory_list(struct stream *stream, struct reader *arguments)
{
	struct list_job *list = file_job_new(sizeof *list, &ops, stream, arguments);
	if (!list)
		return;
	list->depth = read_u32(&list->file.reader);
	if (!list->depth)
		list->depth = 1;
	file_job_start(&list->file, stream);
}
