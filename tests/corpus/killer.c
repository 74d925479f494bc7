#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
/* kind of call (1 write, 2 before a sync, 3 behind a sync, 4 connect), and how many more of it there are to be */
static volatile long long *plan;
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("KILL_PLAN");
  int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return;
  void *at = mmap(0, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) plan = at;
  close(file);
}
static void pass(long long kind) {
  if (plan && plan[0] == kind && __sync_sub_and_fetch(&plan[1], 1) == 0) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  static ssize_t (*next)(int, const void *, size_t, off64_t);
  if (!next) next = dlsym(RTLD_NEXT, "pwrite64");
  pass(1);
  return next(file, bytes, count, at);
}
int fdatasync(int file) {
  static int (*next)(int);
  if (!next) next = dlsym(RTLD_NEXT, "fdatasync");
  pass(2);
  int result = next(file);
  pass(3);
  return result;
}
int connect(int socket, const struct sockaddr *to, socklen_t length) {
  static int (*next)(int, const struct sockaddr *, socklen_t);
  if (!next) next = dlsym(RTLD_NEXT, "connect");
  if (to->sa_family == AF_INET) pass(4);
  return next(socket, to, length);
}
