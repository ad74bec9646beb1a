#define _GNU_SOURCE
/*
 * fathom-init: launcher and supervisor of one container. Descriptor 3 is the control connection; every request arrives there.
 * The one loop: wait, give each event to its owner, write the log, free what has ended.
 */
#include "calls/one-call.h"
#include "child/reaper.h"
#include "supervisor/supervisor.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONTROL_FD 3
#define WATCHED_EACH 6 /* of one process, at most */

struct supervisor supervisor;

enum watched { WATCH_LISTENER, WATCH_CONNECTION, WATCH_CLIENT, WATCH_SOCKET, WATCH_END, WATCH_MAKER, WATCH_OUTPUT, WATCH_ERROR_OUTPUT, WATCH_INPUT };
struct owner {
  uint32_t kind, index;
};
static struct pollfd *polled;
static struct owner *owners;
static unsigned polled_count, polled_room;

/* Room for everything that may be watched now. When there is no memory for more, the last items wait for the next round. */
static void make_poll_room(void) {
  unsigned need = 1 + CONNECTIONS_LIMIT + supervisor.processes.used * WATCHED_EACH + supervisor.clients.used;
  unsigned room = polled_room ? polled_room : 128;
  while (room < need)
    room *= 2;
  if (room == polled_room)
    return;
  struct pollfd *more = map_own_pages(room * sizeof *polled);
  struct owner *more_owners = map_own_pages(room * sizeof *owners);
  if (!more || !more_owners) {
    unmap_pages(more, room * sizeof *polled);
    unmap_pages(more_owners, room * sizeof *owners);
    return;
  }
  unmap_pages(polled, polled_room * sizeof *polled);
  unmap_pages(owners, polled_room * sizeof *owners);
  polled = more;
  owners = more_owners;
  polled_room = room;
}

static void watch(int fd, short events, enum watched kind, unsigned index) {
  if (fd < 0 || polled_count == polled_room)
    return;
  polled[polled_count] = (struct pollfd){.fd = fd, .events = events};
  owners[polled_count++] = (struct owner){(uint32_t)kind, index};
}

static void watch_process(struct process *process, unsigned index) {
  watch(process->socket, POLLIN, WATCH_SOCKET, index);
  if (wants_output(process, 0))
    watch(process->output[0], POLLIN, WATCH_OUTPUT, index);
  if (wants_output(process, 1))
    watch(process->output[1], POLLIN, WATCH_ERROR_OUTPUT, index);
  if (process->pending_start < process->pending_end)
    watch(process->input, POLLOUT, WATCH_INPUT, index);
  if (process->reap_again > monotonic_ms())
    return;
  process->reap_again = 0;
  watch(process->pidfd, POLLIN, WATCH_END, index);
  watch(process->maker, POLLIN, WATCH_MAKER, index);
}

static void watch_all(void) {
  polled_count = 0;
  make_poll_room();
  if (supervisor.accept_again <= monotonic_ms()) {
    supervisor.accept_again = 0;
    watch(supervisor.listener, POLLIN, WATCH_LISTENER, 0);
  }
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++) {
    const struct connection *connection = &supervisor.connections[i];
    watch(connection->fd, (short)(POLLIN | (connection->unsent_length ? POLLOUT : 0)), WATCH_CONNECTION, i);
  }
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    if (process_at(i)->phase != PHASE_FREE)
      watch_process(process_at(i), i);
  }
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    const struct client *client = client_at(i);
    bool reads = wants_client_input(client);
    if (client->hung && !reads && client->start == client->end)
      continue;
    watch(client->fd, (short)((reads ? POLLIN : 0) | (client->start < client->end ? POLLOUT : 0)), WATCH_CLIENT, i);
  }
}

static void handle(unsigned i) {
  short events = polled[i].revents;
  unsigned index = owners[i].index;
  struct process *process = process_at(index < supervisor.processes.used ? index : 0);
  /* An earlier handler may have closed it. A number that is used again is polled in the next round. */
  switch ((enum watched)owners[i].kind) {
  case WATCH_LISTENER:
    if (supervisor.listener == polled[i].fd)
      on_listener();
    break;
  case WATCH_CONNECTION:
    if (supervisor.connections[index].fd == polled[i].fd)
      on_connection(&supervisor.connections[index], events);
    break;
  case WATCH_CLIENT:
    if (client_at(index)->fd == polled[i].fd)
      on_client(client_at(index), events);
    break;
  case WATCH_SOCKET:
    if (process->socket == polled[i].fd)
      on_child_socket(process);
    break;
  case WATCH_END:
    if (process->pidfd == polled[i].fd)
      on_process_end(process);
    break;
  case WATCH_MAKER:
    if (process->maker == polled[i].fd)
      on_maker_end(process);
    break;
  case WATCH_OUTPUT:
  case WATCH_ERROR_OUTPUT:
    if (process->output[owners[i].kind - WATCH_OUTPUT] == polled[i].fd)
      on_output(process, owners[i].kind - WATCH_OUTPUT);
    break;
  case WATCH_INPUT:
    if (process->input == polled[i].fd)
      on_input_room(process);
    break;
  }
}

static int wait_ms(void) {
  int64_t now = monotonic_ms(), first = supervisor.store_again ? supervisor.store_again : -1;
  int64_t settled[4] = {settle_connections(now), settle_clients(now), supervisor.unheard, supervisor.accept_again};
  for (int i = 0; i < 4; i++) {
    if (settled[i] > now && (first < 0 || settled[i] < first))
      first = settled[i];
  }
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    const struct process *process = process_at(i);
    bool draining = process->phase == PHASE_ENDED && (process->output[0] >= 0 || process->output[1] >= 0);
    int64_t at = draining ? process->deadline : process->phase == PHASE_RUNNING && process->pause_until > now ? process->pause_until : -1;
    if (process->reap_again && (at < 0 || process->reap_again < at))
      at = process->reap_again;
    if (process->orphan_until && (at < 0 || process->orphan_until < at))
      at = process->orphan_until;
    if (at >= 0 && (first < 0 || at < first))
      first = at;
  }
  return first < 0 ? -1 : first <= now ? 0 : (int)(first - now);
}

/* Frees ended processes. True while something is left to do. */
static bool tidy(void) {
  bool busy = false;
  int64_t now = monotonic_ms();
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    struct process *process = process_at(i);
    settle_orphan(process, now);
    if (process->phase == PHASE_ENDED && process->deadline && now >= process->deadline)
      close_output(process);
    if (process->phase == PHASE_ENDED && process->output[0] < 0 && process->output[1] < 0 && process->maker < 0 && !process->container)
      free_process(process);
    busy = busy || (process->phase != PHASE_FREE && process->phase != PHASE_ENDED);
    busy = busy || process->output[0] >= 0 || process->output[1] >= 0;
  }
  finish_clients();
  for (unsigned i = 0; i < supervisor.clients.used; i++)
    busy = busy || client_at(i)->fd >= 0;
  return busy;
}

/* While the exit status could not be written to disk, the supervisor stays alive, so that it can still report the status. */
static bool stored(void) {
  if (!supervisor.store_again)
    return true;
  if (monotonic_ms() < supervisor.store_again)
    return false;
  supervisor.store_again = store_exit(container()) ? 0 : monotonic_ms() + STORE_AGAIN_MS;
  if (!supervisor.store_again)
    sync_exit();
  return !supervisor.store_again;
}

static void run(void) {
  for (;;) {
    watch_all();
    int ready = poll(polled, polled_count, wait_ms());
    for (unsigned i = 0; i < polled_count && ready > 0; i++) {
      if (polled[i].revents) {
        handle(i);
        ready--;
      }
    }
    log_flush();
    bool busy = tidy();
    if (supervisor.ended)
      return;
    if (container()->phase == PHASE_ENDED && stored()) {
      close_listener();
      if (!supervisor.unheard)
        supervisor.unheard = monotonic_ms() + LINGER_MS;
      if (!busy && (is_heard() || monotonic_ms() >= supervisor.unheard))
        return;
    }
  }
}

static void discard_unread(int fd) {
  uint8_t unread[4096];
  if (fd < 0)
    return;
  /* After this call nothing more can arrive. */
  shutdown(fd, SHUT_RD);
  for (int turns = 0; turns < 1024; turns++) {
    if (read(fd, unread, sizeof unread) <= 0)
      return;
  }
}

int main(int argc, char **argv) {
  if (wants_one_call(argc, argv))
    return one_call(argv);
  keep_title(argv);
  setsid();
  ignore_signals();
  umask(0027);
  if (chdir("/") < 0)
    return 1;
  supervisor.directory = supervisor.listener = supervisor.console = -1;
  supervisor.processes = (struct table){.entry_size = sizeof(struct process), .most = PROCESSES_LIMIT};
  supervisor.clients = (struct table){.entry_size = sizeof(struct client), .most = CLIENTS_LIMIT};
  supervisor.connections = map_own_pages(CONNECTIONS_LIMIT * sizeof *supervisor.connections);
  if (!supervisor.connections || make_streams_room() < 0)
    return 1;
  make_container();
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++)
    supervisor.connections[i].fd = -1;
  supervisor.own_pid = getpid();
  if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0 || set_nonblocking(CONTROL_FD) < 0)
    return 1;
  clear_failure();
  add_connection(CONTROL_FD);
  run();
  close_listener();
  /* If the socket closed with unread requests, the peer would lose answers that it has not read yet. */
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++)
    discard_unread(supervisor.connections[i].fd);
  /* A stem that was never launched must not live longer than this process. */
  if (!supervisor.launched && container()->pidfd >= 0)
    drop_process(container());
  return 0;
}
