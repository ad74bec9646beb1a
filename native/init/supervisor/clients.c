#define _GNU_SOURCE
#include "streams.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FRAME_HEADER 8u

static struct client *free_client(void) {
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    if (client_at(i)->fd < 0)
      return client_at(i);
  }
  return table_add(&supervisor.clients);
}

struct client *add_client(int fd, struct process *process, struct connection *daemon, uint32_t wants) {
  struct client *client = free_client();
  if (client) {
    memset(client, 0, sizeof *client);
    client->fd = fd;
    client->process = process;
    client->daemon = daemon;
    client->input = client->sends = wants & ATTACH_STDIN;
    client->close_input = wants & ATTACH_CLOSE_STDIN;
    client->wants[0] = wants & ATTACH_STDOUT;
    client->wants[1] = wants & ATTACH_STDERR;
    if (process->terminal)
      client->wants[0] = client->wants[0] || client->wants[1];
    return client;
  }
  fail_with(EAGAIN, "attach", "too many attached clients");
  close(fd);
  return NULL;
}

void orphan_clients(const struct connection *daemon) {
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    if (client_at(i)->daemon == daemon)
      client_at(i)->daemon = NULL;
  }
  if (container()->orphan_of == daemon) {
    container()->orphan_of = NULL;
    container()->orphan_until = 0;
  }
}

void settle_orphan(struct process *process, int64_t now) {
  if (!process->orphan_until || now < process->orphan_until)
    return;
  process->orphan_until = 0;
  process->orphan_of = NULL;
  close_process_input(process);
}

bool hangs_up(int fd) {
  struct pollfd polled = {.fd = fd};
  return poll(&polled, 1, 0) == 1 && polled.revents & (POLLHUP | POLLERR);
}

/*
 * The client's input has ended. If the client asked for that, the process's input ends too. But when the daemon ends, the client has not
 * decided anything: the container's input then stays open for clients of the next daemon. A half-close is the client's decision. After a
 * hangup, the supervisor waits until the daemon's connection has had time to end too. An exec's input ends in both cases, because nobody can
 * attach to an exec again.
 */
void end_client_input(struct client *client, bool hung_up) {
  struct process *process = client->process;
  client->input = false;
  if (!process || !client->close_input)
    return;
  if (!process->container || (client->daemon && !hung_up)) {
    close_process_input(process);
  } else if (client->daemon) {
    process->orphan_of = client->daemon;
    process->orphan_until = monotonic_ms() + ORPHAN_MS;
  }
}

void close_client(struct client *client) {
  bool hung_up = client->fd >= 0 && hangs_up(client->fd);
  close_fd(&client->fd);
  unmap_pages(client->buffer, CLIENT_ROOM);
  client->buffer = NULL;
  if (client->input)
    end_client_input(client, hung_up);
  client->process = NULL;
}

/* The client accepts no more output. What it wrote before it left is still input. */
static void lose_client(struct client *client) {
  client->wants[0] = client->wants[1] = false;
  client->start = client->end = 0;
  if (!client->input)
    close_client(client);
}

static void keep_for_client(struct client *client, const uint8_t *data, size_t length) {
  if (!client->buffer && !(client->buffer = map_own_pages(CLIENT_ROOM))) {
    close_client(client);
    return;
  }
  if (client->start && client->end + length > CLIENT_ROOM) {
    memmove(client->buffer, client->buffer + client->start, client->end - client->start);
    client->end -= client->start;
    client->start = 0;
  }
  if (client->end + length > CLIENT_ROOM) {
    close_client(client);
    return;
  }
  memcpy(client->buffer + client->end, data, length);
  client->end += (uint32_t)length;
}

void deliver(struct client *client, int stream, const uint8_t *data, size_t length) {
  uint8_t header[FRAME_HEADER] = {(uint8_t)(stream + 1), 0, 0, 0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
  size_t framed = client->process->terminal ? 0 : FRAME_HEADER;
  size_t sent = 0;
  if (client->start == client->end) {
    struct iovec parts[2] = {{header, framed}, {(void *)(uintptr_t)data, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t done = sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN && errno != EINTR) {
      lose_client(client);
      return;
    }
    sent = done > 0 ? (size_t)done : 0;
  }
  if (sent < framed) {
    keep_for_client(client, header + sent, framed - sent);
    sent = framed;
  }
  if (client->fd >= 0 && sent - framed < length)
    keep_for_client(client, data + (sent - framed), length - (sent - framed));
}

static void flush_client(struct client *client) {
  while (client->start < client->end) {
    ssize_t done = send(client->fd, client->buffer + client->start, client->end - client->start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0 && errno != EAGAIN)
      lose_client(client);
    if (done < 0)
      return;
    client->start += (uint32_t)done;
  }
  if (client->buffer) {
    unmap_pages(client->buffer, CLIENT_ROOM);
    client->buffer = NULL;
  }
  client->start = client->end = 0;
}

/*
 * Everything was sent. If a socket closes with unread input, the other side sees a reset and may drop output that it has not read. So the
 * supervisor only closes its sending direction, and reads and drops input until the other side hangs up.
 */
static void linger(struct client *client) {
  if (!client->sends) {
    close_client(client);
    return;
  }
  if (!client->linger) {
    shutdown(client->fd, SHUT_WR);
    client->linger = monotonic_ms() + LINGER_MS;
    client->input = client->hung = false;
    client->process = NULL;
  }
  for (int turns = 0; turns < 16; turns++) {
    ssize_t got = recv(client->fd, chunk, CHUNK, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0 && errno == EAGAIN)
      return;
    if (got <= 0) {
      close_client(client);
      return;
    }
  }
}

int64_t settle_clients(int64_t now) {
  int64_t first = 0;
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    struct client *client = client_at(i);
    if (client->fd < 0 || !client->linger)
      continue;
    if (now >= client->linger)
      close_client(client);
    else if (!first || client->linger < first)
      first = client->linger;
  }
  return first;
}

void on_client(struct client *client, short events) {
  if (client->linger) {
    linger(client);
    return;
  }
  if (events & POLLOUT)
    flush_client(client);
  if (client->fd >= 0 && client->input && events & (POLLIN | POLLHUP) && wants_client_input(client))
    copy_input(client);
  else if (client->input && events & (POLLHUP | POLLERR))
    client->hung = true;
  /* Both directions are closed. The code above has read what the client wrote before, turn by turn. */
  if (client->fd >= 0 && events & (POLLHUP | POLLERR) && !client->input)
    close_client(client);
}

void finish_clients(void) {
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    struct client *client = client_at(i);
    if (client->fd < 0 || client->linger || client->start != client->end)
      continue;
    const struct process *process = client->process;
    bool over = !process || (process->phase == PHASE_ENDED && process->output[0] < 0 && process->output[1] < 0);
    if (over)
      linger(client);
  }
}
