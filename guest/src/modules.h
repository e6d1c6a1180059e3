/* Loading the kernel modules of the initramfs. */
#ifndef DORMOUSE_MODULES_H
#define DORMOUSE_MODULES_H

/* Loads what /modules/load.order names, in that order. Failures are logged, not fatal. */
void modules_load(void);

#endif
