#define _GNU_SOURCE
#include "supervisor.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CHUNK 32768u
#define FRAME_HEADER 8u
/*
 * When a client does not read and this many bytes wait for it, the supervisor stops reading the process's pipe, so the process sees a full
 * pipe. After the process's end everything that is left is read, up to the larger size: a pipe holds at most 1 MiB.
 */
#define CLIENT_SOFT (128u << 10)
#define CLIENT_ROOM (4u << 20)

static uint8_t *chunk; /* CHUNK bytes that only the supervisor has */

int make_streams_room(void) {
  chunk = map_own_pages(CHUNK);
  return chunk ? 0 : -1;
}

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

static void close_process_input(struct process *process) {
  if (process->terminal)
    return;
  if (process->pending_start < process->pending_end)
    process->close_input = true; /* close it when the pending input is written */
  else
    close_fd(&process->input);
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

/* Both directions are closed: the client has gone, or the daemon that passed it on. */
static bool hangs_up(int fd) {
  struct pollfd polled = {.fd = fd};
  return poll(&polled, 1, 0) == 1 && polled.revents & (POLLHUP | POLLERR);
}

/*
 * The client's input has ended. If the client asked for that, the process's input ends too. But when the daemon ends, the client has not
 * decided anything: the container's input then stays open for clients of the next daemon. A half-close is the client's decision. After a
 * hangup, the supervisor waits until the daemon's connection has had time to end too. An exec's input ends in both cases, because nobody can
 * attach to an exec again.
 */
static void end_client_input(struct client *client, bool hung_up) {
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

static void close_client(struct client *client) {
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

static void deliver(struct client *client, int stream, const uint8_t *data, size_t length) {
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

bool wants_output(const struct process *process, int stream) {
  if (process->output[stream] < 0)
    return false;
  if (process->phase == PHASE_ENDED)
    return true;
  if (process->pause_until && process->pause_until > monotonic_ms())
    return false;
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    const struct client *client = client_at(i);
    if (client->fd >= 0 && client->process == process && client->wants[stream] && client->end - client->start > CLIENT_SOFT)
      return false;
  }
  return true;
}

static void end_output(struct process *process, int stream) {
  if (process->output[stream] < 0)
    return;
  if (process->input == process->output[stream])
    process->input = -1;
  close_fd(&process->output[stream]);
  if (process->container)
    log_end(stream);
}

void close_output(struct process *process) {
  end_output(process, 0);
  end_output(process, 1);
}

/* Reads once and passes the bytes on. False when there is nothing more now. */
static bool copy_output(struct process *process, int stream) {
  ssize_t got = read(process->output[stream], chunk, CHUNK);
  if (got < 0 && errno == EINTR)
    return true;
  if (got < 0 && errno == EAGAIN)
    return false;
  if (got <= 0) {
    if (process->terminal && process->phase != PHASE_ENDED) {
      /* No process has the terminal open now. A process that still runs may open it again. */
      process->pause_until = monotonic_ms() + HANGUP_PAUSE_MS;
      return false;
    }
    end_output(process, stream);
    return false;
  }
  if (process->container)
    log_write(stream, chunk, (size_t)got);
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    struct client *client = client_at(i);
    if (client->fd >= 0 && client->process == process && client->wants[stream])
      deliver(client, stream, chunk, (size_t)got);
  }
  return true;
}

void on_output(struct process *process, int stream) {
  for (int turns = 0; turns < 4 && wants_output(process, stream); turns++) {
    if (!copy_output(process, stream))
      return;
  }
}

void drain_output(struct process *process) {
  for (int stream = 0; stream < 2; stream++) {
    /* The number of reads is limited, to many times the largest pipe: other processes may continue to write. */
    for (int turns = 0; turns < 256 && process->output[stream] >= 0; turns++) {
      if (!copy_output(process, stream))
        break;
    }
  }
}

void on_input_room(struct process *process) {
  while (process->pending_start < process->pending_end && process->input >= 0) {
    ssize_t done = write(process->input, process->pending + process->pending_start, process->pending_end - process->pending_start);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0 && errno == EAGAIN)
      return;
    if (done < 0) {
      if (process->input != process->output[0])
        close_fd(&process->input); /* no process reads: the rest is dropped */
      process->pending_start = process->pending_end;
      break;
    }
    process->pending_start += (uint32_t)done;
  }
  process->pending_start = process->pending_end = 0;
  unmap_pages(process->pending, PENDING_SIZE);
  process->pending = NULL;
  if (process->close_input) {
    process->close_input = false;
    close_process_input(process);
  }
}

bool wants_client_input(const struct client *client) {
  const struct process *process = client->process;
  if (client->linger)
    return true;
  if (!client->input || !process)
    return client->input;
  if (process->terminal && process->input < 0 && process->phase < PHASE_RUNNING)
    return false; /* the pty does not exist yet */
  return process->pending_end == 0;
}

static void copy_input(struct client *client) {
  struct process *process = client->process;
  ssize_t got = recv(client->fd, chunk, CHUNK, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got < 0) {
    close_client(client);
    return;
  }
  if (got == 0) {
    end_client_input(client, hangs_up(client->fd));
    return;
  }
  if (!process || process->input < 0)
    return;
  ssize_t done = write(process->input, chunk, (size_t)got);
  if (done < 0 && errno != EAGAIN && errno != EINTR) {
    if (process->input != process->output[0])
      close_fd(&process->input);
    return;
  }
  size_t taken = done > 0 ? (size_t)done : 0;
  if (taken < (size_t)got && (process->pending || (process->pending = map_own_pages(PENDING_SIZE)))) {
    memcpy(process->pending, chunk + taken, (size_t)got - taken);
    process->pending_start = 0;
    process->pending_end = (uint32_t)((size_t)got - taken);
  }
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
