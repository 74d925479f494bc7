#include "words.h"

#include <ctype.h>
#include <stdbool.h>

uint64_t count_words(const char *text, size_t length) {
    uint64_t words = 0;
    bool within = false;
    for (size_t at = 0; at < length; at++) {
        bool blank = isspace((unsigned char)text[at]);
        words += !blank && !within;
        within = !blank;
    }
    return words;
}
