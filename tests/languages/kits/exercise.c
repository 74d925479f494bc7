// Every call of the kit once; `counted` is what the server is killed in. As far as the kit goes the same as exercise.py. What is
// wrong ends `every_call` as the tool's own error, with what was not so.
#include <stdlib.h>
#include <string.h>

#include "longhaul.h"

#define MUST(what) \
    if (!(what)) return longhaul_tool_error(longhaul_format("%s: %s", #what, longhaul_error()))
#define SAME(text, wanted) \
    if (!(text) || strcmp(text, wanted)) return longhaul_tool_error(longhaul_format("%s is %s", #text, (text) ? (text) : "none"))
#define REFUSED(what, why) \
    if ((what) || longhaul_error_kind() != why) return longhaul_tool_error(longhaul_format("%s: %s", #what, longhaul_error()))

static const char *plus(const char *value, void *more) {
    return longhaul_format("%ld", (value ? strtol(value, NULL, 10) : 0) + *(long *)more);
}

static longhaul_result counted(const char *arguments) {
    const char *key = longhaul_json_text(arguments, "key"), *value;
    long one = 1, ten = 10;
    if (!longhaul_restored()) {
        MUST(longhaul_state_update("kits", key, plus, &one, &value));
        MUST(longhaul_checkpoint(longhaul_format("{\"text\":%s}", longhaul_json_quote("ü"))));
    }
    const char *text = longhaul_json_text(longhaul_restored(), "text");
    MUST(longhaul_model("fast", longhaul_format("How far is %s?", key), 50, "said", &value));
    SAME(value, "far away");
    MUST(longhaul_write_once(longhaul_format("/notes/%s", key), text, strlen(text)));
    MUST(longhaul_output_open("lines", "text/plain"));
    for (unsigned at = 1; at <= 2; at++) {
        MUST(longhaul_output_append("lines", longhaul_format("line %u %s\n", at, text)));
        longhaul_progress(at, 2, text);
        longhaul_sleep(20);
    }
    MUST(longhaul_output_close("lines"));
    MUST(longhaul_state_update("kits", key, plus, &ten, &value));
    return longhaul_done("done", longhaul_format("{\"counted\":%s}", value));
}

// JSON as it can come: escapes, a name within a name, brackets within texts.
static const char *const odd =
    "{\"a\": [1, {\"t\\\"ext\": 2}], \"t\\\"ext\": \"ü\\ud83d\\ude00\\n\\\\\\\"\\/\\u0001\", \"n\": -1.5e1,"
    " \"deep\": [{\"a\":\"}]\"},null]}";

static longhaul_result json(void) {
    const char *text = longhaul_json_text(odd, "t\"ext");
    double n = 0;
    SAME(text, "ü😀\n\\\"/\x01");
    if (!longhaul_json_number(odd, "n", &n) || n != -15) return longhaul_tool_error("n");
    SAME(longhaul_json_get(odd, "deep"), "[{\"a\":\"}]\"},null]");
    if (longhaul_json_get(odd, "none") || longhaul_json_text(odd, "n")) return longhaul_tool_error("none");
    SAME(longhaul_json_text(longhaul_format("{\"a\":%s}", longhaul_json_quote(text)), "a"), text);
    return longhaul_done("ok", NULL);
}

static longhaul_result waits(void) {
    uint64_t tickets[2] = { longhaul_timer(60000), longhaul_timer(10) }, ready;
    MUST(longhaul_wait(tickets, 2, LONGHAUL_FOREVER, &ready));
    if (ready != tickets[1]) return longhaul_tool_error("ready");
    MUST(longhaul_wait(tickets, 1, 1, &ready));
    if (ready) return longhaul_tool_error("the time is over");
    longhaul_abandon(tickets[0]);
    return longhaul_done("ok", NULL);
}

static longhaul_result others(void) {
    const char *answer;
    MUST(longhaul_receive("redirect", LONGHAUL_FOREVER, &answer));
    SAME(answer, "{\"chapter\":2}");
    MUST(longhaul_receive("another", 0, &answer));
    if (answer) return longhaul_tool_error(answer);
    REFUSED(longhaul_send("parent", "news", "1"), LONGHAUL_NOT_FOUND);
    MUST(longhaul_ask("price", "How much?",
                      "{\"type\":\"object\",\"properties\":{\"price\":{\"type\":\"integer\"}},\"required\":[\"price\"]}", &answer));
    SAME(answer, "{\"price\":5}");
    MUST(longhaul_sample("Say something about tides.", 100, &answer));
    SAME(answer, "They come and go.");
    MUST(longhaul_model("fast", "Say something about tides.", 100, "said", &answer));
    SAME(answer, "They come and go.");
    REFUSED(longhaul_model("slow", "Say something about tides.", 100, NULL, &answer), LONGHAUL_NOT_GRANTED);
    return longhaul_done("ok", NULL);
}

static longhaul_result tools(void) {
    const char *answer;
    double n = 0;
    MUST(longhaul_call("helper", "{\"n\":1}", &answer));
    if (!longhaul_json_number(answer, "n", &n) || n != 3) return longhaul_tool_error(answer);
    const char *const names[] = { "helper", "failing" }, *const given[] = { "{}", "{}" };
    uint64_t children[2];
    MUST(longhaul_spawn(names, given, 2, children));
    REFUSED(longhaul_join(children[1], &answer), LONGHAUL_CALL);
    SAME(longhaul_error(), "it cannot");
    MUST(longhaul_join(children[0], &answer));
    REFUSED(longhaul_call("other", "{}", &answer), LONGHAUL_NOT_GRANTED);
    return longhaul_done("ok", NULL);
}

static longhaul_result state(void) {
    const char *value;
    const longhaul_entry *entries;
    size_t count;
    uint64_t version, changed, ready;
    REFUSED(longhaul_state_put("kits", "a", "1", 7, NULL), LONGHAUL_CONFLICT);
    MUST(longhaul_state_put("kits", "a", "[1]", LONGHAUL_ANY_VERSION, &version));
    MUST(longhaul_state_get("kits", "a", &value, &version));
    SAME(value, "[1]");
    MUST(longhaul_state_put("kits", "b", "2", 0, NULL));
    MUST(longhaul_state_list("kits", "", &entries, &count));
    if (count != 2 || entries[0].version != version) return longhaul_tool_error("count");
    SAME(entries[1].key, "b");
    SAME(entries[1].value, "2");
    MUST(longhaul_state_watch("kits", "a", 0, &changed));
    MUST(longhaul_wait(&changed, 1, 1000, &ready));
    if (ready != changed) return longhaul_tool_error("changed");
    MUST(longhaul_state_delete("kits", "a"));
    MUST(longhaul_state_get("kits", "a", &value, &version));
    if (value || version) return longhaul_tool_error("deleted");
    REFUSED(longhaul_write_once("/nowhere/a", "a", 1), LONGHAUL_FILE);
    REFUSED(longhaul_state_get("others", "a", &value, &version), LONGHAUL_NOT_GRANTED);
    return longhaul_done("ok", NULL);
}

static longhaul_result every_call(const char *arguments) {
    (void)arguments;
    longhaul_status("begins");
    longhaul_log(LONGHAUL_INFO, "line");
    MUST(longhaul_output_write("whole", "text/plain", "a\0b", 3));
    longhaul_result (*const parts[])(void) = { json, waits, others, tools, state };
    for (size_t at = 0; at < sizeof parts / sizeof *parts; at++) {
        longhaul_result result = parts[at]();
        if (result.kind != LONGHAUL_DONE) return result;
    }
    return longhaul_done("ok", NULL);
}

static longhaul_result wrong(const char *arguments) {
    const char *how = longhaul_json_text(arguments, "how"), *value;
    uint64_t version;
    if (!strcmp(how, "tool")) return longhaul_tool_error("of the tool's own");
    if (!strcmp(how, "protocol")) return longhaul_protocol_error(-32050, "of the protocol");
    if (!strcmp(how, "host") && !longhaul_state_get("others", "a", &value, &version)) return longhaul_failed();
    longhaul_log(LONGHAUL_ERROR, "a trap");
    abort();
}

const longhaul_tool longhaul_tools[] = {
    { .name = "counted", .description = "Counts its calls, each once.", .title = "Counted", .reply = LONGHAUL_INLINE, .run = counted,
      .input_schema = "{\"type\":\"object\",\"properties\":{\"key\":{\"type\":\"string\"}},\"required\":[\"key\"]}",
      .output_schema =
          "{\"type\":\"object\",\"properties\":{\"counted\":{\"type\":\"integer\"}},\"required\":[\"counted\"]}" },
    { .name = "every_call", .description = "Calls what the kit has.", .run = every_call, .input_schema = "{\"type\":\"object\"}" },
    { .name = "wrong", .description = "Fails as it is asked.", .run = wrong,
      .input_schema = "{\"type\":\"object\",\"properties\":{\"how\":{\"type\":\"string\"}},\"required\":[\"how\"]}" },
    { 0 },
};
