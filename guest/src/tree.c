/*
 * FILE_REMOVE and FILE_CHOWN over whole trees. One open directory at a time,
 * whatever the depth: the way back up is "..", checked against the directory
 * that was left, since the workload may move things meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

#define MAX_DEPTH 65536u
#define ENTRIES_PER_STEP 256

struct level {
	struct level *up;
	dev_t device;            /* of the directory, to know it again */
	ino_t inode;
	long resume;             /* where its reading goes on after a return to it */
	char name[256];          /* in the directory above; "" for the top */
};

struct tree_job {
	struct file_job file;
	bool removing;
	uint8_t recursive;
	const char *owner_name;
	const char *group_name;
	uid_t uid;
	gid_t gid;
	bool opened;
	DIR *directory;
	struct level *level;
	uint32_t depth;
};

/* Opens a directory below another, never through a symlink or into a mount. */
static int open_below(int directory, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	return (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
}

/* Makes an open directory the current one; 0 or an errno. Owns fd. */
static int enter(struct tree_job *tree, int fd)
{
	DIR *directory = fdopendir(fd);
	if (!directory) {
		int error = errno;
		close(fd);
		return error;
	}
	if (tree->directory)
		closedir(tree->directory);
	tree->directory = directory;
	return 0;
}

static int descend(struct tree_job *tree, int fd, const char *name)
{
	struct stat status;
	struct level *level = tree->depth < MAX_DEPTH ? calloc(1, sizeof *level) : NULL;
	if (!level || fstat(fd, &status) < 0) {
		int error = level ? errno : ENOMEM;
		free(level);
		close(fd);
		return error;
	}
	level->device = status.st_dev;
	level->inode = status.st_ino;
	copy_string(level->name, sizeof level->name, name);
	level->up = tree->level;
	tree->level = level;
	tree->depth++;
	return enter(tree, fd);
}

/* Back to the directory above, removing the one left; 0 or an errno. */
static int ascend(struct tree_job *tree)
{
	struct level *left = tree->level;
	struct stat status;
	char name[256];
	copy_string(name, sizeof name, left->name);
	tree->level = left->up;
	tree->depth--;
	free(left);
	if (!tree->level) {
		closedir(tree->directory);
		tree->directory = NULL;
		return 0;
	}
	int fd = openat(dirfd(tree->directory), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (fstat(fd, &status) < 0 || status.st_dev != tree->level->device || status.st_ino != tree->level->inode) {
		close(fd);
		return EBUSY;
	}
	int error = enter(tree, fd);
	if (error)
		return error;
	if (!tree->removing) {
		seekdir(tree->directory, tree->level->resume);
		return 0;
	}
	return unlinkat(dirfd(tree->directory), name, AT_REMOVEDIR) < 0 && errno != ENOENT ? errno : 0;
}

/* One entry of the current directory; 0 or an errno. */
static int visit(struct tree_job *tree, const char *name)
{
	int at = dirfd(tree->directory);
	if (tree->removing) {
		if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return errno;
	} else if (fchownat(at, name, tree->uid, tree->gid, AT_SYMLINK_NOFOLLOW) < 0) {
		return errno == ENOENT ? 0 : errno;
	}
	int cause = tree->removing ? errno : 0;
	int fd = open_below(at, name);
	if (fd < 0) {
		if (tree->removing)
			return errno == ENOTDIR || errno == ELOOP ? cause : errno;
		/* Not a directory, gone, or another file system: nothing more to do here. */
		return errno == ENOTDIR || errno == ELOOP || errno == ENOENT || errno == EXDEV ? 0 : errno;
	}
	tree->level->resume = telldir(tree->directory);
	return descend(tree, fd, name);
}

static enum job_next walk(struct tree_job *tree)
{
	struct job *job = &tree->file.job;
	for (int i = 0; i < ENTRIES_PER_STEP; i++) {
		errno = 0;
		const struct dirent *entry = readdir(tree->directory);
		int error = errno;
		if (entry) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
				continue;
			error = visit(tree, entry->d_name);
		} else if (!error) {
			error = ascend(tree);
		}
		if (error)
			return job_fail(job, error, tree->file.path);
		if (!tree->level)
			return JOB_DONE;
	}
	return JOB_MORE;
}

static enum job_next start_remove(struct tree_job *tree)
{
	struct job *job = &tree->file.job;
	const char *path = tree->file.path;
	struct stat own, root;
	if (lstat(path, &own) < 0)
		return job_fail(job, errno, path);
	if (stat("/", &root) == 0 && own.st_dev == root.st_dev && own.st_ino == root.st_ino) {
		result_fail(&job->result, RESULT_INVALID_ARGUMENT, 0, "the root directory cannot be removed");
		return JOB_DONE;
	}
	if (!S_ISDIR(own.st_mode))
		return unlink(path) < 0 ? job_fail(job, errno, path) : job_ok(job);
	if (rmdir(path) == 0)
		return job_ok(job);
	/* A mount point is busy; its content is another file system's. */
	if (!tree->recursive || (errno != ENOTEMPTY && errno != EEXIST))
		return job_fail(job, errno, path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return job_fail(job, errno, path);
	int error = descend(tree, fd, "");
	return error ? job_fail(job, error, path) : JOB_MORE;
}

static enum job_next start_chown(struct tree_job *tree)
{
	struct job *job = &tree->file.job;
	const char *path = tree->file.path;
	struct user owner;
	struct stat status;
	tree->uid = (uid_t)-1;
	tree->gid = (gid_t)-1;
	if (*tree->owner_name) {
		if (!user_find(tree->owner_name, &owner, &job->result))
			return JOB_DONE;
		tree->uid = owner.uid;
	}
	if (*tree->group_name && !group_find(tree->group_name, &tree->gid)) {
		result_fail(&job->result, RESULT_UNKNOWN_USER, 0, "invalid group: '%s'", tree->group_name);
		return JOB_DONE;
	}
	if (chown(path, tree->uid, tree->gid) < 0)
		return job_fail(job, errno, path);
	if (!tree->recursive || lstat(path, &status) < 0 || !S_ISDIR(status.st_mode))
		return file_job_entry(&tree->file, path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return job_fail(job, errno, path);
	int error = descend(tree, fd, "");
	return error ? job_fail(job, error, path) : JOB_MORE;
}

static enum job_next finish_tree(struct tree_job *tree)
{
	struct job *job = &tree->file.job;
	const char *path = tree->file.path;
	if (!tree->removing)
		return file_job_entry(&tree->file, path);
	return rmdir(path) < 0 && errno != ENOENT ? job_fail(job, errno, path) : job_ok(job);
}

static enum job_next step(struct job *job)
{
	struct tree_job *tree = container_of(job, struct tree_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (!tree->opened) {
		tree->opened = true;
		return file_job_resolve(&tree->file) ? (tree->removing ? start_remove(tree) : start_chown(tree)) : JOB_DONE;
	}
	enum job_next next = walk(tree);
	return next == JOB_DONE && !tree->level ? finish_tree(tree) : next;
}

static void dispose(struct job *job)
{
	struct tree_job *tree = container_of(job, struct tree_job, file.job);
	if (tree->directory)
		closedir(tree->directory);
	while (tree->level) {
		struct level *up = tree->level->up;
		free(tree->level);
		tree->level = up;
	}
	file_job_dispose(job);
}

static const struct job_ops ops = { .lane = LANE_FILES, .step = step, .dispose = dispose };

void tree_remove(struct stream *stream, struct reader *arguments)
{
	struct tree_job *tree = file_job_new(sizeof *tree, &ops, stream, arguments);
	if (!tree)
		return;
	tree->removing = true;
	tree->recursive = read_u8(&tree->file.reader);
	file_job_start(&tree->file, stream);
}

void tree_chown(struct stream *stream, struct reader *arguments)
{
	struct tree_job *tree = file_job_new(sizeof *tree, &ops, stream, arguments);
	if (!tree)
		return;
	tree->owner_name = read_string(&tree->file.reader, MAX_USER_BYTES);
	tree->group_name = read_string(&tree->file.reader, MAX_USER_BYTES);
	tree->recursive = read_u8(&tree->file.reader);
	file_job_start(&tree->file, stream);
}
