// What needs no Longhaul: test_words.c tries it on this machine.
#include <stddef.h>
#include <stdint.h>

// The words in the first bytes of a text.
uint64_t count_words(const char *text, size_t length);
