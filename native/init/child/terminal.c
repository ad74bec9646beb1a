#define _GNU_SOURCE
#include "child.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/*
 * A pty of the container's own devpts. The multiplexer must be on a devpts and be the real device. The slave comes from the master itself
 * (TIOCGPTPEER), so no path of the container is trusted.
 */
int open_console(struct child *child) {
  if (!child->terminal || child->console_open)
    return 0;
  struct open_how how = {.flags = O_RDWR | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  struct statfs where;
  struct stat about;
  int master = sys_openat2(child->root, "/dev/pts/ptmx", &how);
  if (master < 0 || fstatfs(master, &where) < 0 || fstat(master, &about) < 0)
    return fail("openat2", "/dev/pts/ptmx");
  if (where.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(about.st_mode) || about.st_rdev != makedev(5, 2))
    return fail_with(ENODEV, "fstat", "/dev/pts/ptmx is not a pty multiplexer");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
    return fail("ioctl", "TIOCSPTLCK");
  int end = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (end < 0)
    return fail("ioctl", "TIOCGPTPEER");
  if (child->rows || child->columns) {
    struct winsize size = {.ws_row = child->rows, .ws_col = child->columns};
    ioctl(master, TIOCSWINSZ, &size);
  }
  if (send_letter(child->socket, SAYS_TERMINAL, &master, 1) < 0)
    return fail("sendmsg", "pty");
  close_fd(&master);
  for (int i = 0; i < 3; i++)
    child->stdio[i] = end;
  child->console_open = true;
  return 0;
}

int do_bind_console(struct child *child, const char *path) {
  if (!child->terminal)
    return 0;
  if (open_console(child) < 0)
    return -1;
  int target = open_target(child, path, CREATE_FILE, 0755);
  if (target < 0)
    return fail("openat2", "");
  struct stat about;
  if (fstat(target, &about) < 0 || S_ISDIR(about.st_mode))
    return fail_with(EISDIR, "open", "");
  int tree = sys_open_tree(child->stdio[0], "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (tree < 0 || sys_move_mount(tree, target) < 0)
    return fail("move_mount", "");
  close_fd(&tree);
  close_fd(&target);
  return 0;
}

int do_new_session(struct child *child) {
  if (!child->maker)
    return take_session(child);
  child->wants_session = true;
  return open_console(child);
}

int take_session(struct child *child) {
  if (setsid() < 0 && errno != EPERM) /* EPERM: the process already leads a session */
    return fail("setsid", "");
  if (!child->terminal)
    return 0;
  if (open_console(child) < 0)
    return -1;
  return ioctl(child->settled ? 0 : child->stdio[0], TIOCSCTTY, 0) < 0 ? fail("ioctl", "TIOCSCTTY") : 0;
}
