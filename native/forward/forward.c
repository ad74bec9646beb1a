/*
 * Copies connections and datagrams from its sockets to its target addresses. Each container with published ports that need it has one such
 * process. The parent starts it with open sockets; after that it needs nobody, and a signal ends it.
 *
 * fathom-forward CONNECTIONS CLIENTS IDLE-SECONDS {tcp|udp ADDRESS PORT}…
 *
 * Descriptor 3 is a file. Its lock belongs to the descriptor and shows that this process lives; its text is the pid. The sockets start at
 * descriptor 4, one for each target: listening for tcp, bound for udp. CONNECTIONS limits the TCP connections of all ports together; more
 * connections wait in the sockets' own queues. CLIENTS limits the UDP clients: a new client replaces the one that has been silent for longest.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FD 3
#define FIRST_SOCKET 4
#define LISTENERS_LIMIT 65536
#define CONNECTIONS_LIMIT 65536
#define FDS_OF_CONNECTION 6
/* Edge-triggered: the kernel reports the end of an input only once, although its last bytes may wait long for the other end. */
#define END_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define CHUNK (1u << 20)
#define EVENTS 64
#define TURN 16 /* accepts, datagrams and chunks in one turn, so that other connections also get turns */
#define LAST_TURNS 64 /* bytes of a broken connection: more than a socket's buffer holds */
#define ACCEPT_PAUSE_MS 100
#define KEEPALIVE_IDLE_SECONDS 60
#define DATAGRAM 65536

enum kind { TCP_LISTENER, UDP_LISTENER, TCP_END, UDP_CLIENT };

/* The thing that an event belongs to; it is the first member of everything that epoll watches. */
struct watched {
  enum kind kind;
  int fd; /* -1: free */
};

struct listener {
  struct watched watched;
  struct sockaddr_storage target;
  socklen_t target_size;
};

/* One end of a connection, and the pipe with the bytes that this end sent. */
struct end {
  struct watched watched;
  struct connection *connection;
  int pipe[2];
  uint32_t waiting; /* bytes in the pipe */
  bool ended;       /* this end sends nothing more */
  bool told;        /* the other end knows that */
};

struct connection {
  struct end ends[2]; /* [0] is the client's end, [1] the container's */
  bool connecting;
  bool doomed; /* closed at the end of the turn, because events of it may still be in the list */
  struct connection *next; /* next in the list of free connections, or in the list of those to close */
};

struct client {
  struct watched watched; /* the socket to the container */
  struct listener *listener;
  struct sockaddr_in6 from;
  struct in6_pktinfo to; /* the local address to which the client sent; answers come from this address */
  int64_t last_ms;
};

static struct listener *listeners;
static unsigned listener_count;
static struct connection *connections, *free_connections, *doomed;
/* Entries from `used` on are still untouched. */
static unsigned connections_used, connection_limit;
static struct client *clients;
static unsigned clients_used, client_limit;
static int64_t idle_ms;
static int poller;
static bool accepting = true;
static int64_t accept_again_ms; /* 0: no pause */
static uint8_t datagram[DATAGRAM];

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void give_up(const char *what) {
  dprintf(2, "fathom-forward: %s: %s\n", what, strerror(errno));
  _exit(1);
}

/* Untouched pages cost nothing, so a table has its full length from the start. */
static void *table(size_t entries, size_t size) {
  if (entries == 0) entries = 1;
  void *at = mmap(NULL, entries * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) give_up("memory");
  return at;
}

static void watch(struct watched *watched, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = watched};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, watched->fd, &event) < 0) give_up("epoll");
}

static void rewatch(struct watched *watched, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = watched};
  if (epoll_ctl(poller, EPOLL_CTL_MOD, watched->fd, &event) < 0) give_up("epoll");
}

static void set_accepting(bool on) {
  if (on == accepting) return;
  accepting = on;
  for (unsigned i = 0; i < listener_count; i++)
    if (listeners[i].watched.kind == TCP_LISTENER) rewatch(&listeners[i].watched, on ? EPOLLIN : 0);
}

/* TCP */

static void close_connection(struct connection *connection) {
  for (int i = 0; i < 2; i++) {
    struct end *end = &connection->ends[i];
    close(end->watched.fd);
    close(end->pipe[0]);
    close(end->pipe[1]);
  }
  connection->next = free_connections;
  free_connections = connection;
  if (accept_again_ms == 0) set_accepting(true);
}

/* `reset`: both peers see that the connection broke, and not only that it ended. */
static void doom(struct connection *connection, bool reset) {
  if (connection->doomed) return;
  connection->doomed = true;
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < 2; i++) {
    struct watched *watched = &connection->ends[i].watched;
    epoll_ctl(poller, EPOLL_CTL_DEL, watched->fd, NULL);
    if (reset) setsockopt(watched->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  }
  connection->next = doomed;
  doomed = connection;
}

static void close_doomed(void) {
  while (doomed != NULL) {
    struct connection *connection = doomed;
    doomed = connection->next;
    close_connection(connection);
  }
}

enum outcome { BROKEN, WAITS, GOES_ON };

/* Moves bytes from one end to the other, until it would have to wait for one of them or the turn is over. */
static enum outcome pump(struct end *from, struct end *to) {
  for (int turn = 0; turn < TURN; turn++) {
    bool moved = false;
    if (!from->ended && from->waiting == 0) {
      ssize_t got = splice(from->watched.fd, NULL, from->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (got < 0 && errno != EAGAIN) return BROKEN;
      if (got == 0) from->ended = true;
      if (got > 0) {
        from->waiting = (uint32_t)got;
        moved = true;
      }
    }
    if (from->waiting > 0) {
      ssize_t put = splice(from->pipe[0], NULL, to->watched.fd, NULL, from->waiting, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (put < 0 && errno != EAGAIN) return BROKEN;
      if (put > 0) {
        from->waiting -= (uint32_t)put;
        moved = true;
      }
    }
    if (from->ended && from->waiting == 0 && !from->told) {
      from->told = true;
      if (shutdown(to->watched.fd, SHUT_WR) < 0 && errno != ENOTCONN) return BROKEN;
    }
    if (!moved) return WAITS;
  }
  return GOES_ON;
}

/* Bytes that arrived before a connection broke still go to the other end, as far as it accepts them. The other end then sees a broken
 * connection and no orderly end. */
static void pass_last_bytes(struct end *from, struct end *to) {
  from->told = true;
  for (int turns = 0; turns < LAST_TURNS && pump(from, to) == GOES_ON; turns++)
    ;
}

static bool broken(const struct end *end) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(end->watched.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0;
}

static void serve_connection(struct end *end, uint32_t events) {
  struct connection *connection = end->connection;
  struct end *client = &connection->ends[0], *container = &connection->ends[1];
  if (connection->doomed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && broken(end)) {
    pass_last_bytes(end, end == client ? container : client);
    return doom(connection, true);
  }
  if (connection->connecting) {
    /* The client's bytes wait in its socket. */
    if (end == client || (events & EPOLLOUT) == 0) return;
    connection->connecting = false;
  }
  enum outcome there = pump(client, container);
  enum outcome back = there == BROKEN ? BROKEN : pump(container, client);
  if (back == BROKEN) {
    /* Either connection may have broken. */
    pass_last_bytes(container, client);
    pass_last_bytes(client, container);
    return doom(connection, true);
  }
  if (client->told && container->told) return doom(connection, false);
  /* When epoll watches a descriptor again, it reports again what it reported before. */
  if (there == GOES_ON || back == GOES_ON) {
    rewatch(&client->watched, END_EVENTS);
    rewatch(&container->watched, END_EVENTS);
  }
}

static void keep_alive(int fd) {
  int on = 1, idle = KEEPALIVE_IDLE_SECONDS;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static bool open_connection(struct connection *connection, int fd, const struct listener *listener) {
  int pipes[2][2] = {{-1, -1}, {-1, -1}};
  int upstream = socket(listener->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (upstream < 0 || pipe2(pipes[0], O_NONBLOCK | O_CLOEXEC) < 0 || pipe2(pipes[1], O_NONBLOCK | O_CLOEXEC) < 0) {
    close(upstream);
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++)
        if (pipes[i][j] >= 0) close(pipes[i][j]);
    return false;
  }
  keep_alive(fd);
  keep_alive(upstream);
  memset(connection, 0, sizeof *connection);
  for (int i = 0; i < 2; i++) {
    struct end *end = &connection->ends[i];
    *end = (struct end){.watched = {.kind = TCP_END, .fd = i == 0 ? fd : upstream}, .connection = connection, .pipe = {pipes[i][0], pipes[i][1]}};
  }
  connection->connecting = true;
  watch(&connection->ends[0].watched, END_EVENTS);
  watch(&connection->ends[1].watched, END_EVENTS);
  if (connect(upstream, (const struct sockaddr *)&listener->target, listener->target_size) < 0 && errno != EINPROGRESS)
    doom(connection, true);
  return true;
}

static void pause_accepting(void) {
  accept_again_ms = now_ms() + ACCEPT_PAUSE_MS;
  set_accepting(false);
}

static void accept_some(struct listener *listener) {
  for (int turn = 0; turn < TURN; turn++) {
    bool fresh = free_connections == NULL;
    if (fresh && connections_used == connection_limit) return set_accepting(false);
    int fd = accept4(listener->watched.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) pause_accepting();
      return;
    }
    struct connection *connection = fresh ? &connections[connections_used] : free_connections;
    struct connection *next = connection->next;
    if (!open_connection(connection, fd, listener)) {
      close(fd);
      return pause_accepting();
    }
    if (fresh)
      connections_used++;
    else
      free_connections = next;
  }
}

/* UDP */

static void forget(struct client *client) {
  if (client->watched.fd >= 0) close(client->watched.fd);
  client->watched.fd = -1;
}

/* The entry of a client's address. A new client gets a free entry, or the entry of the client that has been silent for longest. */
static struct client *client_of(struct listener *listener, const struct sockaddr_in6 *from) {
  struct client *place = NULL;
  for (unsigned i = 0; i < clients_used; i++) {
    struct client *client = &clients[i];
    if (client->watched.fd < 0) {
      if (place == NULL || place->watched.fd >= 0) place = client;
      continue;
    }
    if (client->listener == listener && memcmp(&client->from, from, sizeof *from) == 0) return client;
    if (place == NULL || (place->watched.fd >= 0 && client->last_ms < place->last_ms)) place = client;
  }
  if ((place == NULL || place->watched.fd >= 0) && clients_used < client_limit) {
    place = &clients[clients_used++];
    place->watched.fd = -1;
  }
  if (place == NULL) return NULL;
  forget(place);
  int fd = socket(listener->target.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return NULL;
  if (connect(fd, (const struct sockaddr *)&listener->target, listener->target_size) < 0) {
    close(fd);
    return NULL;
  }
  *place = (struct client){.watched = {.kind = UDP_CLIENT, .fd = fd}, .listener = listener, .from = *from};
  watch(&place->watched, EPOLLIN);
  return place;
}

union control {
  struct cmsghdr header;
  uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void take_datagrams(struct listener *listener) {
  for (int turn = 0; turn < TURN; turn++) {
    struct sockaddr_in6 from;
    memset(&from, 0, sizeof from);
    union control control;
    struct iovec piece = {.iov_base = datagram, .iov_len = sizeof datagram};
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(listener->watched.fd, &message, MSG_DONTWAIT);
    if (length < 0) return;
    from.sin6_flowinfo = 0;
    struct client *client = client_of(listener, &from);
    if (client == NULL) continue;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header))
      if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) memcpy(&client->to, CMSG_DATA(header), sizeof client->to);
    client->last_ms = now_ms();
    /* A datagram for which there is no room is lost, as in any network. */
    if (send(client->watched.fd, datagram, (size_t)length, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) forget(client);
  }
}

static void answer_client(struct client *client) {
  for (int turn = 0; turn < TURN && client->watched.fd >= 0; turn++) {
    ssize_t length = recv(client->watched.fd, datagram, sizeof datagram, MSG_DONTWAIT);
    if (length < 0) {
      /* The container rejects it: nothing listens at its port any more. */
      if (errno != EAGAIN) forget(client);
      return;
    }
    client->last_ms = now_ms();
    union control control;
    memset(&control, 0, sizeof control);
    struct iovec piece = {.iov_base = datagram, .iov_len = (size_t)length};
    struct msghdr message = {.msg_name = &client->from, .msg_namelen = sizeof client->from, .msg_iov = &piece, .msg_iovlen = 1};
    if (client->from.sin6_family == AF_INET6) {
      /* The routing table chooses the way back, unless the address has no meaning without its interface. */
      struct in6_pktinfo source = client->to;
      if (!IN6_IS_ADDR_LINKLOCAL(&source.ipi6_addr)) source.ipi6_ifindex = 0;
      message.msg_control = &control;
      message.msg_controllen = sizeof control;
      control.header.cmsg_level = IPPROTO_IPV6;
      control.header.cmsg_type = IPV6_PKTINFO;
      control.header.cmsg_len = CMSG_LEN(sizeof source);
      memcpy(CMSG_DATA(&control.header), &source, sizeof source);
    }
    sendmsg(client->listener->watched.fd, &message, MSG_DONTWAIT);
  }
}

/* Removes clients that have been silent for too long. Returns how long to wait for the next such client, -1 when there is none. */
static int sweep(int64_t now) {
  int wait = -1;
  unsigned used = 0;
  for (unsigned i = 0; i < clients_used; i++) {
    struct client *client = &clients[i];
    if (client->watched.fd < 0) continue;
    int64_t left = client->last_ms + idle_ms - now;
    if (left <= 0) {
      forget(client);
      continue;
    }
    if (wait < 0 || left < wait) wait = (int)left;
    used = i + 1;
  }
  clients_used = used;
  return wait;
}

/* The start */

/* The rights of the process from now on: no files, no programs, no other processes. */
static void give_up_rights(void) {
  static const int calls[] = {
      SYS_splice,     SYS_epoll_pwait, SYS_epoll_ctl,  SYS_accept4, SYS_socket,  SYS_connect, SYS_pipe2,         SYS_close,
      SYS_setsockopt, SYS_getsockopt,  SYS_shutdown,   SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto,       SYS_clock_gettime,
      SYS_write,      SYS_exit,        SYS_exit_group, SYS_rt_sigreturn,         SYS_restart_syscall,
#ifdef SYS_epoll_wait
      SYS_epoll_wait,
#endif
  };
  enum { CALLS = sizeof calls / sizeof *calls };
  struct sock_filter filter[CALLS + 6];
  unsigned length = 0;
#ifdef __x86_64__
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#endif
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (unsigned i = 0; i < CALLS; i++)
    filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], (uint8_t)(CALLS - i), 0);
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = (unsigned short)length, .filter = filter};
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) give_up("no_new_privs");
  if (syscall(SYS_capset, &header, none) < 0) give_up("capset");
  /* A kernel without seccomp runs the process without the filter. */
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 && errno != EINVAL) give_up("seccomp");
}

/* The limit of open descriptors is what the limits on connections and clients need. If the machine allows fewer, those limits become smaller. */
static void set_limits(void) {
  uint64_t own = FIRST_SOCKET + listener_count + 2;
  uint64_t want = own + (uint64_t)connection_limit * FDS_OF_CONNECTION + client_limit;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) give_up("getrlimit");
  if (limit.rlim_max < want) {
    if (limit.rlim_max < own + 4 * FDS_OF_CONNECTION) {
      errno = EMFILE;
      give_up("descriptors");
    }
    uint64_t spare = limit.rlim_max - own;
    if (client_limit > spare / 4) client_limit = (unsigned)(spare / 4);
    if (connection_limit > spare * 3 / 4 / FDS_OF_CONNECTION) connection_limit = (unsigned)(spare * 3 / 4 / FDS_OF_CONNECTION);
    want = limit.rlim_max;
  }
  limit.rlim_cur = limit.rlim_max = want;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) give_up("setrlimit");
}

static unsigned number(const char *text, unsigned most) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (*text == 0 || *end != 0 || value == 0 || value > most) {
    errno = EINVAL;
    give_up(text);
  }
  return (unsigned)value;
}

static void set_target(struct listener *listener, const char *address, unsigned port) {
  struct sockaddr_in *four = (struct sockaddr_in *)&listener->target;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&listener->target;
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons((uint16_t)port);
    listener->target_size = sizeof *four;
  } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    listener->target_size = sizeof *six;
  } else {
    errno = EINVAL;
    give_up(address);
  }
}

static void open_listeners(char **words, unsigned count) {
  listener_count = count;
  listeners = table(count, sizeof *listeners);
  for (unsigned i = 0; i < count; i++, words += 3) {
    struct listener *listener = &listeners[i];
    bool tcp = strcmp(words[0], "tcp") == 0;
    if (!tcp && strcmp(words[0], "udp") != 0) {
      errno = EINVAL;
      give_up(words[0]);
    }
    int fd = FIRST_SOCKET + (int)i, on = 1;
    listener->watched = (struct watched){.kind = tcp ? TCP_LISTENER : UDP_LISTENER, .fd = fd};
    set_target(listener, words[1], number(words[2], 65535));
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) give_up("socket");
    /* Fails on an IPv4 socket, which does not have this option. */
    if (!tcp) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    watch(&listener->watched, EPOLLIN);
  }
}

static void say_pid(void) {
  char text[16];
  int length = snprintf(text, sizeof text, "%d\n", getpid());
  if (ftruncate(LOCK_FD, 0) < 0 || pwrite(LOCK_FD, text, (size_t)length, 0) != length) give_up("the pid file");
}

/* Writes a word to a file of the kernel. If the kernel rejects it, nothing changes. */
static void tell_kernel(const char *path, const char *word) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, word, strlen(word)) < 0) errno = 0;
  close(fd);
}

/* Leaves the daemon's cgroups and its OOM score, so that this process does not end with them. CGROUPS: files to write "0" to, one per line. */
static void take_place(void) {
  const char *score = getenv("OOM_SCORE_ADJ");
  char *files = getenv("CGROUPS");
  if (score) tell_kernel("/proc/self/oom_score_adj", score);
  for (char *file = files ? strtok(files, "\n") : NULL; file; file = strtok(NULL, "\n")) tell_kernel(file, "0");
}

int main(int argc, char **argv) {
  if (argc < 7 || (argc - 4) % 3 != 0 || (argc - 4) / 3 > LISTENERS_LIMIT) {
    errno = EINVAL;
    give_up("arguments");
  }
  signal(SIGPIPE, SIG_IGN);
  if (chdir("/") < 0) give_up("/");
  connection_limit = number(argv[1], CONNECTIONS_LIMIT);
  client_limit = number(argv[2], CONNECTIONS_LIMIT);
  idle_ms = (int64_t)number(argv[3], 86400) * 1000;
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) give_up("epoll");
  open_listeners(argv + 4, (unsigned)(argc - 4) / 3);
  set_limits();
  connections = table(connection_limit, sizeof *connections);
  clients = table(client_limit, sizeof *clients);
  say_pid();
  take_place();
  give_up_rights();
  for (;;) {
    struct epoll_event events[EVENTS];
    int64_t now = now_ms();
    int wait = sweep(now);
    if (accept_again_ms != 0) {
      int64_t left = accept_again_ms - now;
      if (left <= 0) {
        accept_again_ms = 0;
        set_accepting(true);
      } else if (wait < 0 || left < wait)
        wait = (int)left;
    }
    int count = epoll_wait(poller, events, EVENTS, wait);
    if (count < 0 && errno != EINTR) give_up("epoll");
    for (int i = 0; i < count; i++) {
      struct watched *watched = events[i].data.ptr;
      if (watched->fd < 0) continue;
      switch (watched->kind) {
        case TCP_LISTENER: accept_some((struct listener *)watched); break;
        case UDP_LISTENER: take_datagrams((struct listener *)watched); break;
        case TCP_END: serve_connection((struct end *)watched, events[i].events); break;
        case UDP_CLIENT: answer_client((struct client *)watched); break;
      }
    }
    close_doomed();
  }
}
