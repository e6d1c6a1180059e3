/*
 * DIR_WATCH: inotify on a worker, woken by the main loop. Kernel events are
 * looked at in the order they come; a directory that appears in a recursive
 * watch is watched and then read, so that nothing made in between is missed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

/* GCC 12's analyzer loses sight of strings stored in tables that were
 * reallocated; dispose() frees them. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"

#define MAX_WATCHES 8192
#define EVENTS_BYTES 16384
#define WATCHED (IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct watch {
	int descriptor;
	char *name;              /* relative to the watched directory, "" for itself */
};

struct watch_job {
	struct file_job file;
	uint8_t recursive;
	struct source source;    /* a duplicate for the main loop, which owns it */
	bool watching;           /* WATCHING has been sent */
	bool lost;               /* an overflow has to be reported */
	int fd;
	struct watch *watches;
	int count;
	int capacity;
	char **to_scan;          /* directories (relative) still to be watched and read */
	int scan_count;
	int scan_capacity;
	DIR *reading;            /* a directory that is watched by now, and its name */
	char *reading_name;
	uint32_t events_at, events_length;
	_Alignas(struct inotify_event) char events[EVENTS_BYTES];
};

static bool full_path(const struct watch_job *w, const char *name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", w->file.path, *name && strcmp(w->file.path, "/") != 0 ? "/" : "", name);
	return n >= 0 && (size_t)n < size;
}

static bool join(const char *directory, const char *name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", directory, *directory && *name ? "/" : "", name);
	return n >= 0 && (size_t)n < size;
}

static void changed(struct watch_job *w, enum change_kind kind, const char *name)
{
	if (!w->watching)
		return;
	struct message message = message_begin(MESSAGE_CHANGED, (uint32_t)(5 + strlen(name)));
	write_u8(&message.body, (uint8_t)kind);
	write_string(&message.body, name);
	struct packet *packet = message_finish(&message);
	if (packet)
		job_send(&w->file.job, packet);
	else
		w->lost = true;
}

static bool queue_scan(struct watch_job *w, const char *name)
{
	if (w->scan_count == w->scan_capacity) {
		if (w->scan_capacity >= MAX_WATCHES)
			return false;
		int wanted = w->scan_capacity ? w->scan_capacity * 2 : 16;
		char **grown = realloc(w->to_scan, (size_t)wanted * sizeof *grown);
		if (!grown)
			return false;
		w->to_scan = grown;
		w->scan_capacity = wanted;
	}
	w->to_scan[w->scan_count] = strdup(name);
	if (!w->to_scan[w->scan_count])
		return false;
	w->scan_count++;
	return true;
}

/* 0 or an errno. Descriptors are handed out in rising order, so the table stays sorted. */
static int add_watch(struct watch_job *w, const char *name)
{
	char path[MAX_PATH_BYTES + 512];
	if (!full_path(w, name, path, sizeof path))
		return ENAMETOOLONG;
	if (w->count == MAX_WATCHES)
		return ENOSPC;
	int descriptor = inotify_add_watch(w->fd, path, WATCHED | (*name ? IN_DONT_FOLLOW : 0));
	if (descriptor < 0)
		return errno;
	if (w->count && w->watches[w->count - 1].descriptor >= descriptor)
		return EEXIST;
	if (w->count == w->capacity) {
		int wanted = w->capacity ? w->capacity * 2 : 16;
		struct watch *grown = realloc(w->watches, (size_t)wanted * sizeof *grown);
		if (!grown)
			return ENOMEM;
		w->watches = grown;
		w->capacity = wanted;
	}
	struct watch *watch = &w->watches[w->count];
	watch->descriptor = descriptor;
	watch->name = strdup(name);
	if (!watch->name)
		return ENOMEM;
	w->count++;
	return 0;
}

static int find_watch(const struct watch_job *w, int descriptor)
{
	int low = 0;
	int high = w->count - 1;
	while (low <= high) {
		int middle = (low + high) / 2;
		if (w->watches[middle].descriptor == descriptor)
			return middle;
		if (w->watches[middle].descriptor < descriptor)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

static void drop_watch(struct watch_job *w, int index)
{
	free(w->watches[index].name);
	memmove(&w->watches[index], &w->watches[index + 1], (size_t)(w->count - index - 1) * sizeof *w->watches);
	w->count--;
}

/* A directory moved away takes its watches along: they would report under a name that is no more. */
static void forget_below(struct watch_job *w, const char *name)
{
	size_t length = strlen(name);
	for (int i = w->count - 1; i > 0; i--) {
		const char *have = w->watches[i].name;
		if (strncmp(have, name, length) == 0 && (have[length] == 0 || have[length] == '/')) {
			inotify_rm_watch(w->fd, w->watches[i].descriptor);
			drop_watch(w, i);
		}
	}
}

static void end_reading(struct watch_job *w)
{
	if (w->reading)
		closedir(w->reading);
	free(w->reading_name);
	w->reading = NULL;
	w->reading_name = NULL;
}

/* Takes over the name. */
static void begin_reading(struct watch_job *w, char *name)
{
	char path[MAX_PATH_BYTES + 512];
	w->reading_name = name;
	w->reading = full_path(w, name, path, sizeof path) ? opendir(path) : NULL;
	if (!w->reading)
		end_reading(w);
}

/* One entry of a directory that is watched by now: directories are next, and
 * what is in it counts as created when the watch was running already. */
static void read_entry(struct watch_job *w)
{
	char relative[MAX_PATH_BYTES + 512];
	struct stat status;
	const struct dirent *entry = readdir(w->reading);
	if (!entry) {
		end_reading(w);
		return;
	}
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
	    !join(w->reading_name, entry->d_name, relative, sizeof relative))
		return;
	changed(w, CHANGE_CREATE, relative);
	bool is_directory = entry->d_type == DT_DIR;
	if (entry->d_type == DT_UNKNOWN)
		is_directory = fstatat(dirfd(w->reading), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
	if (is_directory && !queue_scan(w, relative))
		w->lost = true;
}

/* 0 or an errno that matters. */
static int scan_next(struct watch_job *w)
{
	char *name = w->to_scan[--w->scan_count];
	int error = add_watch(w, name);
	bool top = !*name;
	if (!error && w->recursive)
		begin_reading(w, name);
	else
		free(name);
	if (!error || top)
		return error;
	if (error == ENOSPC || error == ENOMEM) {
		if (!w->watching)
			return error;
		w->lost = true;
	}
	/* Gone again, or watched already. */
	return 0;
}

static void take_event(struct watch_job *w, const struct inotify_event *event)
{
	char name[MAX_PATH_BYTES + 512];
	if (event->mask & IN_Q_OVERFLOW) {
		w->lost = true;
		return;
	}
	int index = find_watch(w, event->wd);
	if (index < 0)
		return;
	if (event->mask & IN_IGNORED) {
		drop_watch(w, index);
		return;
	}
	bool top = !w->watches[index].name[0];
	if (!join(w->watches[index].name, event->len ? event->name : "", name, sizeof name))
		return;
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
		/* Of others than the top, the directory above has told already. */
		if (top)
			changed(w, event->mask & IN_DELETE_SELF ? CHANGE_REMOVE : CHANGE_RENAME, ".");
		return;
	}
	/* An attribute of a watched directory is reported by the directory above as well. */
	if ((event->mask & IN_ATTRIB) && !event->len && !top)
		return;
	const char *shown = *name ? name : ".";
	bool directory = event->mask & IN_ISDIR;
	if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
		changed(w, CHANGE_CREATE, shown);
		if (directory && w->recursive && !queue_scan(w, name))
			w->lost = true;
	} else if (event->mask & IN_MODIFY) {
		changed(w, CHANGE_WRITE, shown);
	} else if (event->mask & IN_DELETE) {
		changed(w, CHANGE_REMOVE, shown);
	} else if (event->mask & IN_MOVED_FROM) {
		changed(w, CHANGE_RENAME, shown);
		if (directory && w->recursive)
			forget_below(w, name);
	} else if (event->mask & IN_ATTRIB) {
		changed(w, CHANGE_CHMOD, shown);
	}
}

/* One event, or more events read; false when there are none for now. */
static bool next_event(struct watch_job *w)
{
	if (w->events_at >= w->events_length) {
		ssize_t n = read(w->fd, w->events, sizeof w->events);
		w->events_at = 0;
		w->events_length = n > 0 ? (uint32_t)n : 0;
		if (n <= 0)
			return false;
	}
	const struct inotify_event *event = (const void *)(w->events + w->events_at);
	w->events_at += (uint32_t)sizeof *event + event->len;
	take_event(w, event);
	return true;
}

static enum job_next begin(struct watch_job *w)
{
	struct stat status;
	struct job *job = &w->file.job;
	if (!file_job_resolve(&w->file))
		return JOB_DONE;
	if (stat(w->file.path, &status) < 0)
		return job_fail(job, errno, w->file.path);
	if (!S_ISDIR(status.st_mode))
		return job_fail(job, ENOTDIR, w->file.path);
	if (!queue_scan(w, ""))
		return job_fail(job, ENOMEM, w->file.path);
	return JOB_MORE;
}

static enum job_next step(struct job *job)
{
	struct watch_job *w = container_of(job, struct watch_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (!w->file.resolved) {
		enum job_next next = begin(w);
		if (next == JOB_DONE)
			return next;
	}
	for (int budget = 512; budget > 0; budget--) {
		/* Without room, directories wait to be read and events in the kernel, whose queue is bounded and tells when it ran over. */
		if (w->watching && !job_message_room(job))
			return JOB_WAIT;
		if (w->lost) {
			w->lost = false;
			changed(w, CHANGE_OVERFLOW, "");
		} else if (w->reading) {
			read_entry(w);
		} else if (w->scan_count) {
			int error = scan_next(w);
			if (error == ENOSPC) {
				result_fail(&job->result, RESULT_RESOURCE_EXHAUSTED, error, "%s: too many directories to watch", w->file.path);
				return JOB_DONE;
			}
			if (error)
				return job_fail(job, error, w->file.path);
		} else if (!w->watching) {
			struct message message = message_begin(MESSAGE_WATCHING, 0);
			if (!job_send(job, message_finish(&message)))
				return JOB_DONE;
			w->watching = true;
		} else if (!next_event(w)) {
			return JOB_WAIT;
		}
	}
	return JOB_MORE;
}

static void readable(struct source *source, uint32_t events)
{
	(void)events;
	job_wake(&container_of(source, struct watch_job, source)->file.job);
}

static void dispose(struct job *job)
{
	struct watch_job *w = container_of(job, struct watch_job, file.job);
	loop_close(&w->source);
	if (w->fd >= 0)
		close(w->fd);
	for (int i = 0; i < w->count; i++)
		free(w->watches[i].name);
	for (int i = 0; i < w->scan_count; i++)
		free(w->to_scan[i]);
	end_reading(w);
	free(w->watches);
	free(w->to_scan);
	file_job_dispose(job);
}

static const struct job_ops ops = { .lane = LANE_FILES, .step = step, .dispose = dispose };

void directory_watch(struct stream *stream, struct reader *arguments)
{
	struct watch_job *w = file_job_new(sizeof *w, &ops, stream, arguments);
	if (!w)
		return;
	w->recursive = read_u8(&w->file.reader);
	w->source.ready = readable;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->source.fd = w->fd >= 0 ? fcntl(w->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (w->source.fd < 0 || !loop_add(&w->source, EPOLLIN | EPOLLET)) {
		struct result result;
		result_errno(&result, errno, "inotify");
		dispose(&w->file.job);
		free(w);
		stream_close(stream, &result);
		return;
	}
	file_job_start(&w->file, stream);
}
