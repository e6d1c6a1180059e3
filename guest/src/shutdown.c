#include "shutdown.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link.h"
#include "loop.h"
#include "operations.h"
#include "settings.h"

/* How long the answer may take to reach the host before the machine goes. */
#define ANSWER_MS 500u
#define KILL_WAIT_MS 2000u
#define CHECK_MS 10u

static bool under_way;
static bool restarting;
static uint64_t kill_at;
static bool killed;

_Noreturn void shutdown_now(bool restart)
{
	sync();
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(restart ? RB_AUTOBOOT : RB_POWER_OFF);
	/* A machine that cannot switch itself off ends with a restart. */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void check(struct timer *timer)
{
	uint64_t now = now_ms();
	siginfo_t info;
	bool alone = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
	if (!alone && !killed && now >= kill_at) {
		kill(-1, SIGKILL);
		killed = true;
	}
	if (alone || now >= kill_at + KILL_WAIT_MS) {
		kill(-1, SIGKILL);
		link_drain(ANSWER_MS);
		shutdown_now(restarting);
	}
	loop_timer(timer, CHECK_MS);
}

static void leave(struct timer *timer)
{
	(void)timer;
	link_drain(ANSWER_MS);
	exit(0);
}

static struct timer check_timer = { .fire = check };
static struct timer leave_timer = { .fire = leave };

void system_shutdown(struct stream *stream, struct reader *arguments)
{
	uint8_t kind = read_u8(arguments);
	uint32_t grace_ms = read_u32(arguments);
	if (!reader_done(arguments) || kind > 1) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	stream_close_ok(stream);
	if (!settings_own_machine) {
		loop_timer(&leave_timer, 0);
		return;
	}
	restarting = kind == 1;
	if (!under_way) {
		under_way = true;
		kill_at = now_ms() + grace_ms;
		kill(-1, SIGTERM);
		kill(-1, SIGCONT);
		loop_timer(&check_timer, 0);
	}
}
