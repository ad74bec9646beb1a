#define _GNU_SOURCE
#include "../child/child.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define PROPAGATION_MASK (MS_PRIVATE | MS_SLAVE | MS_SHARED | MS_UNBINDABLE)

static int set_attributes(int mount, const struct attributes *attributes, uint32_t propagation) {
  struct mount_attributes change = {.set = attributes->set, .clear = attributes->clear};
  if (change.set | change.clear) {
    if (sys_mount_setattr(mount, attributes->recursive ? AT_RECURSIVE : 0, &change) < 0)
      return -1;
  }
  if (propagation) {
    struct mount_attributes spread = {.propagation = propagation & PROPAGATION_MASK};
    return sys_mount_setattr(mount, propagation & MS_REC ? AT_RECURSIVE : 0, &spread);
  }
  return 0;
}

/* A target may be on procfs only when its path begins with /proc: a link in the image must not lead a mount there. */
static int check_target(int mount, int target, const char *path) {
  struct statfs about;
  struct stat covering, covered;
  if (fstatfs(target, &about) < 0 || fstat(mount, &covering) < 0 || fstat(target, &covered) < 0)
    return -1;
  /* Here the kernel would report EINVAL, which does not help a user. */
  if (S_ISDIR(covering.st_mode) != S_ISDIR(covered.st_mode)) {
    errno = ENOTDIR;
    return -1;
  }
  if (about.f_type == PROC_SUPER_MAGIC && strncmp(path, "/proc/", 6) != 0 && strcmp(path, "/proc") != 0) {
    errno = EPERM;
    return -1;
  }
  return 0;
}

/* Moves the detached mount to the target and closes the descriptor. */
static int attach(int *mount, int target, const char *path) {
  int done = check_target(*mount, target, path);
  if (done == 0 && sys_move_mount(*mount, target) < 0)
    done = -1;
  if (done < 0)
    fail("move_mount", "");
  close_fd(mount);
  return done;
}

/* The file system's message about its options, without the kernel's prefix ("e "). */
static int fail_context(int context, const char *call, const char *option) {
  int error = errno;
  char said[512], whole[1024];
  struct text text = {whole, 0, sizeof whole};
  text_add(&text, option ? option : "");
  for (ssize_t length; (length = read(context, said, sizeof said - 1)) > 0;) {
    said[length] = 0;
    if (said[length - 1] == '\n')
      said[length - 1] = 0;
    text_add(&text, text.used ? ": " : "");
    text_add(&text, length > 2 && said[1] == ' ' ? said + 2 : said);
  }
  return fail_with(error, call, whole);
}

/* Takes over the context and closes it. */
static int finish_file_system(int context, const struct operation *op) {
  if (*op->mount.source && sys_fsconfig(context, FSCONFIG_SET_STRING, "source", op->mount.source) < 0)
    return fail_context(context, "fsconfig", "source");
  struct reader options = op->mount.options.items;
  for (uint32_t i = 0; i < op->mount.options.count; i++) {
    bool valued = read_u32(&options) != 0;
    const char *key = read_text(&options), *value = read_text(&options);
    if (sys_fsconfig(context, valued ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, valued ? value : NULL) < 0)
      return fail_context(context, "fsconfig", key);
  }
  if (sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return fail_context(context, "fsconfig", NULL);
  int mount = sys_fsmount(context, (unsigned)op->mount.attributes.set);
  if (mount < 0)
    return fail_context(context, "fsmount", NULL);
  close_fd(&context);
  return mount;
}

static int make_file_system(const struct operation *op) {
  int context = sys_fsopen(op->mount.type);
  return context < 0 ? fail("fsopen", op->mount.type) : finish_file_system(context, op);
}

static int make_joined_procfs(const struct child *child, const struct operation *op, bool early) {
  int context = open_joined_procfs(child, early);
  int mount = context < 0 ? -1 : finish_file_system(context, op);
  if (mount >= 0 && check_joined_procfs(child, mount) < 0)
    close_fd(&mount);
  return mount;
}

int make_early_procfs(struct child *child) {
  if (!joins_another_pid_namespace(child))
    return 0;
  static const struct operation plain = {.mount = {.type = "proc", .source = "proc"}};
  child->early_procfs = make_joined_procfs(child, &plain, true);
  return child->early_procfs < 0 ? -1 : 0;
}

/* A second procfs is a copy of the first, which is attached by then. */
static int take_early_procfs(struct child *child, const struct operation *op) {
  if (op->mount.options.count)
    return fail_with(EPERM, "fsconfig", "options of a procfs of another user namespace");
  int mount = child->procfs_used ? sys_open_tree(child->early_procfs, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
                                 : fcntl(child->early_procfs, F_DUPFD_CLOEXEC, 3);
  if (mount < 0)
    return fail("open_tree", "proc");
  child->procfs_used = true;
  const uint64_t wanted = op->mount.attributes.set & ~(uint64_t)MOUNT_ATTR_ATIME_MASK;
  struct attributes attributes = {.set = wanted, .clear = MOUNT_ATTR_RDONLY & ~wanted};
  if (set_attributes(mount, &attributes, 0) < 0) {
    close_fd(&mount);
    return fail("mount_setattr", "proc");
  }
  return mount;
}

/* A procfs shows the pid namespace that the container's process will be in. */
static int make_procfs(struct child *child, const struct operation *op) {
  if (child->early_procfs >= 0)
    return take_early_procfs(child, op);
  return joins_another_pid_namespace(child) ? make_joined_procfs(child, op, false) : make_file_system(op);
}

int do_mount(struct child *child, const struct operation *op) {
  /* If a link led a proc or sysfs mount to another place, programs would trust that place. */
  bool strict = !strcmp(op->mount.type, "proc") || !strcmp(op->mount.type, "sysfs");
  int target = open_target(child, op->mount.target, (enum create_kind)op->mount.create, 0755);
  if (target < 0)
    return fail("openat2", "");
  if (strict) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
    close_fd(&target);
    target = sys_openat2(child->root, op->mount.target, &how);
    if (target < 0)
      return fail("openat2", "the target of a proc or sysfs mount must be a directory and no link");
  }
  int mount = strcmp(op->mount.type, "proc") ? make_file_system(op) : make_procfs(child, op);
  if (mount < 0)
    return -1;
  if (op->mount.copy_up) {
    int from = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0 || copy_tree(from, to, 0) < 0)
      return fail("copy", "");
    close_fd(&from);
    close_fd(&to);
  }
  if (map_ids(child, mount, &op->mount.ids) < 0)
    return -1;
  struct attributes rest = {0};
  if (op->mount.propagation && set_attributes(mount, &rest, op->mount.propagation) < 0)
    return fail("mount_setattr", "");
  int done = attach(&mount, target, op->mount.target);
  close_fd(&target);
  return done;
}

int do_bind(struct child *child, const struct operation *op) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (op->bind.flags & BIND_RECURSIVE ? AT_RECURSIVE : 0);
  int tree = -1;
  if (op->bind.flags & BIND_SOURCE_IN_ROOT) {
    int source = open_in_root(child, op->bind.source, O_PATH);
    if (source >= 0)
      tree = sys_open_tree(source, "", flags | AT_EMPTY_PATH);
    close_fd(&source);
  } else if (*op->bind.subpath) {
    /* The path below the source belongs to containers, so links may not lead out of the source. */
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int base = open(op->bind.source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int source = base < 0 ? -1 : sys_openat2(base, op->bind.subpath, &how);
    if (source >= 0)
      tree = sys_open_tree(source, "", flags | AT_EMPTY_PATH);
    close_fd(&source);
    close_fd(&base);
  } else {
    tree = sys_open_tree(AT_FDCWD, op->bind.source, flags);
  }
  if (tree < 0)
    return fail("open_tree", *op->bind.subpath ? op->bind.subpath : op->bind.source);
  struct stat about;
  if (fstat(tree, &about) < 0)
    return fail("fstat", op->bind.source);
  enum create_kind kind = S_ISDIR(about.st_mode) ? CREATE_DIRECTORY : CREATE_FILE;
  int target = open_target(child, op->bind.target, op->bind.flags & BIND_CREATE ? kind : CREATE_NOTHING, 0755);
  if (target < 0)
    return fail("openat2", "");
  if (map_ids(child, tree, &op->bind.ids) < 0)
    return -1;
  if (set_attributes(tree, &op->bind.attributes, op->bind.propagation) < 0)
    return fail("mount_setattr", "");
  int done = attach(&tree, target, op->bind.target);
  close_fd(&target);
  return done;
}

int do_mount_attributes(struct child *child, const struct operation *op) {
  int target = open_in_root(child, op->change.target, O_PATH);
  if (target < 0)
    return fail("openat2", "");
  if (set_attributes(target, &op->change.attributes, op->change.propagation) < 0)
    return fail("mount_setattr", "");
  close_fd(&target);
  return 0;
}

int make_empty_directory(void) {
  struct operation op = {.kind = OP_MOUNT};
  op.mount.type = "tmpfs";
  op.mount.source = "tmpfs";
  op.mount.attributes.set = MOUNT_ATTR_RDONLY;
  return make_file_system(&op);
}

/*
 * An empty read-only directory that covers one path. All are copies of the first one, through its descriptor. The copies are made after the
 * first is attached, because kernels before 6.15 cannot copy a detached mount.
 */
static int masked_directory(struct child *child) {
  if (child->masked >= 0) {
    int copy = sys_open_tree(child->masked, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return copy < 0 ? fail("open_tree", "") : copy;
  }
  int first = make_empty_directory();
  if (first >= 0 && (child->masked = fcntl(first, F_DUPFD_CLOEXEC, 3)) < 0) {
    close_fd(&first);
    return fail("fcntl", "");
  }
  return first;
}

/* The container's /dev/null, or the host's when the container has none. Each is used only when it is the real device. */
static int null_device(struct child *child) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  int null = sys_openat2(child->root, "/dev/null", &how);
  if (null < 0)
    null = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat about;
  if (null < 0 || fstat(null, &about) < 0)
    return fail("open", "/dev/null");
  if (!S_ISCHR(about.st_mode) || about.st_rdev != makedev(1, 3))
    return fail_with(ENODEV, "fstat", "/dev/null is not the null device");
  int copy = sys_open_tree(null, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  close_fd(&null);
  return copy < 0 ? fail("open_tree", "/dev/null") : copy;
}

int do_mask(struct child *child, const char *path) {
  int target = open_in_root(child, path, O_PATH);
  if (target < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : fail("openat2", "");
  struct stat about;
  if (fstat(target, &about) < 0)
    return fail("fstat", "");
  int cover = S_ISDIR(about.st_mode) ? masked_directory(child) : null_device(child);
  if (cover < 0)
    return -1;
  int done = attach(&cover, target, path);
  close_fd(&target);
  return done;
}

int do_readonly_path(struct child *child, const char *path) {
  int target = open_in_root(child, path, O_PATH);
  if (target < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : fail("openat2", "");
  int tree = sys_open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
  if (tree < 0)
    return fail("open_tree", "");
  struct attributes attributes = {.set = MOUNT_ATTR_RDONLY};
  if (set_attributes(tree, &attributes, 0) < 0)
    return fail("mount_setattr", "");
  int done = attach(&tree, target, path);
  close_fd(&target);
  return done;
}
