#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

#define FIXED_BYTES 48u

enum entry_type entry_type_of(unsigned mode)
{
	if (S_ISREG(mode))
		return ENTRY_FILE;
	if (S_ISDIR(mode))
		return ENTRY_DIRECTORY;
	if (S_ISLNK(mode))
		return ENTRY_SYMLINK;
	return ENTRY_OTHER;
}

static void resolve_link(int directory, const char *name, const char *path, char *target)
{
	if (realpath(path, target))
		return;
	ssize_t n = readlinkat(directory, name, target, PATH_MAX - 1);
	target[n > 0 ? n : 0] = 0;
}

struct packet *entry_message_at(int directory, const char *name, const char *path, struct owner_names *names)
{
	char target[PATH_MAX] = "";
	struct stat own;
	struct stat final;
	if (fstatat(directory, name, &own, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	enum entry_type type = entry_type_of(own.st_mode);
	enum entry_type target_type = type;
	unsigned mode = own.st_mode;
	if (type == ENTRY_SYMLINK) {
		resolve_link(directory, name, path, target);
		if (fstatat(directory, name, &final, 0) == 0) {
			target_type = entry_type_of(final.st_mode);
			mode = final.st_mode;
		} else {
			target_type = ENTRY_NONE;
		}
	}
	const char *base = path_name(path);
	const char *user = owner_user(names, own.st_uid);
	const char *group = owner_group(names, own.st_gid);
	size_t strings = strlen(base) + strlen(path) + strlen(user) + strlen(group) + strlen(target) + 5 * 4;
	struct message message = message_begin(MESSAGE_ENTRY, FIXED_BYTES + (uint32_t)strings);
	struct writer *w = &message.body;
	write_u8(w, (uint8_t)type);
	write_u8(w, (uint8_t)target_type);
	write_u16(w, 0);
	write_u32(w, mode & 07777);
	write_u32(w, own.st_uid);
	write_u32(w, own.st_gid);
	write_u64(w, (uint64_t)own.st_size);
	write_u64(w, (uint64_t)(int64_t)own.st_mtim.tv_sec);
	write_u32(w, (uint32_t)own.st_mtim.tv_nsec);
	write_string(w, base);
	write_string(w, path);
	write_string(w, user);
	write_string(w, group);
	write_string(w, target);
	struct packet *packet = message_finish(&message);
	if (!packet)
		errno = ENOMEM;
	return packet;
}

struct packet *entry_message_unknown(const char *path)
{
	const char *base = path_name(path);
	struct message message = message_begin(MESSAGE_ENTRY, FIXED_BYTES + (uint32_t)(strlen(base) + strlen(path) + 2 + 5 * 4));
	struct writer *w = &message.body;
	write_u8(w, ENTRY_OTHER);
	write_u8(w, ENTRY_OTHER);
	write_u16(w, 0);
	for (int i = 0; i < 3; i++)
		write_u32(w, 0);
	write_u64(w, 0);
	write_u64(w, 0);
	write_u32(w, 0);
	write_string(w, base);
	write_string(w, path);
	write_string(w, "0");
	write_string(w, "0");
	write_string(w, "");
	struct packet *packet = message_finish(&message);
	if (!packet)
		errno = ENOMEM;
	return packet;
}

struct packet *entry_message(const char *path, struct owner_names *names)
{
	return entry_message_at(AT_FDCWD, path, path, names);
}
