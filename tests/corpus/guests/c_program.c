#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  unsigned long long drawn;
  if (getentropy(&drawn, sizeof drawn)) return 1;
  time_t begun = time(0);
  printf("drawn %016llx\n", drawn);
  fflush(stdout);
  struct timespec day = {86400, 0};
  nanosleep(&day, 0);
  printf("still %016llx, a day is over: %s\n", drawn, time(0) - begun >= 86400 ? "true" : "false");
}
