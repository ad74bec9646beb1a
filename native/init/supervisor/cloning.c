#define _GNU_SOURCE
#include "supervisor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define UNMAPPED_MS 10000

/* The cgroups of a new process: files to write "0" to, and a v2 cgroup in which the process can start. */
struct cgroups {
  int files[CGROUPS_LIMIT];
  unsigned count;
  int born_in; /* directory, or -1 */
};

static void close_cgroups(struct cgroups *cgroups) {
  for (unsigned i = 0; i < cgroups->count; i++)
    close_fd(&cgroups->files[i]);
  close_fd(&cgroups->born_in);
  cgroups->count = 0;
}

static int open_directory_of(const char *file) {
  char path[4096];
  const char *slash = strrchr(file, '/');
  size_t length = slash ? (size_t)(slash - file) : 0;
  if (length == 0 || length >= sizeof path)
    return -1;
  memcpy(path, file, length);
  path[length] = 0;
  return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Starting in a cgroup costs nothing; moving a process there later waits for a grace period of the whole machine. Only v2 can start a process
 * in a cgroup, and the kernel may refuse it: for the second try `directly` is false.
 */
static int open_cgroups(const struct stem_request *request, struct cgroups *cgroups, bool directly) {
  struct reader items = request->cgroups.items;
  cgroups->count = 0;
  cgroups->born_in = -1;
  for (uint32_t i = 0; i < request->cgroups.count; i++) {
    const char *path = read_text(&items);
    struct statfs about;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
      fail("open", path);
      close_cgroups(cgroups);
      return -1;
    }
    if (directly && cgroups->born_in < 0 && fstatfs(fd, &about) == 0 && (uint32_t)about.f_type == CGROUP2_SUPER_MAGIC) {
      cgroups->born_in = open_directory_of(path);
      if (cgroups->born_in >= 0) {
        close_fd(&fd);
        continue;
      }
    }
    cgroups->files[cgroups->count++] = fd;
  }
  return 0;
}

/* The data that the child uses. It is made before the child, because the supervisor's tables are not in the child's memory. */
static void init_child(struct child *child, const struct process *process) {
  memset(child, 0, sizeof *child);
  child->shared = process->shared;
  child->born = process->born;
  child->pid_namespace = -1;
  child->socket = -1;
  child->root = child->handed_root = child->procfs = child->early_procfs = child->masked = child->gate = -1;
  child->stdio[0] = child->stdio[1] = child->stdio[2] = -1;
}

/* clone3 without a stack continues in both processes, as fork does. Returns 0 in the child. */
static pid_t clone_process(struct process *process, uint64_t flags, const struct stem_request *request, struct cgroups *cgroups, struct child *child) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return fail("socketpair", "");
  struct clone_arguments arguments = {
      .flags = flags | CLONE_PIDFD | (cgroups->born_in >= 0 ? CLONE_INTO_CGROUP : 0),
      .pidfd = (uint64_t)(uintptr_t)&process->pidfd,
      .exit_signal = SIGCHLD,
      .cgroup = cgroups->born_in >= 0 ? (uint64_t)cgroups->born_in : 0,
  };
  process->pidfd = -1;
  void *shared = process->shared, *born = (void *)(uintptr_t)process->born;
  madvise(shared, SHARED_SIZE, MADV_DOFORK);
  madvise(born, BORN_SIZE, MADV_DOFORK);
  pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0 && cgroups->born_in >= 0) {
    close_cgroups(cgroups);
    if (open_cgroups(request, cgroups, false) < 0) {
      close(pair[0]);
      close(pair[1]);
      return -1;
    }
    arguments.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
    arguments.cgroup = 0;
    pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  }
  if (pid < 0) {
    fail("clone3", "");
    close(pair[0]);
    close(pair[1]);
    return -1;
  }
  if (pid == 0) {
    child->socket = pair[1];
    return 0;
  }
  madvise(shared, SHARED_SIZE, MADV_DONTFORK);
  madvise(born, BORN_SIZE, MADV_DONTFORK);
  close(pair[1]);
  process->socket = pair[0];
  process->pid = pid;
  set_nonblocking(pair[0]);
  return pid;
}

/* When a stem joins a pid namespace, it makes its user namespace itself. This process runs our own program and does nothing that can wait. */
static int await_unmapped(const struct process *process) {
  struct pollfd polled = {.fd = process->socket, .events = POLLIN};
  unsigned none = 0;
  if (poll(&polled, 1, UNMAPPED_MS) == 1 && receive_letter(process->socket, NULL, &none) == SAYS_UNMAPPED)
    return 0;
  *failure = process->shared->failure;
  failure->call[sizeof failure->call - 1] = failure->detail[sizeof failure->detail - 1] = 0;
  return fail_with(ECANCELED, "unshare", "user");
}

int make_stem(const struct stem_request *request) {
  struct cgroups cgroups = {.born_in = -1};
  int pid_namespace = -1, done = -1;
  struct process *process = new_process("");
  if (!process)
    return -1;
  if (open_cgroups(request, &cgroups, true) < 0)
    goto out;
  if (*request->join_pid && (pid_namespace = open(request->join_pid, O_RDONLY | O_CLOEXEC)) < 0) {
    fail("open", request->join_pid);
    goto out;
  }
  if (request->namespaces & CLONE_NEWTIME && unshare(CLONE_NEWTIME) < 0) {
    fail("unshare", "time");
    goto out;
  }
  /* They can be set only while no process is in the new namespace. */
  if (*request->time_offsets &&
      write_file(AT_FDCWD, "/proc/self/timens_offsets", request->time_offsets, strlen(request->time_offsets)) < 0) {
    fail("write", "timens_offsets");
    goto out;
  }
  bool maps_itself = pid_namespace >= 0 && request->namespaces & CLONE_NEWUSER;
  struct child child;
  init_child(&child, process);
  pid_t pid = clone_process(process, maps_itself ? 0 : request->namespaces & ~(uint64_t)STEM_LATER, request, &cgroups, &child);
  if (pid == 0)
    live_as_stem(&child, request->namespaces, pid_namespace, cgroups.files, cgroups.count);
  if (pid < 0 || (maps_itself && await_unmapped(process) < 0))
    goto out;
  if (request->namespaces & CLONE_NEWUSER) {
    if (write_maps(pid, request->uid_map, request->gid_map) < 0 || send_letter(process->socket, SAYS_GO, NULL, 0) < 0)
      goto out;
  }
  done = 0;
out:
  close_cgroups(&cgroups);
  close_fd(&pid_namespace);
  if (done < 0)
    drop_process(process);
  return done;
}

/* The container's namespaces that differ from the supervisor's. The kernel does not allow a process to join its own user namespace again. */
static int foreign_namespaces(pid_t pid) {
  static const struct {
    const char *name;
    int flag;
  } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},         {"net", CLONE_NEWNET},  {"ipc", CLONE_NEWIPC},
               {"uts", CLONE_NEWUTS},   {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME}};
  int flags = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[64];
    struct stat theirs, ours;
    struct text text = {path, 0, sizeof path};
    text_add(&text, "/proc/");
    text_add_number(&text, (uint64_t)pid, 1);
    text_add(&text, "/ns/");
    text_add(&text, kinds[i].name);
    if (stat(path, &theirs) < 0)
      continue;
    text.used = 0;
    text_add(&text, "/proc/self/ns/");
    text_add(&text, kinds[i].name);
    if (stat(path, &ours) < 0 || theirs.st_ino != ours.st_ino)
      flags |= kinds[i].flag;
  }
  return flags;
}

int start_exec(struct process *process, const struct stem_request *request, int ends[3]) {
  struct cgroups cgroups = {.born_in = -1};
  int done = -1;
  int init = container()->pidfd;
  int namespaces = foreign_namespaces(container()->pid);
  pid_t chrooted = supervisor.chrooted ? container()->pid : 0;
  if (open_cgroups(request, &cgroups, true) < 0)
    goto out;
  struct child child;
  init_child(&child, process);
  for (int i = 0; i < 3; i++)
    child.stdio[i] = ends[i];
  pid_t pid = clone_process(process, 0, request, &cgroups, &child);
  if (pid == 0)
    live_as_exec(&child, init, namespaces, chrooted, cgroups.files, cgroups.count);
  if (pid > 0)
    done = 0;
out:
  close_cgroups(&cgroups);
  return done;
}

