// my_tool counts the words of a text, line by line, and keeps the total of all its calls.
#include <stdlib.h>
#include <string.h>

#include "longhaul.h"
#include "words.h"

static const char *add(const char *total, void *words) {
    unsigned long long before = total ? strtoull(total, NULL, 10) : 0;
    return longhaul_format("%llu", before + *(unsigned long long *)words);
}

static longhaul_result run(const char *arguments) {
    const char *text = longhaul_json_text(arguments, "text"), *total;
    unsigned long long words = 0, at = 0, lines = 0;
    for (const char *seen = text; *seen; lines++) seen += strcspn(seen, "\n"), seen += *seen == '\n';
    if (!longhaul_output_open("lines", "text/plain")) return longhaul_failed();
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        unsigned long long here = count_words(line, length);
        words += here;
        const char *said = longhaul_format("%llu %.*s\n", here, (int)length, line);
        if (!longhaul_output_append("lines", said)) return longhaul_failed();
        longhaul_progress(at + 1, lines, longhaul_format("line %llu", at + 1));
        // Durable: after a crash it goes on here, and what came before is not done again.
        longhaul_sleep(100);
        at++;
        line += length + (line[length] == '\n');
    }
    if (!longhaul_output_close("lines")) return longhaul_failed();
    if (!longhaul_state_update("my_tool", "total", add, &words, &total)) return longhaul_failed();
    return longhaul_done(longhaul_format("%llu words, %s in all", words, total),
                         longhaul_format("{\"words\":%llu,\"total\":%s}", words, total));
}

const longhaul_tool longhaul_tools[] = {
    {
        .name = "my_tool",
        .title = "my_tool",
        .description = "Counts the words of a text, line by line, and keeps the total of all its calls.",
        .input_schema = "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}",
        .output_schema = "{\"type\":\"object\",\"properties\":{\"words\":{\"type\":\"integer\"},"
                         "\"total\":{\"type\":\"integer\"}},\"required\":[\"words\",\"total\"]}",
        .reply = LONGHAUL_INLINE,
        .run = run,
    },
    { 0 },
};
