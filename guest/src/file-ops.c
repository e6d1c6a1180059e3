/* The operations on one file that end with its ENTRY. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

struct simple_job {
	struct file_job file;
	const char *text;        /* the second path, or a symlink's target */
	uint32_t mode;
	uint8_t parents;
	char other[MAX_PATH_BYTES + 1];
};

static struct simple_job *simple(struct job *job) { return container_of(job, struct simple_job, file.job); }

static enum job_next stat_step(struct job *job)
{
	struct file_job *file = &simple(job)->file;
	return file_job_resolve(file) ? file_job_entry(file, file->path) : JOB_DONE;
}

static enum job_next make_step(struct job *job)
{
	struct simple_job *s = simple(job);
	struct file_job *file = &s->file;
	struct stat status;
	if (!file_job_resolve(file))
		return JOB_DONE;
	if (s->parents) {
		int error = path_make_parents(file->path, &file->user);
		if (error)
			return job_fail(job, error, file->path);
	}
	mode_t mode = s->mode ? s->mode & 07777 : 0755;
	if (mkdir(file->path, mode) < 0) {
		int error = errno;
		if (error == EEXIST && stat(file->path, &status) == 0 && !S_ISDIR(status.st_mode))
			error = ENOTDIR;
		return job_fail(job, error, file->path);
	}
	if (lchown(file->path, file->user.uid, file->user.gid) < 0 && geteuid() == 0)
		return job_fail(job, errno, file->path);
	if (mode & 07000)
		chmod(file->path, mode);
	return file_job_entry(file, file->path);
}

static enum job_next rename_step(struct job *job)
{
	struct simple_job *s = simple(job);
	struct file_job *file = &s->file;
	struct stat status;
	if (!file_job_resolve(file) || !file_job_expand(file, s->text, s->other))
		return JOB_DONE;
	/* Parents of a rename that cannot succeed would be left behind. */
	if (lstat(file->path, &status) < 0)
		return job_fail(job, errno, file->path);
	int error = path_make_parents(s->other, &file->user);
	if (error)
		return job_fail(job, error, s->other);
	if (rename(file->path, s->other) < 0)
		return job_fail(job, errno, s->other);
	return file_job_entry(file, s->other);
}

static enum job_next chmod_step(struct job *job)
{
	struct simple_job *s = simple(job);
	if (!file_job_resolve(&s->file))
		return JOB_DONE;
	if (chmod(s->file.path, s->mode & 07777) < 0)
		return job_fail(job, errno, s->file.path);
	return file_job_entry(&s->file, s->file.path);
}

static enum job_next symlink_step(struct job *job)
{
	struct simple_job *s = simple(job);
	struct file_job *file = &s->file;
	/* The target comes first on the wire, so it sits where other operations have their path. */
	const char *target = file->request_path;
	if (!user_find(file->user_name, &file->user, &job->result) || !file_job_expand(file, s->text, file->path))
		return JOB_DONE;
	if (symlink(target, file->path) < 0)
		return job_fail(job, errno, file->path);
	if (lchown(file->path, file->user.uid, file->user.gid) < 0 && geteuid() == 0)
		return job_fail(job, errno, file->path);
	return file_job_entry(file, file->path);
}

#define OPS(function) { .lane = LANE_FILES, .step = function, .dispose = file_job_dispose }
static const struct job_ops stat_ops = OPS(stat_step);
static const struct job_ops make_ops = OPS(make_step);
static const struct job_ops rename_ops = OPS(rename_step);
static const struct job_ops chmod_ops = OPS(chmod_step);
static const struct job_ops symlink_ops = OPS(symlink_step);

void file_stat(struct stream *stream, struct reader *arguments)
{
	struct simple_job *s = file_job_new(sizeof *s, &stat_ops, stream, arguments);
	if (s)
		file_job_start(&s->file, stream);
}

void directory_make(struct stream *stream, struct reader *arguments)
{
	struct simple_job *s = file_job_new(sizeof *s, &make_ops, stream, arguments);
	if (!s)
		return;
	s->mode = read_u32(&s->file.reader);
	s->parents = read_u8(&s->file.reader);
	file_job_start(&s->file, stream);
}

static void start_with_text(const struct job_ops *ops, struct stream *stream, struct reader *arguments)
{
	struct simple_job *s = file_job_new(sizeof *s, ops, stream, arguments);
	if (!s)
		return;
	s->text = read_string(&s->file.reader, MAX_PATH_BYTES);
	file_job_start(&s->file, stream);
}

void file_rename(struct stream *stream, struct reader *arguments) { start_with_text(&rename_ops, stream, arguments); }
void file_symlink(struct stream *stream, struct reader *arguments) { start_with_text(&symlink_ops, stream, arguments); }

void file_chmod(struct stream *stream, struct reader *arguments)
{
	struct simple_job *s = file_job_new(sizeof *s, &chmod_ops, stream, arguments);
	if (!s)
		return;
	s->mode = read_u32(&s->file.reader);
	file_job_start(&s->file, stream);
}
