/* Processes: signals, waiting, and starting one from a descriptor. */
#include "addon.h"
#include "threads.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_SPAWN_FDS 256
#define CHILD_STACK_BYTES (64 * 1024)
#define KERNEL_SIGNALS 64

static napi_value method_pidfdOpen(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int pid;
  CHECK(get_int(env, argv[0], &pid));
  return give_result(env, syscall(SYS_pidfd_open, pid, 0));
}

static napi_value method_pidfdSendSignal(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd, number;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_int(env, argv[1], &number));
  return give_result(env, syscall(SYS_pidfd_send_signal, fd, number, NULL, 0));
}

static napi_value method_kill(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int pid, number;
  CHECK(get_int(env, argv[0], &pid));
  CHECK(get_int(env, argv[1], &number));
  return give_result(env, kill(pid, number));
}

/* waitpid(pid): 0 while the process runs, else 0x10000 | wait status. `pid` must be one child. */
static napi_value method_waitpid(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int pid, status = 0;
  CHECK(get_int(env, argv[0], &pid));
  if (pid <= 0) return give(env, -EINVAL);
  int64_t found = RETRY(waitpid(pid, &status, WNOHANG));
  if (found <= 0) return give_result(env, found);
  return give(env, 0x10000 | status);
}

/* setSubreaper(on): while it is on, a descendant whose parent ends becomes a child of this process. */
static napi_value method_setSubreaper(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int on;
  CHECK(get_int(env, argv[0], &on));
  return give_result(env, prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0));
}

/* The text of proc_pid_stat(5). `text` has room for all of it and ends with NUL. Returns minus errno, -ESRCH when the process does not exist. */
static int read_stat(int pid, char *text, size_t size) {
  char name[40];
  snprintf(name, sizeof name, "/proc/%d/stat", pid);
  int fd = (int)RETRY(open(name, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return errno == ENOENT ? -ESRCH : -errno;
  int64_t length = RETRY(read(fd, text, size - 1));
  int error = errno;
  close(fd);
  if (length < 0) return -error;
  text[length] = 0;
  return 0;
}

/* The command's name may contain spaces and brackets, so fields are counted from after the last bracket. The state is field 3. NULL when there
 * is none. */
static const char *stat_field(const char *text, int wanted) {
  const char *field = strrchr(text, ')');
  for (int number = 2; field != NULL && number < wanted; number++) field = strchr(field + 1, ' ');
  return field == NULL ? NULL : field + 1;
}

#define STAT_STATE 3
#define STAT_FLAGS 9
#define STAT_START 22
#define STAT_BYTES 2048

/* Of <linux/sched.h>: on its way out of the kernel. */
#define PF_EXITING 4

static bool runs(int pid, double start_time) {
  char text[STAT_BYTES];
  if (read_stat(pid, text, sizeof text) < 0) return false;
  const char *state = stat_field(text, STAT_STATE), *flags = stat_field(text, STAT_FLAGS), *start = stat_field(text, STAT_START);
  if (state == NULL || flags == NULL || start == NULL || *state == 'Z' || *state == 'X') return false;
  return (strtoul(flags, NULL, 10) & PF_EXITING) == 0 && (double)strtoull(start, NULL, 10) == start_time;
}

/* countRunning(processes: Float64Array): returns how many of them run, counted from the first on. Each process is two numbers: its pid and its
 * start time in clock ticks since boot. */
static napi_value method_countRunning(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  byte_view view;
  CHECK(get_bytes(env, argv[0], &view));
  const double *processes = (const double *)(const void *)view.data;
  int64_t count = 0, all = (int64_t)(view.length / (2 * sizeof *processes));
  while (count < all && runs((int)processes[2 * count], processes[2 * count + 1])) count++;
  return give(env, count);
}

struct child_task {
  int executable;
  int count;
  int fds[MAX_SPAWN_FDS];
  char **arguments;
  char **environment;
  bool new_session;
  /* Directory of the v2 cgroup in which the child starts, or -1. */
  int cgroup;
  /* The child writes it. The child shares this memory until it executes. */
  int error;
};

struct kernel_sigaction {
  void *handler;
  unsigned long flags;
  void *restorer;
  uint64_t mask;
};

/* Moves a descriptor out of the range of numbers that the child's own descriptors will have. */
static int move_above(int fd, int limit) {
  return fd >= limit ? fd : fcntl(fd, F_DUPFD_CLOEXEC, limit);
}

/* The child runs this on its own stack, but in the parent's memory: only plain syscalls, and writes only to `task`. */
static int run_child(void *argument) {
  struct child_task *task = argument;
  struct kernel_sigaction reset = {0};
  for (int number = 1; number <= KERNEL_SIGNALS; number++) syscall(SYS_rt_sigaction, number, &reset, NULL, sizeof(uint64_t));
  if (task->new_session && setsid() < 0) goto failed;

  int executable = move_above(task->executable, task->count);
  if (executable < 0) goto failed;
  for (int index = 0; index < task->count; index++) {
    int source = task->fds[index];
    if (source < 0) source = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (source < 0) goto failed;
    int moved = move_above(source, task->count);
    if (moved < 0) goto failed;
    task->fds[index] = moved;
  }
  for (int index = 0; index < task->count; index++)
    if (dup3(task->fds[index], index, 0) < 0) goto failed;
  /*
   * The parent runs again before the kernel has closed what is marked to be closed on exec; a port that the parent then closes and opens again would
   * still be in use. So all others are closed here, but for the executable, which the kernel still reads.
   */
  if (executable > task->count && syscall(SYS_close_range, task->count, executable - 1, 0) < 0) goto failed;
  if (syscall(SYS_close_range, executable + 1, ~0U, 0) < 0) goto failed;
  if (fcntl(executable, F_SETFD, FD_CLOEXEC) < 0) goto failed;

  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
  syscall(SYS_execveat, executable, "", task->arguments, task->environment, AT_EMPTY_PATH);
failed:
  task->error = errno;
  _exit(127);
}

#define CLONE_INTO_CGROUP_FLAG UINT64_C(0x200000000)
struct clone_arguments {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/*
 * The clone() of the C library, but for a child that starts in a cgroup; only clone3 can do that. Moving a process into a v2 cgroup later would
 * stop every fork, exec and exit of the machine for a moment.
 */
static long clone_into_cgroup(struct child_task *task, char *stack, unsigned flags) {
#if defined(__x86_64__)
  struct clone_arguments arguments = {
      .flags = flags | CLONE_INTO_CGROUP_FLAG,
      .exit_signal = SIGCHLD,
      .stack = (uint64_t)(uintptr_t)stack,
      .stack_size = CHILD_STACK_BYTES,
      .cgroup = (uint64_t)task->cgroup,
  };
  long result;
  register int (*child)(void *) __asm__("r8") = run_child;
  register struct child_task *argument __asm__("r9") = task;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r9, %%rdi\n\t"
      "call *%%r8\n\t" /* the child does not return */
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(&arguments), "S"(sizeof arguments), "r"(child), "r"(argument)
      : "rcx", "r11", "memory");
  if (result < 0) {
    errno = (int)-result;
    return -1;
  }
  return result;
#else
  (void)task, (void)stack, (void)flags;
  errno = ENOSYS;
  return -1;
#endif
}

/* Starts the child as vfork does: this thread sleeps until the child has executed or failed. Returns the child's pid, or minus errno. */
static int start_child(struct child_task *task) {
  char *stack = mmap(NULL, CHILD_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  /* All signals are blocked, the C library's own too: no signal handler of this process may run in the child. */
  uint64_t all = ~UINT64_C(0), before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int pid = task->cgroup >= 0 ? (int)clone_into_cgroup(task, stack, CLONE_VM | CLONE_VFORK)
                              : clone(run_child, stack + CHILD_STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, task);
  int error = errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  munmap(stack, CHILD_STACK_BYTES);
  if (pid < 0) return -error;
  if (task->error == 0) return pid;
  RETRY(waitpid(pid, NULL, 0));
  return -task->error;
}

/* The result points into `block`, which contains strings that each end with NUL. The result ends with a null pointer; it is NULL when there is
 * no memory. */
static char **string_list(char *block, size_t length) {
  size_t count = 0;
  for (size_t index = 0; index < length; index++) count += block[index] == 0;
  char **list = malloc((count + 1) * sizeof *list);
  if (list == NULL) return NULL;
  char *next = block;
  for (size_t index = 0; index < count; index++) {
    list[index] = next;
    next += strlen(next) + 1;
  }
  list[count] = NULL;
  return list;
}

/* spawn(executableFd, argv: bytes, env: bytes, fds: Int32Array, newSession, cgroup or -1): each string of argv and env ends with NUL. */
static napi_value method_spawn(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  int new_session;
  byte_view arguments, environment, fds;
  struct child_task task = {.error = 0};
  CHECK(get_int(env, argv[0], &task.executable));
  CHECK(get_bytes(env, argv[1], &arguments));
  CHECK(get_bytes(env, argv[2], &environment));
  CHECK(get_bytes(env, argv[3], &fds));
  CHECK(get_int(env, argv[4], &new_session));
  CHECK(get_int(env, argv[5], &task.cgroup));
  if (fds.length > sizeof task.fds) return give(env, -EINVAL);
  if (arguments.length == 0 || arguments.data[arguments.length - 1] != 0) return give(env, -EINVAL);
  if (environment.length > 0 && environment.data[environment.length - 1] != 0) return give(env, -EINVAL);
  memcpy(task.fds, fds.data, fds.length);
  task.count = (int)(fds.length / sizeof(int));
  task.new_session = new_session != 0;
  task.arguments = string_list((char *)arguments.data, arguments.length);
  task.environment = string_list((char *)environment.data, environment.length);
  int result = task.arguments == NULL || task.environment == NULL ? -ENOMEM : start_child(&task);
  free(task.arguments);
  free(task.environment);
  return give(env, result);
}

#define MAX_RANGES 16

struct range {
  uint64_t start, length;
};

struct release_task {
  int64_t after_ms;
  int count;
  struct range ranges[MAX_RANGES];
};

static int release_ranges(const struct release_task *task) {
  for (int index = 0; index < task->count; index++)
    if (madvise((void *)(uintptr_t)task->ranges[index].start, task->ranges[index].length, MADV_DONTNEED) < 0) return -errno;
  return 0;
}

static void *release_later(void *argument) {
  struct release_task *task = argument;
  struct timespec left = {.tv_sec = task->after_ms / 1000, .tv_nsec = task->after_ms % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
  /* Nobody is left who could read an error. */
  release_ranges(task);
  free(task);
  return NULL;
}

/*
 * releasePages(ranges: BigUint64Array, afterMs): unmaps pages of this process that can be read from a file again. Each range is two numbers: its
 * start and its length in bytes. With afterMs > 0 a thread of its own does it that much later, and nothing is returned about it: the caller's
 * thread can meanwhile go to sleep, so it does not map pages again on its way there.
 */
static napi_value method_releasePages(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  byte_view view;
  uint64_t after_ms;
  CHECK(get_bytes(env, argv[0], &view));
  CHECK(get_size(env, argv[1], &after_ms));
  if (view.length > MAX_RANGES * sizeof(struct range)) return give(env, -EINVAL);
  struct release_task *task = malloc(sizeof *task);
  if (task == NULL) return give(env, -ENOMEM);
  task->after_ms = (int64_t)after_ms;
  task->count = (int)(view.length / sizeof(struct range));
  if (view.length > 0) memcpy(task->ranges, view.data, task->count * sizeof(struct range));
  if (after_ms > 0) {
    pthread_t thread;
    int error = start_thread(&thread, true, release_later, task);
    if (!error) return give(env, 0);
  }
  /* At once, also when no thread can be made. */
  int result = release_ranges(task);
  free(task);
  return give(env, result);
}

const struct method process_methods[] = {
    {"pidfdOpen", method_pidfdOpen},
    {"pidfdSendSignal", method_pidfdSendSignal},
    {"kill", method_kill},
    {"waitpid", method_waitpid},
    {"setSubreaper", method_setSubreaper},
    {"countRunning", method_countRunning},
    {"spawn", method_spawn},
    {"releasePages", method_releasePages},
    {NULL, NULL},
};
