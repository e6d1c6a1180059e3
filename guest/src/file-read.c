/* FILE_READ: as fast as the stream's credit allows, one chunk per step. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

struct read_job {
	struct file_job file;
	int fd;
	uint64_t offset;
	uint64_t left;
};

static enum job_next open_file(struct read_job *reading)
{
	struct file_job *file = &reading->file;
	struct stat status;
	if (!file_job_resolve(file))
		return JOB_DONE;
	/* O_NONBLOCK: a FIFO or a device must not hold the thread. */
	reading->fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (reading->fd < 0 || fstat(reading->fd, &status) < 0)
		return job_fail(&file->job, errno, file->path);
	if (S_ISDIR(status.st_mode))
		return job_fail(&file->job, EISDIR, file->path);
	if (!S_ISREG(status.st_mode)) {
		result_fail(&file->job.result, RESULT_INVALID_ARGUMENT, 0, "%s: not a regular file", file->path);
		return JOB_DONE;
	}
	struct packet *entry = entry_message(file->path, &file->names);
	if (!entry)
		return job_fail(&file->job, errno, file->path);
	return job_send(&file->job, entry) ? JOB_MORE : JOB_DONE;
}

static enum job_next step(struct job *job)
{
	struct read_job *reading = container_of(job, struct read_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (reading->fd < 0) {
		enum job_next next = open_file(reading);
		if (next == JOB_DONE)
			return next;
	}
	uint32_t room;
	while ((room = job_room(job)) > 0 || reading->left == 0) {
		uint32_t want = reading->left < room ? (uint32_t)reading->left : room;
		ssize_t n = 0;
		if (want) {
			struct packet *packet = packet_new(FRAME_DATA, PACKET_CHUNK);
			if (!packet)
				return job_fail(job, ENOMEM, reading->file.path);
			n = pread(reading->fd, packet->data, want, (off_t)reading->offset);
			int error = errno;
			if (n <= 0)
				packet_free(packet);
			if (n < 0)
				return job_fail(job, error, reading->file.path);
			if (n > 0) {
				packet->length = (uint32_t)n;
				job_send(job, packet);
				reading->offset += (uint64_t)n;
				reading->left -= (uint64_t)n;
			}
		}
		if (n == 0) {
			struct packet *end = packet_new(FRAME_END, 0);
			return job_send(job, end) ? job_ok(job) : JOB_DONE;
		}
	}
	return JOB_WAIT;
}

static void dispose(struct job *job)
{
	struct read_job *reading = container_of(job, struct read_job, file.job);
	if (reading->fd >= 0)
		close(reading->fd);
	file_job_dispose(job);
}

static const struct job_ops ops = { .lane = LANE_FILES, .step = step, .dispose = dispose };

void file_read(struct stream *stream, struct reader *arguments)
{
	struct read_job *reading = file_job_new(sizeof *reading, &ops, stream, arguments);
	if (!reading)
		return;
	reading->fd = -1;
	reading->offset = read_u64(&reading->file.reader);
	reading->left = read_u64(&reading->file.reader);
	if (reading->offset > INT64_MAX)
		reading->file.reader.bad = true;
	file_job_start(&reading->file, stream);
}
