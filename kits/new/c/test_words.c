#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "words.h"

int main(void) {
    const char *line = " one\ttwo  three ";
    assert(count_words(line, strlen(line)) == 3);
    assert(count_words(line, 5) == 1);
    assert(count_words("", 0) == 0);
    puts("ok");
}
