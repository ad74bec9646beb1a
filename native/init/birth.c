#define _GNU_SOURCE
#include "reaper.h"
#include "supervisor.h"

#include <grp.h>
#include <sys/prctl.h>

/* Closes every descriptor from 3 on that is not named. What a long-lived child kept open would never reach its end elsewhere. */
static void close_all_but(int *keep, unsigned count) {
  for (unsigned i = 1; i < count; i++) {
    for (unsigned k = i; k && keep[k - 1] > keep[k]; k--) {
      int swap = keep[k];
      keep[k] = keep[k - 1];
      keep[k - 1] = swap;
    }
  }
  unsigned from = 3;
  for (unsigned i = 0; i < count; i++) {
    if (keep[i] < (int)from)
      continue;
    if (keep[i] > (int)from)
      sys_close_range(from, (unsigned)keep[i] - 1, 0);
    from = (unsigned)keep[i] + 1;
  }
  sys_close_range(from, UINT32_MAX, 0);
}

static _Noreturn void give_up(void) {
  _exit(1);
}

static void begin(struct child *child, const int *cgroups, unsigned count, int more) {
  int keep[CGROUPS_LIMIT + 8];
  unsigned kept = 0;
  failure = &child->shared->failure;
  clear_failure();
  keep[kept++] = child->socket;
  for (int i = 0; i < 3; i++)
    keep[kept++] = child->stdio[i];
  keep[kept++] = more;
  for (unsigned i = 0; i < count; i++)
    keep[kept++] = cgroups[i];
  close_all_but(keep, kept);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  follow_supervisor(child);
}

static void join_cgroups(const int *cgroups, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    int fd = cgroups[i];
    if (write(fd, "0", 1) != 1) {
      char number[16];
      struct text text = {number, 0, sizeof number};
      text_add_number(&text, i, 1);
      fail("cgroup.procs", number);
      give_up();
    }
    close_fd(&fd);
  }
}

_Noreturn void live_as_stem(struct child *child, const struct stem_request *request, const int *cgroups, unsigned count) {
  int fds[4];
  unsigned given = 0;
  begin(child, cgroups, count, -1);
  join_cgroups(cgroups, count);
  if (request->namespaces & CLONE_NEWUSER) {
    /* The first letter says that the maps are written; only then is there a root to be. */
    if (receive_letter(child->socket, fds, &given) != SAYS_GO)
      give_up();
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
      fail("setresuid", "root of the user namespace");
      give_up();
    }
    follow_supervisor(child);
  }
  if (request->namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0) {
    fail("unshare", "cgroup");
    give_up();
  }
  child->shared->stage = STAGE_READY;
  if (send_letter(child->socket, SAYS_READY, NULL, 0) < 0)
    give_up();
  given = 4;
  if (receive_letter(child->socket, fds, &given) != SAYS_GO)
    give_up();
  /* Only now: a stem may be old, and what was mounted on the host since it was made belongs to its view too. */
  if (request->namespaces & CLONE_NEWNS && unshare(CLONE_NEWNS) < 0) {
    fail("unshare", "mount");
    give_up();
  }
  unsigned at = 0;
  if (given >= 3) {
    for (int i = 0; i < 3; i++)
      child->stdio[i] = fds[at++];
  }
  if (at < given)
    child->handed_root = fds[at++];
  child->uncommitted = true;
  execute_plan(child);
  give_up();
}

_Noreturn void live_as_exec(struct child *child, int init, int namespaces, const int *cgroups, unsigned count) {
  begin(child, cgroups, count, init);
  join_cgroups(cgroups, count);
  int outside = -1;
  if (supervisor.chrooted) {
    /* The namespace's own root is not the container's: its first process knows the way. */
    char path[64];
    struct text text = {path, 0, sizeof path};
    text_add(&text, "/proc/");
    text_add_number(&text, (uint64_t)container()->pid, 1);
    text_add(&text, "/root");
    outside = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (outside < 0) {
      fail("open", path);
      give_up();
    }
  }
  if (setns(init, namespaces) < 0) {
    fail("setns", "the container's namespaces");
    give_up();
  }
  if (namespaces & CLONE_NEWUSER && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)) {
    fail("setresuid", "root of the user namespace");
    give_up();
  }
  follow_supervisor(child);
  if (outside >= 0 && (fchdir(outside) < 0 || chroot(".") < 0)) {
    fail("chroot", "");
    give_up();
  }
  child->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (child->root < 0 || chdir("/") < 0) {
    fail("open", "/");
    give_up();
  }
  close_fd(&outside);
  close_fd(&init);
  child->shared->stage = STAGE_READY;
  execute_plan(child);
  give_up();
}

int write_maps(pid_t pid, const char *uid_map, const char *gid_map) {
  const char *names[2] = {"gid_map", "uid_map"}, *values[2] = {gid_map, uid_map};
  for (int i = 0; i < 2; i++) {
    char path[64];
    struct text text = {path, 0, sizeof path};
    text_add(&text, "/proc/");
    text_add_number(&text, (uint64_t)pid, 1);
    text_add(&text, "/");
    text_add(&text, names[i]);
    size_t length = 0;
    while (values[i][length])
      length++;
    if (length && write_file(AT_FDCWD, path, values[i], length) < 0)
      return fail("write", names[i]);
  }
  return 0;
}
