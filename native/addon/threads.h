/* A thread of the addon's own: a small stack, and all signals blocked, because the runtime's handlers must run on its own threads. */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Returns an errno, 0 for success. With `detached` nobody joins it. */
static inline int start_thread(pthread_t *thread, bool detached, void *(*run)(void *), void *argument) {
  pthread_attr_t attributes;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 128 * 1024);
  if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}
