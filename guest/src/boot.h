/* What PID 1 does before it serves: modules, root file system, and what a userland expects. */
#ifndef DORMOUSE_BOOT_H
#define DORMOUSE_BOOT_H

/* From the initramfs to the root file system. Powers the machine off when it cannot. */
void boot(void);
/* Opens the virtio-serial port of the link, waiting for it; powers off when it does not come. */
int boot_open_port(void);

#endif
