#define _GNU_SOURCE
#include "../child/child.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

/*
 * A procfs shows the pid namespace of the process that opened it. So one process must enter the joined namespace with the right to mount, which
 * fsopen needs. Processes in that namespace see this process there and may take control of it (CAP_SYS_PTRACE). We call it the opener.
 * A process that is invisible there makes the opener, and first gives up what it has. So the opener has: an empty root; no descriptor except a
 * socket; no memory that others write to; the container's namespaces or new ones; only the capability CAP_SYS_ADMIN; and a filter that allows
 * it to open file systems, to send them and to end. The maker mounts what the opener opened.
 */

#define OPENER_MS 5000 /* the opener needs almost no time, but a process that sees it can stop it */
#define OPENER_FLAGS (CLONE_PARENT | SIGCHLD)
#define RIGHT_TO_MOUNT (1u << 21) /* CAP_SYS_ADMIN */

static const char what[] = "a procfs of the pid namespace that is joined";

/* A process that takes control of the opener can use only these calls. The clone that makes the opener is one of them; it makes only more openers. */
static int leave_openers_calls(void) {
  struct sock_filter instructions[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsopen, 6, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), /* the kernel looks only at this half of the flags */
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OPENER_FLAGS, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct filter_program program = {sizeof instructions / sizeof *instructions, instructions};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? fail("seccomp", what) : 0;
}

static int enter_empty_root(struct child *child) {
  int at = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return fail("mount", "/");
  child->root = make_empty_directory();
  if (child->root < 0)
    return -1;
  if (sys_move_mount(child->root, at) < 0)
    return fail("move_mount", "/proc");
  close_fd(&at);
  int done = do_pivot_root(child);
  close_fd(&child->root);
  return done;
}

static int cut_off(struct child *child, int socket, bool early) {
  static const struct operation rights = {.capabilities = {.effective = RIGHT_TO_MOUNT, .permitted = RIGHT_TO_MOUNT}};
  const int others = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET;
  /* At the end the whole process group is killed, whatever the opener has become. */
  if (setpgid(0, 0) < 0)
    return fail("setpgid", "");
  if (join_pid_namespace(child) < 0)
    return -1;
  if (dup2(socket, 0) < 0 || sys_close_range(1, UINT32_MAX, 0) < 0)
    return fail("close_range", "");
  if (unshare(CLONE_NEWNS | (early ? others : 0)) < 0)
    return fail("unshare", what);
  if (enter_empty_root(child) < 0)
    return -1;
  /* The plan will be in this memory. A process that could write to it would have the maker's rights. */
  if (madvise(child->shared, SHARED_SIZE, MADV_DONTFORK) < 0 || madvise((void *)(uintptr_t)child->born, BORN_SIZE, MADV_DONTFORK) < 0)
    return fail("madvise", "");
  if (do_capabilities(&rights) < 0)
    return -1;
  return leave_openers_calls();
}

static _Noreturn void live_as_opener(void) {
  int context = sys_fsopen("proc");
  (void)!(context < 0 ? send_letter(0, (char)errno, NULL, 0) : send_letter(0, SAYS_READY, &context, 1));
  _exit(0);
}

static _Noreturn void make_opener(const struct child *maker, int socket, bool early) {
  struct child child = *maker;
  if (cut_off(&child, socket, early) < 0)
    _exit(1);
  long pid = syscall(SYS_clone, OPENER_FLAGS, 0, 0, 0, 0);
  if (pid == 0)
    live_as_opener();
  /* When the first process of a namespace has ended, the kernel reports ENOMEM. */
  if (pid < 0)
    fail_with(errno == ENOMEM ? ESRCH : errno, "clone", what);
  _exit(0);
}

/* The descriptor that the opener sent, or -1. Nothing else in its message is used, and the descriptor is checked too. */
static int receive_context(int socket, int64_t deadline) {
  struct pollfd polled = {.fd = socket, .events = POLLIN};
  int context = -1;
  unsigned count = 1;
  int64_t left = deadline - monotonic_ms();
  if (poll(&polled, 1, left > 0 ? (int)left : 0) <= 0)
    return fail_with(ETIMEDOUT, "fsopen", what);
  int letter = receive_letter(socket, &context, &count);
  if (letter > 0 && count == 0)
    return fail_with(letter, "fsopen", what);
  return count ? context : fail_with(ECANCELED, "fsopen", what);
}

/* Waits until both processes have ended, so that no container process meets the opener. A container can stop them; then they are killed. */
static int await_group(pid_t group, int64_t deadline) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGCHLD);
  for (;;) {
    pid_t pid;
    do
      pid = waitpid(-group, NULL, WNOHANG | __WALL);
    while (pid > 0);
    if (pid < 0)
      return 0;
    int64_t left = deadline - monotonic_ms();
    struct timespec time = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
    if (left <= 0)
      break;
    sigtimedwait(&ends, NULL, &time);
  }
  kill(-group, SIGKILL);
  return fail_with(ETIMEDOUT, "fsopen", what);
}

int open_joined_procfs(const struct child *child, bool early) {
  int pair[2];
  sigset_t ends, before;
  const int64_t deadline = monotonic_ms() + OPENER_MS;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return fail("socketpair", "");
  signal(SIGCHLD, SIG_DFL);
  sigemptyset(&ends);
  sigaddset(&ends, SIGCHLD);
  sigprocmask(SIG_BLOCK, &ends, &before);
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0)
    make_opener(child, pair[1], early);
  close_fd(&pair[1]);
  int context = -1;
  if (pid < 0) {
    fail("clone", what);
  } else {
    setpgid(pid, pid); /* the child does the same: whichever comes first */
    context = receive_context(pair[0], deadline);
    if (await_group(pid, deadline) < 0)
      close_fd(&context);
  }
  close_fd(&pair[0]);
  sigprocmask(SIG_SETMASK, &before, NULL);
  /* A process that took control of the opener may have sent anything, or changed the context. Only procfs knows this option. */
  if (context >= 0 && sys_fsconfig(context, FSCONFIG_SET_STRING, "hidepid", "0") < 0) {
    fail("fsconfig", what);
    close_fd(&context);
  }
  return context;
}

/* If the namespaces cannot be compared, the answer is true: the mount then reports the problem. */
bool joins_another_pid_namespace(const struct child *child) {
  struct stat wanted, own;
  if (!child->maker || child->pid_namespace < 0)
    return false;
  return fstat(child->pid_namespace, &wanted) < 0 || stat("/proc/self/ns/pid", &own) < 0 || wanted.st_ino != own.st_ino || wanted.st_dev != own.st_dev;
}

int check_joined_procfs(const struct child *child, int mount) {
  struct stat wanted, shown;
  struct statfs about;
  if (fstat(child->pid_namespace, &wanted) < 0 || fstatfs(mount, &about) < 0)
    return fail("stat", what);
  if (about.f_type != PROC_SUPER_MAGIC)
    return fail_with(EINVAL, "fsmount", what);
  if (fstatat(mount, "1/ns/pid", &shown, 0) < 0 || shown.st_ino != wanted.st_ino || shown.st_dev != wanted.st_dev)
    return fail_with(ESRCH, "fsmount", what);
  return 0;
}
