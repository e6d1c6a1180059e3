/* FILE_WRITE: straight into the file as bytes arrive. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

#define DEFAULT_MODE 0644u
/* As the kernel has it. */
#define MAX_LINKS 40

struct write_job {
	struct file_job file;
	int fd;
	uint32_t flags;
	uint32_t mode;
	uint64_t offset;
};

/* Puts what the link `path` says in its place; false with errno: it is none, or too long. */
static bool follow(char path[MAX_PATH_BYTES + 1])
{
	char target[MAX_PATH_BYTES + 1];
	ssize_t n = readlink(path, target, sizeof target);
	if (n < 0)
		return false;
	char *slash = strrchr(path, '/');
	size_t directory = target[0] == '/' || !slash ? 0 : (size_t)(slash + 1 - path);
	if (directory + (size_t)n > MAX_PATH_BYTES) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(path + directory, target, (size_t)n);
	path[directory + (size_t)n] = 0;
	return true;
}

/*
 * Opens the file and says whether this call has made it: a file that existed
 * keeps its owner. -1 with errno. A symbolic link whose target does not exist is
 * followed link by link, since O_CREAT alone does not say whether it made a file.
 */
static int open_or_create(const char *name, int flags, mode_t mode, bool *created)
{
	char path[MAX_PATH_BYTES + 1];
	int links = 0;
	*created = false;
	copy_string(path, sizeof path, name);
	/* A file may come and go between any two of these calls. */
	for (int attempt = 0; attempt < 2 * MAX_LINKS; attempt++) {
		int fd = open(path, flags | O_CREAT | O_EXCL, mode);
		if (fd >= 0) {
			*created = true;
			return fd;
		}
		if (errno != EEXIST)
			return -1;
		fd = open(path, flags, mode);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		if (follow(path)) {
			if (++links > MAX_LINKS)
				break;
		} else if (errno != EINVAL && errno != ENOENT) {
			return -1;
		}
	}
	errno = ELOOP;
	return -1;
}

static enum job_next open_file(struct write_job *writing)
{
	struct file_job *file = &writing->file;
	struct stat status;
	bool created;
	if (!file_job_resolve(file))
		return JOB_DONE;
	if (writing->flags & WRITE_PARENTS) {
		int error = path_make_parents(file->path, &file->user);
		if (error)
			return job_fail(&file->job, error, file->path);
	}
	int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	if (writing->flags & WRITE_APPEND)
		flags |= O_APPEND;
	else if (!(writing->flags & WRITE_AT_OFFSET))
		flags |= O_TRUNC;
	mode_t mode = writing->mode ? writing->mode & 07777 : DEFAULT_MODE;
	writing->fd = open_or_create(file->path, flags, mode, &created);
	if (writing->fd < 0 || fstat(writing->fd, &status) < 0)
		return job_fail(&file->job, errno, file->path);
	if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode)) {
		result_fail(&file->job.result, RESULT_INVALID_ARGUMENT, 0, "%s: not a regular file", file->path);
		return JOB_DONE;
	}
	if (created && fchown(writing->fd, file->user.uid, file->user.gid) < 0 && geteuid() == 0)
		return job_fail(&file->job, errno, file->path);
	/* Changing the owner clears set-id bits, so those come last. */
	if (created && (mode & 07000))
		fchmod(writing->fd, mode);
	if ((writing->flags & WRITE_AT_OFFSET) && lseek(writing->fd, (off_t)writing->offset, SEEK_SET) < 0)
		return job_fail(&file->job, errno, file->path);
	return JOB_MORE;
}

/* Closed before the host gets its answer: it may execute the file at once. */
static enum job_next finish_file(struct write_job *writing)
{
	int fd = writing->fd;
	writing->fd = -1;
	if (close(fd) < 0 && errno != EINTR)
		return job_fail(&writing->file.job, errno, writing->file.path);
	return file_job_entry(&writing->file, writing->file.path);
}

static enum job_next step(struct job *job)
{
	struct write_job *writing = container_of(job, struct write_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (writing->fd < 0) {
		enum job_next next = open_file(writing);
		if (next == JOB_DONE)
			return next;
	}
	bool ended;
	struct packet *packet = job_receive(job, &ended);
	if (!packet && ended)
		return finish_file(writing);
	if (!packet)
		return JOB_WAIT;
	while (packet->offset < packet->length) {
		ssize_t n = write(writing->fd, packet->data + packet->offset, packet->length - packet->offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int error = n < 0 ? errno : EIO;
			packet_free(packet);
			return job_fail(job, error, writing->file.path);
		}
		packet->offset += (uint32_t)n;
	}
	job_received(job, packet);
	return JOB_MORE;
}

static void dispose(struct job *job)
{
	struct write_job *writing = container_of(job, struct write_job, file.job);
	if (writing->fd >= 0)
		close(writing->fd);
	file_job_dispose(job);
}

static const struct job_ops ops = { .lane = LANE_FILES, .step = step, .dispose = dispose };

void file_write(struct stream *stream, struct reader *arguments)
{
	struct write_job *writing = file_job_new(sizeof *writing, &ops, stream, arguments);
	if (!writing)
		return;
	struct reader *r = &writing->file.reader;
	writing->fd = -1;
	writing->flags = read_u32(r);
	writing->mode = read_u32(r);
	writing->offset = read_u64(r);
	if (writing->offset > INT64_MAX || (writing->flags & ~(WRITE_PARENTS | WRITE_APPEND | WRITE_AT_OFFSET)))
		r->bad = true;
	file_job_start(&writing->file, stream);
}
