/* Paths as requests name them. */
#ifndef DORMOUSE_PATH_H
#define DORMOUSE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "users.h"

/*
 * The absolute form of a request's path: `~`, `~/...` and relative paths start
 * at `home`; repeated slashes, "." components and a slash at the end go. ".."
 * stays, because only the kernel knows where it leads behind a symlink.
 * False when it does not fit.
 */
bool path_expand(const char *path, const char *home, char *out, size_t size);
/* The part after the last slash; "/" for the root. */
const char *path_name(const char *path);
/* Makes the missing parents of `path` (0755, owned by the user); 0 or an errno. */
int path_make_parents(const char *path, const struct user *user);

#endif
