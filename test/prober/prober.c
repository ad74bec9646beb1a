/*
 * Looks, from inside a container with CAP_SYS_PTRACE, at every process that it can see, as fast as it can, for something that is not the
 * container's: root, working directory, namespaces, descriptors, rights, memory. Ends at SIGTERM and prints what it saw:
 *   looks N processes N newborn N hits N
 * after a line for each of the first hits. Exit status 1 when there were hits.
 *
 * prober [--joined] [--catch|--take-over|--hold|--keep] [--secret TEXT] FORBIDDEN…
 *   FORBIDDEN   "DEVICE:INODE" in decimal, of a directory that must not be reached (the host's /), or a namespace as readlink shows it
 *   --secret    text that must not be in a newborn's memory from SIGUSR1 on, each letter moved up by one
 *   --joined    other containers share the pid namespace: only these are hits: what FORBIDDEN names, and rights that no filter limits
 *   --catch     traces each process from its first instructions on, and looks while it is stopped; it also says
 *               "openers N": those that open a /proc for others (native/init/root/joined-procfs.c)
 *   --take-over makes each opener do something else: everything that it can do is a hit
 *   --hold      keeps the first opener
 *   --keep      traces each process and never waits for its end
 *
 * A newborn is a process whose program is still Fathom's own, from a memory file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t stop, armed;
static unsigned long looks, processes, newborns, hits, openers;
static enum { ONLY_LOOK, CATCH, TAKE_OVER, HOLD, KEEP } mode;
static char **forbidden;
static int forbidden_count;
static bool joined;
static char secret[256];
static struct stat own_root;
static unsigned long long own_rights;
static int own_mounts[4096], own_mount_count;
static const char *const kinds[] = {"mnt", "net", "ipc", "uts", "cgroup", "user", "pid"};
static char own_namespaces[7][64];

static void on_signal(int signal) {
  if (signal == SIGTERM)
    stop = 1;
  else
    armed = 1;
}

static void hit(const char *pid, const char *what, const char *detail) {
  char comm[64] = "";
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/comm", pid);
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? 0 : read(fd, comm, sizeof comm - 1);
  if (fd >= 0)
    close(fd);
  if (length > 0)
    comm[length - 1] = 0;
  if (hits++ < 40)
    printf("hit: process %s (%s): %s %s\n", pid, comm, what, detail);
}

static bool is_forbidden(const char *text) {
  for (int i = 0; i < forbidden_count; i++) {
    if (!strcmp(forbidden[i], text))
      return true;
  }
  return false;
}

static bool is_forbidden_inode(const struct stat *about) {
  char text[64];
  snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)about->st_dev, (unsigned long long)about->st_ino);
  return is_forbidden(text);
}

static void read_own_mounts(void) {
  FILE *file = fopen("/proc/self/mountinfo", "r");
  char line[8192];
  while (file && fgets(line, sizeof line, file) && own_mount_count < 4096)
    own_mounts[own_mount_count++] = atoi(line);
  if (file)
    fclose(file);
}

static bool is_own_mount(int fd) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY);
  ssize_t length = info < 0 ? -1 : read(info, text, sizeof text - 1);
  if (info >= 0)
    close(info);
  if (length <= 0)
    return true;
  text[length] = 0;
  const char *at = strstr(text, "mnt_id:");
  int id = at ? atoi(at + 7) : -1;
  for (int i = 0; i < own_mount_count; i++) {
    if (own_mounts[i] == id)
      return true;
  }
  return false;
}

/* A file with a target: a directory, a file, a device. Pipes and sockets have none. */
static void look_at_file(const char *pid, const char *path, const char *what) {
  struct stat about;
  char link[512] = "";
  looks++;
  ssize_t length = readlink(path, link, sizeof link - 1);
  link[length > 0 ? length : 0] = 0;
  if (!strncmp(link, "/memfd:", 7))
    return;
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0)
    return;
  if (fstat(fd, &about) == 0 && !S_ISFIFO(about.st_mode) && !S_ISSOCK(about.st_mode)) {
    char detail[700];
    snprintf(detail, sizeof detail, "%s is %s (%llu:%llu)", what, link, (unsigned long long)about.st_dev, (unsigned long long)about.st_ino);
    if (is_forbidden_inode(&about))
      hit(pid, "forbidden:", detail);
    else if (!joined && (S_ISDIR(about.st_mode) || S_ISREG(about.st_mode) || S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode)) && !is_own_mount(fd))
      hit(pid, "of a foreign mount:", detail);
  }
  close(fd);
}

static void look_at_root(const char *pid) {
  char path[300];
  struct stat about;
  looks++;
  snprintf(path, sizeof path, "/proc/%s/root", pid);
  if (stat(path, &about) < 0)
    return;
  if (is_forbidden_inode(&about) || (!joined && (about.st_dev != own_root.st_dev || about.st_ino != own_root.st_ino)))
    hit(pid, "foreign root", "");
}

static void look_at_namespaces(const char *pid) {
  for (int i = 0; i < 7; i++) {
    char path[300], link[64] = "";
    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, kinds[i]);
    looks++;
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length <= 0)
      continue;
    link[length] = 0;
    if (is_forbidden(link) || (!joined && strcmp(link, own_namespaces[i])))
      hit(pid, "foreign namespace", link);
  }
}

struct rights {
  unsigned long long permitted;
  bool filtered; /* a seccomp filter limits them */
};

static unsigned long long field_of(const char *status, const char *name, int base) {
  const char *at = strstr(status, name);
  return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static struct rights rights_of(const char *pid) {
  char path[300], text[4096];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0)
    close(fd);
  text[length > 0 ? length : 0] = 0;
  return (struct rights){field_of(text, "CapPrm:", 16), field_of(text, "\nSeccomp:", 10) == 2};
}

static void look_at_memory(const char *pid) {
  char path[300], line[1024];
  static char bytes[1 << 20];
  snprintf(path, sizeof path, "/proc/%s/mem", pid);
  int memory = open(path, O_RDONLY | O_CLOEXEC);
  snprintf(path, sizeof path, "/proc/%s/maps", pid);
  FILE *maps = fopen(path, "r");
  while (memory >= 0 && maps && armed && *secret && fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    char mode[8];
    if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' || mode[1] != 'w')
      continue;
    size_t size = to - from > sizeof bytes ? sizeof bytes : to - from;
    ssize_t got = pread(memory, bytes, size, (off_t)from);
    looks++;
    if (got > 0 && memmem(bytes, (size_t)got, secret, strlen(secret)))
      hit(pid, "another's data in memory:", line);
  }
  if (maps)
    fclose(maps);
  if (memory >= 0)
    close(memory);
}

static void look_at_descriptors(const char *pid) {
  char path[600];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR *directory = opendir(path);
  struct dirent *entry;
  while (directory && (entry = readdir(directory))) {
    if (entry->d_name[0] == '.')
      continue;
    snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
    look_at_file(pid, path, entry->d_name);
  }
  if (directory)
    closedir(directory);
}

static void look_at(const char *pid) {
  char path[300], link[64] = "";
  processes++;
  look_at_root(pid);
  snprintf(path, sizeof path, "/proc/%s/cwd", pid);
  look_at_file(pid, path, "cwd");
  look_at_namespaces(pid);
  look_at_descriptors(pid);
  snprintf(path, sizeof path, "/proc/%s/exe", pid);
  ssize_t length = readlink(path, link, sizeof link - 1);
  if (length > 0 && !strncmp(link, "/memfd:", 7)) {
    newborns++;
    struct rights rights = rights_of(pid);
    char text[64];
    snprintf(text, sizeof text, "%llx", rights.permitted);
    if (rights.permitted & ~own_rights && !(joined && rights.filtered))
      hit(pid, "rights that the container does not have:", text);
    look_at_memory(pid);
  }
}

/* Makes the stopped process do another call than its own: its filter must end it. */
static void take_over(pid_t pid, const char *text) {
#ifdef __x86_64__
  static const struct {
    const char *name;
    long number, first, second, third;
  } calls[] = {
      {"openat", SYS_openat, AT_FDCWD, 0, 0}, {"read", SYS_read, 0, 0, 0},
      {"fsconfig", 431, 1, 6, 0},             {"mount", SYS_mount, 0, 0, 0},
      {"clone", SYS_clone, 0x10000000, 0, 0}, {"execve", SYS_execve, 0, 0, 0},
      {"setns", SYS_setns, 0, 0, 0},          {"getpid of x32", SYS_getpid | 0x40000000, 0, 0, 0},
  };
  static unsigned turn;
  const unsigned at = turn++ % (sizeof calls / sizeof *calls);
  struct user_regs_struct registers;
  int status;
  if (ptrace(PTRACE_GETREGS, pid, 0, &registers) < 0)
    return;
  /* It is stopped after a call or before its first one; the instruction that made the call is there. */
  if ((ptrace(PTRACE_PEEKTEXT, pid, (void *)(registers.rip - 2), 0) & 0xffff) != 0x050f && ptrace(PTRACE_POKETEXT, pid, (void *)(registers.rip - 2), (void *)0x050fL) < 0)
    return;
  registers.rip -= 2;
  registers.orig_rax = (unsigned long long)-1;
  registers.rax = (unsigned long long)calls[at].number;
  registers.rdi = (unsigned long long)calls[at].first;
  registers.rsi = (unsigned long long)calls[at].second;
  registers.rdx = (unsigned long long)calls[at].third;
  if (ptrace(PTRACE_SETREGS, pid, 0, &registers) < 0 || ptrace(PTRACE_CONT, pid, 0, 0) < 0)
    return;
  /* Some kernels report the filter's signal first. A call that was allowed continues to another end. */
  while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
    ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGSYS ? SIGSYS : 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
    hit(text, "an opener under our control could call", calls[at].name);
#else
  (void)text;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, __WALL);
#endif
}

static void look_while_it_stands(pid_t pid) {
  char text[16];
  int status;
  snprintf(text, sizeof text, "%d", pid);
  if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
    return;
  look_at(text);
  struct rights rights = rights_of(text);
  if (rights.filtered && rights.permitted == 1 << 21) {
    openers++;
    if (mode == HOLD) {
      printf("held\n");
      fflush(stdout);
      while (!stop)
        pause();
      return;
    }
    if (mode == TAKE_OVER) {
      take_over(pid, text);
      return;
    }
  }
  ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* Numbers of processes are given one after another. The last word of this file is the latest number. */
static void catch_next(void) {
  static pid_t done;
  static int file = -1;
  char text[128];
  if (file < 0)
    file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (!done)
    done = getpid();
  ssize_t length = pread(file, text, sizeof text - 1, 0);
  text[length > 0 ? length : 0] = 0;
  const char *last = strrchr(text, ' ');
  const pid_t newest = last ? atoi(last) : 0;
  for (pid_t pid = newest - 4 > done ? newest - 4 : done + 1; pid <= newest + 2; pid++) {
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0)
      continue;
    done = pid;
    if (mode != KEEP)
      look_while_it_stands(pid);
  }
}

int main(int argc, char **argv) {
  int next = 1;
  char self[16];
  for (; next < argc && argv[next][0] == '-'; next++) {
    if (!strcmp(argv[next], "--joined"))
      joined = true;
    else if (!strcmp(argv[next], "--catch"))
      mode = CATCH;
    else if (!strcmp(argv[next], "--take-over"))
      mode = TAKE_OVER;
    else if (!strcmp(argv[next], "--hold"))
      mode = HOLD;
    else if (!strcmp(argv[next], "--keep"))
      mode = KEEP;
    else if (!strcmp(argv[next], "--secret") && next + 1 < argc) {
      snprintf(secret, sizeof secret, "%s", argv[++next]);
      for (char *at = secret; *at; at++)
        --*at;
    }
  }
  forbidden = argv + next;
  forbidden_count = argc - next;
  snprintf(self, sizeof self, "%d", getpid());
  signal(SIGTERM, on_signal);
  signal(SIGUSR1, on_signal);
  if (mode == ONLY_LOOK)
    signal(SIGCHLD, SIG_IGN);
  stat("/proc/self/root", &own_root);
  own_rights = rights_of("self").permitted;
  read_own_mounts();
  for (int i = 0; i < 7; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    ssize_t length = readlink(path, own_namespaces[i], 63);
    own_namespaces[i][length > 0 ? length : 0] = 0;
  }
  printf("looking\n");
  fflush(stdout);
  while (!stop && mode != ONLY_LOOK)
    catch_next();
  while (!stop) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, self))
        look_at(entry->d_name);
    }
    if (proc)
      closedir(proc);
  }
  if (mode != ONLY_LOOK)
    printf("openers %lu\n", openers);
  printf("looks %lu processes %lu newborn %lu hits %lu\n", looks, processes, newborns, hits);
  return hits ? 1 : 0;
}
