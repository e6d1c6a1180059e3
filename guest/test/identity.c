/* The files that say who the machine is, in a directory of the test's own. Prints TAP. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/etc-file.h"
#include "../src/identity.h"
#include "../src/job.h"
#include "../src/link.h"
#include "tap.h"

static char directory[] = "/tmp/dormouse-identity-XXXXXX";
static int root;

/* Neither the link nor the log is part of these tests. */
void link_wants_to_write(void) {}
void link_give_up(void) {}
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_line(const char *format, ...) { (void)format; }

static void put(const char *path, const void *bytes, size_t length)
{
	unlinkat(root, path, 0);
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		abort();
	close(fd);
}

static void put_text(const char *path, const char *text) { put(path, text, strlen(text)); }

static bool holds(const char *path, const void *bytes, size_t length)
{
	struct etc_file file;
	if (etc_file_read(root, path, &file) != 0)
		return false;
	bool same = file.exists && file.length == length && memcmp(file.text, bytes, length) == 0;
	free(file.text);
	return same;
}

static bool holds_text(const char *path, const char *text) { return holds(path, text, strlen(text)); }

static struct warnings apply(const struct identity *identity)
{
	struct warnings warnings = { 0 };
	identity_apply(root, identity, &warnings);
	return warnings;
}

static struct warnings name(const char *text)
{
	struct identity identity = { 0 };
	copy_string(identity.name, sizeof identity.name, text);
	return apply(&identity);
}

static struct warnings machine_id(const char *text)
{
	struct identity identity = { 0 };
	copy_string(identity.machine_id, sizeof identity.machine_id, text);
	return apply(&identity);
}

static bool is(struct warnings warnings, const char *text) { return strcmp(warnings.text, text) == 0; }

#define ID "0123456789abcdef0123456789abcdef"
#define LOCAL "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"

static void test_hosts_lines(void)
{
	check(is(name("one"), "") && holds_text("etc/hosts", LOCAL "127.0.1.1 one # dormouse\n") && holds_text("etc/hostname", "one\n"),
	      "hosts: a missing file is made");
	put_text("etc/hosts", "10.0.0.1 db # dormouse cluster\n127.0.0.1\tlocalhost\n127.0.1.1 old # dormouse\n10.0.0.2 web # dormouse\nno newline");
	check(is(name("new"), "") && holds_text("etc/hosts", "10.0.0.1 db # dormouse cluster\n127.0.0.1\tlocalhost\n127.0.1.1 new # dormouse\n10.0.0.2 web # dormouse\nno newline"),
	      "hosts: only the agent's own line is touched, where it stands");
	put_text("etc/hosts", "# 127.0.0.1 is not named\n127.0.0.10 other");
	check(is(name("n"), "") && holds_text("etc/hosts", LOCAL "# 127.0.0.1 is not named\n127.0.0.10 other\n127.0.1.1 n # dormouse\n"),
	      "hosts: lines for localhost are added when no line is about that very address");
	static const char binary[] = "127.0.0.1 localhost\n\0\xff\n10.0.0.1 after\n";
	static const char renamed[] = "127.0.0.1 localhost\n\0\xff\n10.0.0.1 after\n127.0.1.1 n # dormouse\n";
	put("etc/hosts", binary, sizeof binary - 1);
	check(is(name("n"), "") && holds("etc/hosts", renamed, sizeof renamed - 1), "hosts: any bytes are kept");
	size_t length = 3u << 20;
	char *large = malloc(length + 64);
	memset(large, '#', length);
	large[length - 1] = '\n';
	memcpy(large, LOCAL, strlen(LOCAL));
	put("etc/hosts", large, length);
	const char *own = "127.0.1.1 n # dormouse\n";
	memcpy(large + length, own, strlen(own));
	check(is(name("n"), "") && holds("etc/hosts", large, length + strlen(own)), "hosts: a large file is kept whole");
	free(large);
}

static void test_metadata(void)
{
	struct stat before, after, same;
	put_text("etc/hosts", LOCAL);
	fchmodat(root, "etc/hosts", 0640, 0);
	bool owned = fchownat(root, "etc/hosts", 12, 34, 0) == 0;
	fstatat(root, "etc/hosts", &before, 0);
	name("mode");
	fstatat(root, "etc/hosts", &after, 0);
	check(after.st_mode == before.st_mode && (!owned || (after.st_uid == 12 && after.st_gid == 34)) && after.st_ino != before.st_ino,
	      "files are replaced by new ones with the owner and mode of the old");
	name("mode");
	fstatat(root, "etc/hosts", &same, 0);
	check(same.st_ino == after.st_ino, "a file that says so already is not written");
	check(faccessat(root, "etc/.dormouse-hosts", F_OK, AT_SYMLINK_NOFOLLOW) < 0, "no temporary file is left");
	put_text("etc/.dormouse-hosts", "what a power cut left");
	check(is(name("next"), "") && holds_text("etc/hosts", LOCAL "127.0.1.1 next # dormouse\n"),
	      "a temporary file of a former life is no obstacle");
}

static void test_obstacles(void)
{
	unlinkat(root, "etc/hosts", 0);
	unlinkat(root, "etc/hostname", 0);
	mkfifoat(root, "etc/hosts", 0644);
	check(is(name("a"), "/etc/hosts: not a regular file") && holds_text("etc/hostname", "a\n"), "a FIFO is a warning, and the next file is written");
	unlinkat(root, "etc/hosts", 0);
	(void)!symlinkat("nowhere", root, "etc/hosts");
	check(is(name("a"), "/etc/hosts: a symbolic link"), "a dangling link is a warning");
	unlinkat(root, "etc/hosts", 0);
	put_text("etc/target", "kept");
	(void)!symlinkat("target", root, "etc/hosts");
	check(is(name("a"), "/etc/hosts: a symbolic link") && holds_text("etc/target", "kept"), "a link is not followed");
	unlinkat(root, "etc/hosts", 0);
	mkdirat(root, "etc/hosts", 0755);
	check(is(name("a"), "/etc/hosts: Is a directory"), "a directory is a warning");
	unlinkat(root, "etc/hosts", AT_REMOVEDIR);
	put_text("etc/hosts", LOCAL);

	unlinkat(root, "etc/machine-id", 0);
	mkfifoat(root, "etc/machine-id", 0644);
	check(is(machine_id(ID), "/etc/machine-id: not a regular file"), "a FIFO in place of the machine id is a warning");
	unlinkat(root, "etc/machine-id", 0);
	check(is(machine_id(ID), "") && holds_text("etc/machine-id", ID "\n"), "a machine id is written");
	struct stat status;
	check(fstatat(root, "etc/machine-id", &status, 0) == 0 && (status.st_mode & 07777) == 0444, "a new machine id is read-only");
}

static void test_immutable(void)
{
	int flags = 0;
	put_text("etc/hosts", LOCAL);
	int fd = openat(root, "etc/hosts", O_RDONLY);
	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	flags |= FS_IMMUTABLE_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0) {
		check(is(name("b"), "/etc/hosts: Operation not permitted") && holds_text("etc/hosts", LOCAL) && holds_text("etc/hostname", "b\n"),
		      "an immutable file is a warning");
		flags &= ~FS_IMMUTABLE_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
}

/* RLIMIT_FSIZE stands in for a full disk: the write fails in its middle. */
static void test_full_disk(void)
{
	struct rlimit old, small;
	char text[8192];
	memset(text, '#', sizeof text);
	text[sizeof text - 1] = '\n';
	put("etc/hosts", text, sizeof text);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 4096;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	struct warnings warnings = name("full");
	setrlimit(RLIMIT_FSIZE, &old);
	check(is(warnings, "/etc/hosts: File too large") && holds("etc/hosts", text, sizeof text), "a write that fails leaves the file as it was");
	check(faccessat(root, "etc/.dormouse-hosts", F_OK, AT_SYMLINK_NOFOLLOW) < 0, "a write that fails leaves no temporary file");
	put_text("etc/hosts", LOCAL);
}

static void test_name_server(void)
{
	struct identity identity = { .name_server = "10.0.2.3" };
	check(is(apply(&identity), "") && holds_text("etc/resolv.conf", "nameserver 10.0.2.3\n"), "resolv.conf: a missing file is made");
	put_text("etc/resolv.conf", "search example.org\nnameserver  10.0.2.3\noptions ndots:2\n");
	check(is(apply(&identity), "") && holds_text("etc/resolv.conf", "search example.org\nnameserver  10.0.2.3\noptions ndots:2\n"),
	      "resolv.conf: one that names the server is left as it is");
	put_text("etc/resolv.conf", "nameserver 10.0.2.33\n");
	check(is(apply(&identity), "") && holds_text("etc/resolv.conf", "nameserver 10.0.2.3\n"), "resolv.conf: another server is replaced");
	unlinkat(root, "etc/resolv.conf", 0);
	(void)!symlinkat("../run/nowhere", root, "etc/resolv.conf");
	check(is(apply(&identity), "") && holds_text("etc/resolv.conf", "nameserver 10.0.2.3\n"), "resolv.conf: a dangling link is replaced");
	unlinkat(root, "etc/resolv.conf", 0);
	mkfifoat(root, "etc/resolv.conf", 0644);
	check(is(apply(&identity), "/etc/resolv.conf: not a regular file"), "resolv.conf: a FIFO is a warning");
	unlinkat(root, "etc/resolv.conf", 0);
}

static void test_host_keys(void)
{
	mkdirat(root, "etc/ssh", 0755);
	put_text("etc/ssh/ssh_host_rsa_key", "key");
	put_text("etc/ssh/sshd_config", "kept");
	mkdirat(root, "etc/ssh/ssh_host_directory", 0755);
	check(is(machine_id(ID), "/etc/ssh: Is a directory") && faccessat(root, "etc/ssh/ssh_host_rsa_key", F_OK, 0) < 0 && holds_text("etc/ssh/sshd_config", "kept"),
	      "host keys of another life go, and one that cannot is a warning");
	unlinkat(root, "etc/ssh/ssh_host_directory", AT_REMOVEDIR);
}

struct counter {
	struct identity_wait wait;
	int *done;
};

static void count(struct identity_wait *wait, const char *warnings)
{
	*container_of(wait, struct counter, wait)->done += !*warnings;
}

static bool stop;

/* What a program of the workload does meanwhile: nothing that the agent writes may lose its line. */
static void *reader(void *argument)
{
	bool *good = argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct etc_file file;
		int error = etc_file_read(root, "etc/hosts", &file);
		if (error) {
			*good = false;
			break;
		}
		*good = *good && strstr(file.text, "10.9.8.7 mine\n");
		free(file.text);
	}
	return NULL;
}

static void test_one_after_the_other(void)
{
	enum { ROUNDS = 60, AT_ONCE = 8 };
	static struct counter counters[AT_ONCE];
	bool good = true;
	int done = 0;
	pthread_t thread;
	put_text("etc/hosts", LOCAL "10.9.8.7 mine\n");
	pthread_create(&thread, NULL, reader, &good);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < AT_ONCE; i++) {
			struct identity identity = { 0 };
			snprintf(identity.name, sizeof identity.name, "name-%d-%d", round, i);
			counters[i] = (struct counter){ .wait = { .done = count }, .done = &done };
			identity_write(&counters[i].wait, &identity, 10000);
		}
		while (done < (round + 1) * AT_ONCE)
			loop_turn(1000);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	check(good && holds_text("etc/hosts", LOCAL "10.9.8.7 mine\n127.0.1.1 name-59-7 # dormouse\n"),
	      "hosts: names that are set at the same time lose no line, and the last one stands");
}

static void test_no_answer(void)
{
	static struct counter counter;
	int done = 0;
	struct identity identity = { .name = "late" };
	counter = (struct counter){ .wait = { .done = count }, .done = &done };
	identity_write(&counter.wait, &identity, 10000);
	identity_forget(&counter.wait);
	for (int i = 0; i < 500 && !holds_text("etc/hostname", "late\n"); i++)
		loop_turn(10);
	loop_turn(10);
	check(done == 0 && holds_text("etc/hostname", "late\n"), "files are written though no caller waits any more");
}

int main(void)
{
	if (!mkdtemp(directory) || (root = open(directory, O_RDONLY | O_DIRECTORY)) < 0 || !loop_init() || !jobs_init())
		return 1;
	identity_root = directory;
	umask(0);
	test_hosts_lines();
	test_metadata();
	test_obstacles();
	test_immutable();
	test_full_disk();
	test_name_server();
	test_host_keys();
	test_one_after_the_other();
	test_no_answer();
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", directory);
	if (system(command) != 0)
		return 1;
	return tap_end();
}
