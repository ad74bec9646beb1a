#define _GNU_SOURCE
#include "child.h"

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
 * A procfs shows the pid namespace of the process that opened it. So one process has to be in the namespace that is joined, with the right to
 * mount, which fsopen asks for; and whoever has that namespace sees it there, and may take it over (CAP_SYS_PTRACE). This is the opener. It is
 * made by a process that nobody there sees and that gives away first what it has: the opener has an empty root, no descriptor but a socket, no
 * memory that others write to, the container's namespaces or new ones, of its capabilities CAP_SYS_ADMIN, and a filter with which it can open
 * file systems, send them and end. What it opens is mounted by the maker.
 */

#define OPENER_MS 5000 /* it takes no time, but those who see it can stop it */
#define OPENER_FLAGS (CLONE_PARENT | SIGCHLD)
#define RIGHT_TO_MOUNT (1u << 21) /* CAP_SYS_ADMIN */

static const char what[] = "a procfs of the pid namespace that is joined";

/* Whoever takes the opener over has these calls and no other; the clone that makes it is among them, and makes only more of it. */
static int leave_openers_calls(void) {
  struct sock_filter instructions[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsopen, 6, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), /* the kernel looks at this half of the flags only */
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
  /* What is killed in the end is the group, whatever the opener has become. */
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
  /* The plan comes there: who could write to it would have the maker's rights. */
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
  /* The kernel's word for a namespace whose first process has ended is ENOMEM. */
  if (pid < 0)
    fail_with(errno == ENOMEM ? ESRCH : errno, "clone", what);
  _exit(0);
}

/* What the opener sent, or -1. Only the descriptor is believed, and that not much. */
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

/* Until both have ended: nobody is to meet the opener beside the container. They can be held, and are killed then. */
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
    setpgid(pid, pid); /* as it does itself: who is first */
    context = receive_context(pair[0], deadline);
    if (await_group(pid, deadline) < 0)
      close_fd(&context);
  }
  close_fd(&pair[0]);
  sigprocmask(SIG_SETMASK, &before, NULL);
  /* Whoever took the opener over may have sent anything, or changed it. No other file system knows this option. */
  if (context >= 0 && sys_fsconfig(context, FSCONFIG_SET_STRING, "hidepid", "0") < 0) {
    fail("fsconfig", what);
    close_fd(&context);
  }
  return context;
}

/* What cannot be asked counts as another one: the mount then says what is wrong. */
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
