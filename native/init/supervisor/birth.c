#define _GNU_SOURCE
#include "../child/reaper.h"
#include "supervisor.h"

#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* Closes every descriptor from 3 on that is not in `keep`. If a long-lived child kept one open, its other end would never see the end. */
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

_Noreturn void end_child(int status) {
  syscall(SYS_exit_group, status);
  __builtin_trap();
}

static _Noreturn void give_up(void) {
  end_child(1);
}

/*
 * A process that the container sees is a fork of the supervisor, so it has the supervisor's memory. The tables and buffers are not in that copy
 * (map_own_pages). This wipes the rest, also the part of the stack that earlier calls used.
 */
static __attribute__((noinline)) void forget_supervisor(void) {
  volatile uint8_t left[16384];
  for (size_t i = 0; i < sizeof left; i++)
    left[i] = 0;
  memset(&supervisor, 0, sizeof supervisor);
  log_forget();
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
  forget_supervisor();
}

int join_pid_namespace(struct child *child) {
  if (child->pid_namespace >= 0 && setns(child->pid_namespace, CLONE_NEWPID) < 0)
    return fail("setns", "the pid namespace");
  close_fd(&child->pid_namespace);
  return 0;
}

int prepare_for_user_namespace(struct child *child) {
  if (!child->maker || child->pid_namespace < 0)
    return 0;
  if (private_procfs(child) < 0)
    return fail("fsopen", "proc");
  return make_early_procfs(child) < 0 ? -1 : join_pid_namespace(child);
}

/*
 * Until here the maker did the work. It is in the supervisor's pid namespace, where no container sees it. The process that it makes now is
 * visible from its first instruction, and a container may trace it and read its memory. So the new process has only the container's root,
 * working directory and namespaces, the final rights of its plan, and these descriptors: its streams, the socket to the supervisor and the
 * container's root. It is a child of the supervisor, not of the maker.
 */
int be_born(struct child *child) {
  if (!child->maker)
    return 0;
  uint32_t operation = failure->operation;
  failure->operation = FAILURE_STEM;
  if (join_pid_namespace(child) < 0)
    return -1;
  close_fd(&child->procfs);
  close_fd(&child->early_procfs);
  close_fd(&child->masked);
  close_fd(&child->handed_root);
  int keep[3 + PRESERVED_LIMIT] = {child->socket, child->root, child->gate};
  for (unsigned i = 0; i < child->preserved; i++)
    keep[3 + i] = 3 + (int)i;
  close_all_but(keep, 3 + child->preserved);
  for (int i = 0; i < 3; i++)
    child->stdio[i] = i;
  if (madvise((void *)(uintptr_t)child->born, BORN_SIZE, MADV_DONTFORK) < 0)
    return fail("madvise", "");
  /* Not clone3, and no flag that a filter might check: the seccomp filter may be active already. */
  long pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0, child->born, 0, 0);
  if (pid < 0)
    return fail("clone", "");
  if (pid > 0)
    end_child(0);
  child->maker = false;
  child->born = NULL;
  follow_supervisor(child);
  if (limit_processes(child) < 0)
    return -1;
  if (child->wants_session && take_session(child) < 0)
    return -1;
  failure->operation = operation;
  return 0;
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

static int move_above(int *fd, int first) {
  if (*fd < 0 || *fd >= first)
    return 0;
  int moved = fcntl(*fd, F_DUPFD_CLOEXEC, first);
  if (moved < 0)
    return fail("fcntl", "F_DUPFD_CLOEXEC");
  close_fd(fd);
  *fd = moved;
  return 0;
}

/* The program's descriptors get the numbers from 3 on. Open descriptors with these numbers move to higher numbers first. */
static int place_preserved(struct child *child, int *fds, unsigned count) {
  int first = 3 + (int)count;
  int *own[] = {&child->socket, &child->pid_namespace, &child->root,     &child->handed_root, &child->procfs,
                &child->early_procfs, &child->masked,  &child->stdio[0], &child->stdio[1],    &child->stdio[2],
                &child->gate};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (move_above(own[i], first) < 0)
      return -1;
  }
  for (unsigned i = 0; i < count; i++) {
    if (move_above(&fds[i], first) < 0)
      return -1;
  }
  for (unsigned i = 0; i < count; i++) {
    if (dup2(fds[i], 3 + (int)i) < 0)
      return fail("dup2", "");
    close_fd(&fds[i]);
  }
  child->preserved = count;
  return 0;
}

static int take_handed(struct child *child, int *fds, unsigned given) {
  const struct handed *handed = &child->shared->handed;
  unsigned at = 0;
  if (given != (handed->streams ? 3u : 0) + (handed->root ? 1u : 0) + (handed->gate ? 1u : 0) + handed->preserved)
    return fail_with(EBADF, "request", "a descriptor is missing");
  for (int i = 0; handed->streams && i < 3; i++)
    child->stdio[i] = fds[at++];
  if (handed->root)
    child->handed_root = fds[at++];
  if (handed->gate)
    child->gate = fds[at++];
  child->direct = handed->direct;
  return handed->preserved ? place_preserved(child, fds + at, handed->preserved) : 0;
}

_Noreturn void live_as_stem(struct child *child, uint32_t namespaces, int pid_namespace, const int *cgroups, unsigned count) {
  int fds[LETTER_FDS];
  unsigned given = 0;
  begin(child, cgroups, count, pid_namespace);
  join_cgroups(cgroups, count);
  if (pid_namespace >= 0) {
    /* A process with that pid namespace would see this process, with the host's root, while it waits and mounts. So this process stays
     * outside; it is only the maker of the process that enters. */
    child->maker = true;
    child->pid_namespace = pid_namespace;
    if (namespaces & CLONE_NEWUSER && prepare_for_user_namespace(child) < 0)
      give_up();
    if (namespaces & CLONE_NEWUSER) {
      /* Not with clone: the process would lose the right to join the pid namespace. */
      if (unshare((int)(namespaces & ~(uint32_t)STEM_LATER)) < 0) {
        fail("unshare", "user");
        give_up();
      }
      if (send_letter(child->socket, SAYS_UNMAPPED, NULL, 0) < 0)
        give_up();
    }
  }
  if (namespaces & CLONE_NEWUSER) {
    /* The first letter says that the maps are written. Before that, the namespace has no root user. */
    if (receive_letter(child->socket, fds, &given) != SAYS_GO)
      give_up();
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
      fail("setresuid", "root of the user namespace");
      give_up();
    }
    follow_supervisor(child);
  }
  if (namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0) {
    fail("unshare", "cgroup");
    give_up();
  }
  child->shared->stage = STAGE_READY;
  if (send_letter(child->socket, SAYS_READY, NULL, 0) < 0)
    give_up();
  given = LETTER_FDS;
  if (receive_letter(child->socket, fds, &given) != SAYS_GO)
    give_up();
  /* Only now: a stem may be old, and the mounts that the host made since then must also be visible in it. */
  if (namespaces & CLONE_NEWNS && unshare(CLONE_NEWNS) < 0) {
    fail("unshare", "mount");
    give_up();
  }
  if (take_handed(child, fds, given) < 0)
    give_up();
  child->uncommitted = true;
  execute_plan(child);
  give_up();
}

_Noreturn void live_as_exec(struct child *child, int init, int namespaces, pid_t chrooted, const int *cgroups, unsigned count) {
  begin(child, cgroups, count, init);
  join_cgroups(cgroups, count);
  child->maker = true;
  child->pid_namespace = init;
  int outside = -1;
  if (chrooted > 0) {
    /* The root of the mount namespace is not the container's root. The container's first process has the right root. */
    char path[64];
    struct text text = {path, 0, sizeof path};
    text_add(&text, "/proc/");
    text_add_number(&text, (uint64_t)chrooted, 1);
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
