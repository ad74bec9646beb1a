#define _GNU_SOURCE
#include "child.h"

#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static int set_owner(int directory, const char *name, uint32_t uid, uint32_t gid) {
  if (uid == NO_ID && gid == NO_ID)
    return 0;
  return fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int do_make_directory(struct child *child, const struct operation *op) {
  int there = open_in_root(child, op->directory.path, O_PATH);
  if (there < 0 && errno != ENOENT)
    return fail("openat2", "");
  if (there >= 0) {
    struct stat about;
    bool directory = fstat(there, &about) == 0 && S_ISDIR(about.st_mode);
    close_fd(&there);
    return directory ? 0 : fail_with(ENOTDIR, "mkdirat", "");
  }
  int made = open_target(child, op->directory.path, CREATE_DIRECTORY, op->directory.mode & 07777);
  if (made < 0)
    return fail("mkdirat", "");
  if (op->directory.uid != NO_ID || op->directory.gid != NO_ID) {
    if (fchownat(made, "", op->directory.uid, op->directory.gid, AT_EMPTY_PATH) < 0)
      return fail("fchownat", "");
  }
  close_fd(&made);
  return 0;
}

int do_make_node(struct child *child, const struct operation *op) {
  char name[256];
  int parent = open_parent(child, op->node.path, name);
  if (parent < 0)
    return fail("openat2", "");
  if (mknodat(parent, name, op->node.mode, makedev(op->node.major, op->node.minor)) < 0) {
    if (errno != EEXIST)
      return fail("mknodat", "");
  } else if (set_owner(parent, name, op->node.uid, op->node.gid) < 0) {
    return fail("fchownat", "");
  }
  close_fd(&parent);
  return 0;
}

int do_make_symlink(struct child *child, const struct operation *op) {
  char name[256];
  int parent = open_parent(child, op->symlink.path, name);
  if (parent < 0)
    return fail("openat2", "");
  int made = symlinkat(op->symlink.target, parent, name);
  if (made < 0 && errno == EEXIST) {
    if (!op->symlink.replace)
      made = 0;
    else if (unlinkat(parent, name, 0) < 0)
      return fail("unlinkat", "");
    else
      made = symlinkat(op->symlink.target, parent, name);
  }
  close_fd(&parent);
  return made < 0 ? fail("symlinkat", "") : 0;
}

int do_sysctl(struct child *child, const struct operation *op) {
  int procfs = private_procfs(child);
  if (procfs < 0)
    return fail("fsopen", "proc");
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  int settings = sys_openat2(procfs, "sys", &how);
  if (settings < 0)
    return fail("openat2", "sys");
  how.flags = O_WRONLY | O_CLOEXEC;
  int file = sys_openat2(settings, op->setting.path, &how);
  close_fd(&settings);
  if (file < 0)
    return fail("openat2", "");
  size_t length = strlen(op->setting.value);
  ssize_t written = write(file, op->setting.value, length);
  if (written < 0)
    return fail("write", "");
  close_fd(&file);
  return written == (ssize_t)length ? 0 : fail_with(EIO, "write", "");
}

int do_oom_score_adj(struct child *child, int32_t value) {
  int procfs = private_procfs(child);
  if (procfs < 0)
    return fail("fsopen", "proc");
  char digits[24];
  struct text text = {digits, 0, sizeof digits};
  text_add(&text, value < 0 ? "-" : "");
  text_add_number(&text, value < 0 ? (uint64_t)-(int64_t)value : (uint64_t)value, 1);
  return write_file(procfs, "self/oom_score_adj", digits, text.used) < 0 ? fail("write", "oom_score_adj") : 0;
}

int do_working_directory(struct child *child, const struct operation *op) {
  int directory = open_in_root(child, op->working.path, O_PATH | O_DIRECTORY);
  if (directory < 0 && errno == ENOENT && op->working.create) {
    directory = open_target(child, op->working.path, CREATE_DIRECTORY, 0755);
    if (directory < 0)
      return fail("mkdirat", "");
  }
  if (directory < 0 || fchdir(directory) < 0)
    return fail("chdir", "");
  close_fd(&directory);
  /* For a directory outside the root, the kernel's path starts with "(unreachable)". */
  char where[4096];
  if (syscall(SYS_getcwd, where, sizeof where) > 0 && where[0] != '/')
    return fail_with(ENOENT, "chdir", "the directory is outside the root");
  return 0;
}

int do_loopback_up(void) {
  int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo"};
  if (probe < 0 || ioctl(probe, SIOCGIFFLAGS, &request) < 0)
    return fail("ioctl", "SIOCGIFFLAGS lo");
  request.ifr_flags |= IFF_UP;
  if (ioctl(probe, SIOCSIFFLAGS, &request) < 0)
    return fail("ioctl", "SIOCSIFFLAGS lo");
  close_fd(&probe);
  return 0;
}
