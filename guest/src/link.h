/* The byte stream to the host: greeting, framing, and the order of what is sent. Main thread only. */
#ifndef DORMOUSE_LINK_H
#define DORMOUSE_LINK_H

#include <stdbool.h>

enum link_transport {
	LINK_PORT,     /* a virtio-serial port: lives on when the host goes away */
	LINK_SOCKET,   /* a connection: over when the host goes away */
};

/* Serves a descriptor (non-blocking; owned by the link from here on). A former
 * one is closed and its session ended. False when it cannot be watched. */
bool link_serve(int fd, enum link_transport transport);
/* Something may have become ready to send. */
void link_wants_to_write(void);
/* Ends the session in the next turn; the host has to greet again. */
void link_give_up(void);
/* Sends what is queued as far as the transport takes it, within the time. */
void link_drain(unsigned timeout_ms);

#endif
