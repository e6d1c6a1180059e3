#include "path.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol.h"

static bool append_components(const char *path, char *out, size_t size, size_t *length)
{
	while (*path) {
		size_t n = strcspn(path, "/");
		if (n && !(n == 1 && path[0] == '.')) {
			if (*length + 1 + n >= size)
				return false;
			out[(*length)++] = '/';
			memcpy(out + *length, path, n);
			*length += n;
		}
		path += n + (path[n] == '/');
	}
	return true;
}

bool path_expand(const char *path, const char *home, char *out, size_t size)
{
	size_t length = 0;
	bool fits = true;
	if (path[0] == '~' && (path[1] == 0 || path[1] == '/')) {
		fits = append_components(home, out, size, &length);
		path++;
	} else if (path[0] != '/') {
		fits = append_components(home, out, size, &length);
	}
	fits = fits && append_components(path, out, size, &length);
	if (!length)
		out[length++] = '/';
	out[length] = 0;
	return fits;
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static int make_directory(const char *path, const struct user *user)
{
	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? 0 : errno;
	if (lchown(path, user->uid, user->gid) < 0 && geteuid() == 0)
		return errno;
	return 0;
}

int path_make_parents(const char *path, const struct user *user)
{
	char parent[MAX_PATH_BYTES + 1];
	struct stat status;
	size_t length = strlen(path);
	if (length > MAX_PATH_BYTES)
		return ENAMETOOLONG;
	memcpy(parent, path, length + 1);
	char *last = strrchr(parent, '/');
	if (!last || last == parent)
		return 0;
	*last = 0;
	if (stat(parent, &status) == 0)
		return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
	if (errno != ENOENT)
		return errno;
	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		int error = make_directory(parent, user);
		*slash = '/';
		if (error)
			return error;
	}
	int error = make_directory(parent, user);
	if (error)
		return error;
	if (stat(parent, &status) < 0)
		return errno;
	return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}
