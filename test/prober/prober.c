/*
 * Looks, from inside a container with CAP_SYS_PTRACE, at every process that it can see, as fast as it can, for something that is not the
 * container's: root, working directory, namespaces, descriptors, rights, memory. Ends at SIGTERM and says what it saw:
 *   looks N processes N newborn N hits N
 * after a line for each of the first hits. Exit status 1 when there were hits.
 *
 * prober [--joined] [--secret TEXT] FORBIDDEN…
 *   FORBIDDEN   "DEVICE:INODE" in decimal, of a directory that must not be reached (the host's /), or a namespace as readlink shows it
 *   --secret    text that must not be in a newborn's memory from SIGUSR1 on, each letter moved up by one
 *   --joined    other containers share the pid namespace: only what is forbidden by name is a hit
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
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static volatile sig_atomic_t stop, armed;
static unsigned long looks, processes, newborns, hits;
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

/* A file that leads somewhere: a directory, a file, a device. Pipes and sockets do not. */
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

static unsigned long long rights_of(const char *pid) {
  char path[300], text[4096];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0)
    close(fd);
  if (length <= 0)
    return 0;
  text[length] = 0;
  const char *at = strstr(text, "CapPrm:");
  return at ? strtoull(at + 7, NULL, 16) : 0;
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
    unsigned long long rights = rights_of(pid);
    char text[64];
    snprintf(text, sizeof text, "%llx", rights);
    if (!joined && rights & ~own_rights)
      hit(pid, "rights that the container has not:", text);
    look_at_memory(pid);
  }
}

int main(int argc, char **argv) {
  int next = 1;
  char self[16];
  for (; next < argc && argv[next][0] == '-'; next++) {
    if (!strcmp(argv[next], "--joined"))
      joined = true;
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
  signal(SIGCHLD, SIG_IGN);
  stat("/proc/self/root", &own_root);
  own_rights = rights_of("self");
  read_own_mounts();
  for (int i = 0; i < 7; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    ssize_t length = readlink(path, own_namespaces[i], 63);
    own_namespaces[i][length > 0 ? length : 0] = 0;
  }
  printf("looking\n");
  fflush(stdout);
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
  printf("looks %lu processes %lu newborn %lu hits %lu\n", looks, processes, newborns, hits);
  return hits ? 1 : 0;
}
