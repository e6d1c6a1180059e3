#include "file.h"

#include <errno.h>
#include <stdlib.h>

void file_job_dispose(struct job *job)
{
	struct file_job *file = (struct file_job *)job;
	free(file->arguments);
}

void *file_job_new(size_t size, const struct job_ops *ops, struct stream *stream, struct reader *arguments)
{
	size_t length = (size_t)(arguments->end - arguments->at);
	struct file_job *file = job_new(size, ops);
	if (file)
		file->arguments = malloc(length + 1);
	if (!file || !file->arguments) {
		free(file);
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return NULL;
	}
	memcpy(file->arguments, arguments->at, length);
	file->reader = reader_over(file->arguments, length);
	file->user_name = read_string(&file->reader, MAX_USER_BYTES);
	file->request_path = read_string(&file->reader, MAX_PATH_BYTES);
	return file;
}

void file_job_start(struct file_job *file, struct stream *stream)
{
	if (reader_done(&file->reader)) {
		job_start(&file->job, stream);
		return;
	}
	file->job.ops->dispose(&file->job);
	free(file);
	stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
}

bool file_job_expand(struct file_job *file, const char *path, char out[MAX_PATH_BYTES + 1])
{
	if (path_expand(path, file->user.home, out, MAX_PATH_BYTES + 1))
		return true;
	result_errno(&file->job.result, ENAMETOOLONG, path);
	return false;
}

bool file_job_resolve(struct file_job *file)
{
	if (file->resolved)
		return true;
	if (!user_find(file->user_name, &file->user, &file->job.result) ||
	    !file_job_expand(file, file->request_path, file->path))
		return false;
	file->resolved = true;
	return true;
}

enum job_next file_job_entry(struct file_job *file, const char *path)
{
	struct packet *packet = entry_message(path, &file->names);
	if (!packet)
		return job_fail(&file->job, errno, path);
	return job_send(&file->job, packet) ? job_ok(&file->job) : JOB_DONE;
}
