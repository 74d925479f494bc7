// Longhaul's kit for tools in C: the calls of the world `longhaul:tool` that most tools want. What it leaves out, and what you
// add to wit/world.wit, is called by way of guest.h, which `longhaul tool build` makes of wit/ and puts into build/bindings.
//
//     #include "longhaul.h"
//
//     static longhaul_result greet(const char *arguments) {
//         const char *name = longhaul_json_text(arguments, "name");
//         longhaul_progress(1, 1, "greeting");
//         return longhaul_done(longhaul_format("Hello, %s!", name), NULL);
//     }
//
//     const longhaul_tool longhaul_tools[] = {
//         { .name = "greet", .description = "Greets a person.", .run = greet,
//           .input_schema = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}" },
//         { 0 },
//     };
//
// Texts are UTF-8 and end with a zero byte. What the kit returns is never freed: an instance lives for one call. Times are
// milliseconds. A function that returns false was refused by the host: longhaul_error() says why, and
// `return longhaul_failed();` makes the tool's own error of it. abort() and a failed assert end the attempt as a trap.
#ifndef LONGHAUL_H
#define LONGHAUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    enum { LONGHAUL_DONE, LONGHAUL_TOOL_ERROR, LONGHAUL_PROTOCOL_ERROR } kind;
    const char *text;
    const char *structured;
    int32_t code;
} longhaul_result;

// A result: a text for the reader, and a JSON value that fits the output schema, or NULL.
longhaul_result longhaul_done(const char *text, const char *structured);
// The tool ran and reports an error that a model can read.
longhaul_result longhaul_tool_error(const char *text);
// The tool's own error, of what the host refused last.
longhaul_result longhaul_failed(void);
// The call is answered with a JSON-RPC error.
longhaul_result longhaul_protocol_error(int32_t code, const char *message);

typedef struct {
    const char *name;
    const char *title;         // or NULL
    const char *description;
    const char *input_schema;  // JSON Schema of the arguments, an object
    const char *output_schema; // of the structured result, or NULL
    enum { LONGHAUL_LINK, LONGHAUL_INLINE, LONGHAUL_TASK } reply;
    // Is given a JSON object that fits the input schema.
    longhaul_result (*run)(const char *arguments);
} longhaul_tool;

// The component's tools: yours to define, ended by one that is all zero.
extern const longhaul_tool longhaul_tools[];

// Of what was refused last: the words, and which kind of refusal it was.
const char *longhaul_error(void);
typedef enum {
    LONGHAUL_NOT_GRANTED, LONGHAUL_INVALID, LONGHAUL_LIMIT, LONGHAUL_NOT_FOUND, LONGHAUL_UNAVAILABLE,
    LONGHAUL_CONFLICT, // an entry has another version
    LONGHAUL_CALL,     // a called tool brought nothing
    LONGHAUL_FILE,     // a file could not be written
} longhaul_kind;
longhaul_kind longhaul_error_kind(void);

// Watchers see it once it is on disk. A total of 0 is unknown; the message may be NULL.
void longhaul_progress(uint64_t done, uint64_t total, const char *message);
void longhaul_status(const char *message);

// Lines of the task's log, as what is printed.
enum { LONGHAUL_DEBUG, LONGHAUL_INFO, LONGHAUL_NOTICE, LONGHAUL_WARNING, LONGHAUL_ERROR };
void longhaul_log(int level, const char *message);

// Named partial results, readable while the task runs. They only grow.
bool longhaul_output_write(const char *name, const char *mime_type, const void *data, size_t length);
bool longhaul_output_open(const char *name, const char *mime_type);
bool longhaul_output_append(const char *name, const char *text);
bool longhaul_output_close(const char *name);

// Puts a whole file in place in a folder that is granted, over one that is there: no reader sees a part of it, and no crash
// leaves one. It is written as `.NAME.part` in the same folder, and renamed once it is on disk. Other files are those of C.
bool longhaul_write_once(const char *path, const void *data, size_t length);

// Durable: a restart does not begin them again. A timer is a ticket that is ready after this time.
void longhaul_sleep(uint64_t ms);
uint64_t longhaul_timer(uint64_t ms);
#define LONGHAUL_FOREVER UINT64_MAX
// Waits for the first of several tickets of any kind. `*ready` is the first that is, or 0 when the time is over.
bool longhaul_wait(const uint64_t *tickets, size_t count, uint64_t timeout_ms, uint64_t *ready);
// Gives a ticket up: a question is withdrawn, a child is cancelled.
void longhaul_abandon(uint64_t ticket);

// Shortens replay: a restart begins at the tool's first line with what was saved, in the place of a replay of all before. No
// ticket may be open. The tool is begun again at once: it returns only where the state is the one that was saved last.
bool longhaul_checkpoint(const char *state);
// What was saved last, or NULL.
const char *longhaul_restored(void);

// What others send to the running task, in order, each once. A name of NULL is any. `*payload` is JSON, or NULL when the time
// is over.
bool longhaul_receive(const char *name, uint64_t timeout_ms, const char **payload);
// To `parent` or the id of a child.
bool longhaul_send(const char *to, const char *name, const char *payload);

// Entries that agents share: JSON under a namespace and a key. A write is made once, whatever crashes.
// `*value` is NULL and `*version` 0 where there is no entry.
bool longhaul_state_get(const char *namespace_, const char *key, const char **value, uint64_t *version);
#define LONGHAUL_ANY_VERSION UINT64_MAX
// Only where the entry has this version, or any. `version` may be NULL; else it is given the new one.
bool longhaul_state_put(const char *namespace_, const char *key, const char *value, uint64_t if_version, uint64_t *version);
bool longhaul_state_delete(const char *namespace_, const char *key);
typedef struct { const char *key, *value; uint64_t version; } longhaul_entry;
// All whose keys begin so.
bool longhaul_state_list(const char *namespace_, const char *prefix, const longhaul_entry **entries, size_t *count);
// A ticket that is ready when the entry has another version.
bool longhaul_state_watch(const char *namespace_, const char *key, uint64_t version, uint64_t *ticket);
// Reads, changes and writes, again where another writer was faster. `change` is given NULL where there is no entry.
typedef const char *(*longhaul_change)(const char *value, void *context);
bool longhaul_state_update(const char *namespace_, const char *key, longhaul_change change, void *context, const char **written);

// Asks a person, and waits for days if need be. The key names the question in its task; the form is a JSON Schema. `*answer`
// is the JSON that was accepted, or NULL where it was declined, cancelled or not answered in a day.
bool longhaul_ask(const char *key, const char *message, const char *schema, const char **answer);

// Asks a model that the operator has configured and granted by name, and waits. `output` names a new output, which the text is
// written into as it comes, or is NULL. `*answer` is its text.
bool longhaul_model(const char *model, const char *prompt, uint32_t max_tokens, const char *output, const char **answer);
// The same of the client's model, or of the one that the operator has configured in its place.
bool longhaul_sample(const char *prompt, uint32_t max_tokens, const char **answer);

// Starts other tools, each as a task of its own, in one commit: all or none. A ticket each, in their order.
bool longhaul_spawn(const char *const *tools, const char *const *arguments, size_t count, uint64_t *tickets);
// Waits for one of them. `*answer` is its JSON, or its text where it has none.
bool longhaul_join(uint64_t ticket, const char **answer);
// Calls another tool as a task of its own, and waits for it. `*answer` is its JSON, or its text where it has none.
bool longhaul_call(const char *tool, const char *arguments, const char **answer);

// JSON. Of a member of an object: its JSON, its text, its number; NULL or false where it is not there or is something else.
const char *longhaul_json_get(const char *object, const char *name);
const char *longhaul_json_text(const char *object, const char *name);
bool longhaul_json_number(const char *object, const char *name, double *number);
// A text as JSON, quoted.
const char *longhaul_json_quote(const char *text);
// As printf, into new memory.
const char *longhaul_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
