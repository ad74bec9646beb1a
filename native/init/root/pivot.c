#define _GNU_SOURCE
#include "../child/child.h"

#include <sys/mount.h>

int do_root_propagation(const struct operation *op) {
  const char *path = op->propagation.path;
  if (mount(NULL, *path ? path : "/", NULL, op->propagation.flags, NULL) < 0)
    return fail("mount", "propagation");
  return 0;
}

int do_attach_root(struct child *child, const struct operation *op) {
  int tree = -1;
  if (op->root.from_descriptor) {
    tree = child->handed_root;
    child->handed_root = -1;
    if (tree < 0)
      return fail_with(EBADF, "attach-root", "no root descriptor was handed over");
  } else {
    tree = sys_open_tree(AT_FDCWD, op->root.path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
      return fail("open_tree", op->root.path);
  }
  int at = open(op->root.at, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0)
    return fail("open", op->root.at);
  if (sys_move_mount(tree, at) < 0)
    return fail("move_mount", op->root.at);
  close_fd(&at);
  child->root = tree;
  return 0;
}

int do_readonly_root(struct child *child) {
  struct mount_attributes change = {.set = MOUNT_ATTR_RDONLY};
  if (child->root < 0)
    return fail_with(EBADF, "mount_setattr", "");
  return sys_mount_setattr(child->root, 0, &change) < 0 ? fail("mount_setattr", "") : 0;
}

static int reopen_root(struct child *child) {
  close_fd(&child->root);
  child->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return child->root < 0 ? fail("open", "/") : 0;
}

int do_pivot_root(struct child *child) {
  int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0 || child->root < 0 || fchdir(child->root) < 0)
    return fail("fchdir", "");
  if (syscall(SYS_pivot_root, ".", ".") < 0)
    return fail("pivot_root", "");
  /* The old root is now mounted over the new one. Its removal must not reach the host. */
  if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0)
    return fail("mount", "old root");
  if (umount2(".", MNT_DETACH) < 0)
    return fail("umount2", "old root");
  close_fd(&old);
  if (chdir("/") < 0)
    return fail("chdir", "/");
  return reopen_root(child);
}

int do_chroot(struct child *child) {
  if (child->root < 0 || fchdir(child->root) < 0)
    return fail("fchdir", "");
  if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
    return fail("mount", "move of the root");
  if (chroot(".") < 0)
    return fail("chroot", ".");
  if (chdir("/") < 0)
    return fail("chdir", "/");
  return reopen_root(child);
}
