#include "etc-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DIRECTORY_BYTES 64u
/* One name for each file, because one thread writes them: a file left by a power cut is written over. */
#define TEMPORARY_PREFIX ".dormouse-"

static int read_all(int fd, struct etc_file *file)
{
	size_t capacity = (size_t)file->status.st_size + 1;
	while (file->length <= MAX_ETC_FILE_BYTES) {
		if (!file->text || file->length + 1 >= capacity) {
			capacity = file->text ? capacity * 2 : capacity + 1;
			char *grown = realloc(file->text, capacity);
			if (!grown)
				return ENOMEM;
			file->text = grown;
		}
		ssize_t n = read(fd, file->text + file->length, capacity - 1 - file->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0) {
			file->text[file->length] = 0;
			return 0;
		}
		file->length += (size_t)n;
	}
	return EFBIG;
}

static int read_file(int root, const char *path, int flags, struct etc_file *file)
{
	*file = (struct etc_file){ 0 };
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	int fd = openat(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	int error = fd < 0 ? errno : 0;
	if (error == ENOENT || error == ENXIO) {
		struct stat status;
		if (fstatat(root, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
			return S_ISLNK(status.st_mode) ? ELOOP : EINVAL;
		file->text = calloc(1, 1);
		return file->text ? 0 : ENOMEM;
	}
	if (error)
		return error;
	if (fstat(fd, &file->status) < 0)
		error = errno;
	else if (S_ISDIR(file->status.st_mode))
		error = EISDIR;
	else if (!S_ISREG(file->status.st_mode))
		error = EINVAL;
	else if (file->status.st_size > (off_t)MAX_ETC_FILE_BYTES)
		error = EFBIG;
	else
		error = read_all(fd, file);
	close(fd);
	if (error) {
		free(file->text);
		file->text = NULL;
	}
	file->exists = true;
	return error;
}

int etc_file_read(int root, const char *path, struct etc_file *file) { return read_file(root, path, O_NOFOLLOW, file); }
int etc_file_read_target(int root, const char *path, struct etc_file *file) { return read_file(root, path, 0, file); }

static int write_all(int fd, const char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		ssize_t n = write(fd, text + at, length - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		at += (size_t)n;
	}
	return 0;
}

static int write_temporary(int directory, const char *name, const struct etc_file *was, const char *text, size_t length,
			   mode_t mode)
{
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return errno;
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	int error = write_all(fd, text, length);
	if (!error && was->exists && fchown(fd, was->status.st_uid, was->status.st_gid) < 0)
		error = errno;
	if (!error && fchmod(fd, was->exists ? was->status.st_mode & 07777 : mode) < 0)
		error = errno;
	if (!error && fsync(fd) < 0)
		error = errno;
	if (close(fd) < 0 && !error)
		error = errno;
	return error;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether the file is still the one that was read, with the same content. */
static bool unchanged(int directory, const char *name, const struct etc_file *was)
{
	struct stat now;
	if (fstatat(directory, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && !was->exists;
	/* A link whose target was read is replaced itself. */
	if (S_ISLNK(now.st_mode))
		return true;
	return was->exists && now.st_dev == was->status.st_dev && now.st_ino == was->status.st_ino &&
	       now.st_size == was->status.st_size && same_time(&now.st_mtim, &was->status.st_mtim) &&
	       same_time(&now.st_ctim, &was->status.st_ctim);
}

int etc_file_replace(int root, const char *path, const struct etc_file *was, const char *text, size_t length, mode_t mode)
{
	char parent[MAX_DIRECTORY_BYTES];
	char temporary[MAX_DIRECTORY_BYTES + sizeof TEMPORARY_PREFIX];
	const char *slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) >= sizeof parent || strlen(slash + 1) >= MAX_DIRECTORY_BYTES)
		return EINVAL;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = 0;
	const char *name = slash + 1;
	snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%s", name);
	if (mkdirat(root, parent, 0755) < 0 && errno != EEXIST)
		return errno;
	int directory = openat(root, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return errno;
	int error = write_temporary(directory, temporary, was, text, length, mode);
	if (!error && !unchanged(directory, name, was))
		error = EAGAIN;
	if (!error && renameat(directory, temporary, directory, name) < 0)
		error = errno;
	if (error)
		unlinkat(directory, temporary, 0);
	close(directory);
	return error;
}
