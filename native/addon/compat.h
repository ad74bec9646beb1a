/* Syscall numbers, constants and structures that the oldest supported headers (glibc 2.36, kernel 6.1) do not have. All numbers from 424 on
 * are the same on every architecture. */
#ifndef FATHOM_COMPAT_H
#define FATHOM_COMPAT_H

#include <stdint.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define FATHOM_MFD_EXEC 0x0010U
#define FATHOM_F_SEAL_SEAL 0x0001
#define FATHOM_F_SEAL_SHRINK 0x0002
#define FATHOM_F_SEAL_GROW 0x0004
#define FATHOM_F_SEAL_WRITE 0x0008

struct fathom_open_how {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

#endif
