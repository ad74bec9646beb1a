#define _GNU_SOURCE
#include "supervisor.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define UNSENT_SIZE (1u << 20) /* must hold the records that a state request repeats */
#define SOCKET_NAME "supervisor.sock"

struct connection *add_connection(int fd) {
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++) {
    struct connection *connection = &supervisor.connections[i];
    if (connection->fd >= 0)
      continue;
    memset(connection, 0, sizeof *connection);
    connection->fd = fd;
    connection->deadline = monotonic_ms() + MESSAGE_MS;
    return connection;
  }
  close(fd);
  return NULL;
}

static void forget_message(struct connection *connection) {
  for (unsigned i = 0; i < connection->fd_count; i++)
    close_fd(&connection->fds[i]);
  connection->fd_count = 0;
  unmap_pages(connection->body, connection->length + 1);
  connection->body = NULL;
  connection->have = connection->length = 0;
  connection->deadline = 0;
}

void close_connection(struct connection *connection) {
  close_fd(&connection->fd);
  forget_message(connection);
  unmap_pages(connection->unsent, UNSENT_SIZE);
  connection->unsent = NULL;
  connection->unsent_length = 0;
  orphan_clients(connection);
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    if (process_at(i)->asker == connection)
      process_at(i)->asker = NULL;
  }
  if (!supervisor.launched)
    supervisor.ended = true;
}

static void send_or_keep(struct connection *connection, const uint8_t *data, size_t length) {
  if (connection->fd < 0)
    return;
  if (connection->unsent_length == 0) {
    ssize_t done = send(connection->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN && errno != EINTR) {
      close_connection(connection);
      return;
    }
    data += done > 0 ? done : 0;
    length -= done > 0 ? (size_t)done : 0;
  }
  if (length == 0)
    return;
  /* A daemon that does not read loses its connection; the supervisor does not fill its memory for it. */
  if (connection->unsent_length + length > UNSENT_SIZE || (!connection->unsent && !(connection->unsent = map_own_pages(UNSENT_SIZE)))) {
    close_connection(connection);
    return;
  }
  memcpy(connection->unsent + connection->unsent_length, data, length);
  connection->unsent_length += (uint32_t)length;
}

void say(struct connection *connection, uint32_t type, uint32_t request, const void *payload, size_t length) {
  uint8_t message[MESSAGE_HEADER + 2048];
  struct writer out = {message, 0, sizeof message};
  if (!connection)
    return;
  if (length > sizeof message - MESSAGE_HEADER) {
    /* No message is this long. If one were, the peer would wait for its answer for ever, so the connection closes. */
    close_connection(connection);
    return;
  }
  put_u32(&out, MESSAGE_MAGIC);
  put_u32(&out, (uint32_t)length);
  put_u32(&out, type);
  put_u32(&out, request);
  if (length)
    memcpy(message + MESSAGE_HEADER, payload, length);
  send_or_keep(connection, message, MESSAGE_HEADER + length);
}

void say_failure(struct connection *connection, uint32_t request, const struct failure *what) {
  uint8_t payload[1200];
  struct writer out = {payload, 0, sizeof payload};
  put_u32(&out, what->operation);
  put_u32(&out, (uint32_t)what->error);
  put_text(&out, what->call);
  put_text(&out, what->detail);
  say(connection, SAY_ERROR, request, payload, out.used);
}

void tell_all(uint32_t type, const void *payload, size_t length) {
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++) {
    if (supervisor.connections[i].fd >= 0)
      say(&supervisor.connections[i], type, 0, payload, length);
  }
}

static void flush_connection(struct connection *connection) {
  ssize_t done = send(connection->fd, connection->unsent, connection->unsent_length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (done < 0 && errno != EAGAIN && errno != EINTR) {
    close_connection(connection);
    return;
  }
  if (done > 0) {
    memmove(connection->unsent, connection->unsent + done, connection->unsent_length - (size_t)done);
    connection->unsent_length -= (uint32_t)done;
  }
  if (connection->unsent_length == 0) {
    unmap_pages(connection->unsent, UNSENT_SIZE);
    connection->unsent = NULL;
  }
}

/* One step: reads a part of the header or of the body. False when nothing more has arrived, or the connection is closed. */
static bool receive(struct connection *connection) {
  bool in_header = !connection->body;
  uint8_t *into = in_header ? connection->header + connection->have : connection->body + connection->have;
  size_t want = (in_header ? MESSAGE_HEADER : connection->length) - connection->have;
  unsigned count = MESSAGE_FDS - connection->fd_count;
  ssize_t got = 0;
  if (want) {
    got = receive_with_fds(connection->fd, into, want, connection->fds + connection->fd_count, &count);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      return false;
    if (got <= 0 && !supervisor.launched) {
      /* Nobody can launch a stem whose owner has gone. The connection stays open until the stem has ended; the connection's end tells the
       * owner that. */
      supervisor.ended = true;
      return false;
    }
    if (got <= 0) {
      close_connection(connection);
      return false;
    }
    if (!connection->deadline)
      connection->deadline = monotonic_ms() + MESSAGE_MS;
    connection->fd_count += count;
    connection->have += (uint32_t)got;
  }
  struct reader header = {connection->header, connection->header + MESSAGE_HEADER, false};
  if (in_header) {
    if (connection->have < MESSAGE_HEADER)
      return true;
    uint32_t magic = read_u32(&header), length = read_u32(&header);
    if (magic != MESSAGE_MAGIC || length > MESSAGE_LIMIT || !(connection->body = map_own_pages(length + 1))) {
      close_connection(connection);
      return false;
    }
    connection->length = length;
    connection->have = 0;
    return true;
  }
  if (connection->have < connection->length)
    return true;
  read_u64(&header);
  uint32_t type = read_u32(&header), request = read_u32(&header);
  handle_request(connection, type, request);
  forget_message(connection);
  return connection->fd >= 0;
}

void on_connection(struct connection *connection, short events) {
  if (events & POLLOUT && connection->unsent_length)
    flush_connection(connection);
  if (events & (POLLIN | POLLHUP | POLLERR)) {
    for (int turns = 0; turns < 64 && connection->fd >= 0; turns++) {
      if (!receive(connection))
        return;
    }
  }
}

int64_t settle_connections(int64_t now) {
  int64_t first = 0;
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++) {
    struct connection *connection = &supervisor.connections[i];
    if (connection->fd < 0 || !connection->deadline)
      continue;
    if (now >= connection->deadline)
      close_connection(connection);
    else if (!first || connection->deadline < first)
      first = connection->deadline;
  }
  return first;
}

bool is_heard(void) {
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++) {
    if (supervisor.connections[i].fd >= 0 && supervisor.connections[i].unsent_length)
      return false;
  }
  return true;
}

int open_listener(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct text text = {address.sun_path, 0, sizeof address.sun_path};
  text_add(&text, "/proc/self/fd/");
  text_add_number(&text, (uint64_t)supervisor.directory, 1);
  text_add(&text, "/" SOCKET_NAME);
  unlinkat(supervisor.directory, SOCKET_NAME, 0);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  mode_t before = umask(0177);
  int done = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (done < 0 || listen(fd, 16) < 0) {
    close_fd(&fd);
    return fail("bind", SOCKET_NAME);
  }
  supervisor.listener = fd;
  return 0;
}

void close_listener(void) {
  if (supervisor.listener < 0)
    return;
  close_fd(&supervisor.listener);
  unlinkat(supervisor.directory, SOCKET_NAME, 0);
}

void on_listener(void) {
  int fd = accept4(supervisor.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    /* Without a free descriptor, the peer stays in the queue and the listener stays readable. */
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
      supervisor.accept_again = monotonic_ms() + ACCEPT_AGAIN_MS;
    return;
  }
  struct {
    pid_t pid;
    uid_t uid;
    gid_t gid;
  } peer = {0};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
    close(fd);
    return;
  }
  add_connection(fd);
}
