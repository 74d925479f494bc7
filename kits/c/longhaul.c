// What longhaul.h promises, over the bindings of wit/ (guest.h, which `longhaul tool build` makes).
#include "longhaul.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

static void *room(size_t size) {
    void *made = malloc(size ? size : 1);
    if (!made) abort();
    return made;
}

static char *copied(const void *text, size_t length) {
    char *copy = room(length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

static const char *text_of(guest_string_t text) { return copied(text.ptr, text.len); }

// Lent to the host for one call.
static guest_string_t lent(const char *text) { return (guest_string_t){ (uint8_t *)text, strlen(text) }; }

// Given to the host, whose side of the bindings frees it.
static guest_string_t given(const char *text) {
    guest_string_t made;
    guest_string_dup(&made, text);
    return made;
}

const char *longhaul_format(const char *format, ...) {
    va_list words, again;
    va_start(words, format);
    va_copy(again, words);
    int length = vsnprintf(NULL, 0, format, words);
    va_end(words);
    if (length < 0) abort();
    char *made = room((size_t)length + 1);
    vsnprintf(made, (size_t)length + 1, format, again);
    va_end(again);
    return made;
}

// Refusals

static const char *last_error = "nothing was refused";
static longhaul_kind last_kind = LONGHAUL_INVALID;

const char *longhaul_error(void) { return last_error; }
longhaul_kind longhaul_error_kind(void) { return last_kind; }

static bool failed(longhaul_kind kind, const char *words) {
    last_kind = kind;
    last_error = words;
    return false;
}

// The five cases of the host's error hold a text each, in the order of longhaul_kind.
static bool refused(const longhaul_tool_types_error_t *error) {
    return failed((longhaul_kind)error->tag, text_of(error->val.invalid));
}

static bool put_refused(const longhaul_tool_state_put_error_t *error) {
    if (error->tag == LONGHAUL_TOOL_STATE_PUT_ERROR_REFUSED) return refused(&error->val.refused);
    const char *words = longhaul_format("the entry has version %llu by now", (unsigned long long)error->val.conflict);
    return failed(LONGHAUL_CONFLICT, words);
}

// Results

longhaul_result longhaul_done(const char *text, const char *structured) {
    return (longhaul_result){ LONGHAUL_DONE, text, structured, 0 };
}

longhaul_result longhaul_tool_error(const char *text) { return (longhaul_result){ LONGHAUL_TOOL_ERROR, text, NULL, 0 }; }

longhaul_result longhaul_failed(void) { return longhaul_tool_error(last_error); }

longhaul_result longhaul_protocol_error(int32_t code, const char *message) {
    return (longhaul_result){ LONGHAUL_PROTOCOL_ERROR, message, NULL, code };
}

static void write_output(longhaul_result result, exports_longhaul_tool_tools_output_t *output) {
    memset(output, 0, sizeof *output);
    if (result.text) {
        output->content.ptr = room(sizeof *output->content.ptr);
        output->content.len = 1;
        output->content.ptr->tag = LONGHAUL_TOOL_TYPES_CONTENT_TEXT;
        output->content.ptr->val.text = given(result.text);
    }
    if (result.structured) {
        output->structured.is_some = true;
        output->structured.val = given(result.structured);
    }
}

// What the component exports

static void define(const longhaul_tool *tool, exports_longhaul_tool_tools_definition_t *definition) {
    memset(definition, 0, sizeof *definition);
    definition->name = given(tool->name);
    definition->description = given(tool->description);
    definition->input_schema = given(tool->input_schema);
    if (tool->title) {
        definition->title.is_some = true;
        definition->title.val = given(tool->title);
    }
    if (tool->output_schema) {
        definition->output_schema.is_some = true;
        definition->output_schema.val = given(tool->output_schema);
    }
    definition->reply.is_some = true;
    definition->reply.val = (uint8_t)tool->reply;
}

void exports_longhaul_tool_tools_definitions(exports_longhaul_tool_tools_list_definition_t *ret) {
    size_t count = 0;
    while (longhaul_tools[count].name) count++;
    ret->ptr = room(count * sizeof *ret->ptr);
    ret->len = count;
    for (size_t at = 0; at < count; at++) define(&longhaul_tools[at], &ret->ptr[at]);
}

bool exports_longhaul_tool_tools_call(guest_string_t *name, exports_longhaul_tool_tools_json_t *arguments,
                                      exports_longhaul_tool_tools_output_t *ret,
                                      exports_longhaul_tool_tools_failure_t *err) {
    const char *wanted = text_of(*name);
    const longhaul_tool *tool = longhaul_tools;
    while (tool->name && strcmp(tool->name, wanted) != 0) tool++;
    longhaul_result result = longhaul_protocol_error(-32602, longhaul_format("this component has no tool `%s`", wanted));
    if (tool->name) result = tool->run(text_of(*arguments));
    memset(err, 0, sizeof *err);
    switch (result.kind) {
    case LONGHAUL_DONE:
        write_output(result, ret);
        return true;
    case LONGHAUL_TOOL_ERROR:
        err->tag = EXPORTS_LONGHAUL_TOOL_TOOLS_FAILURE_TOOL;
        write_output(result, &err->val.tool);
        return false;
    case LONGHAUL_PROTOCOL_ERROR:
        err->tag = EXPORTS_LONGHAUL_TOOL_TOOLS_FAILURE_PROTOCOL;
        err->val.protocol.code = result.code;
        err->val.protocol.message = given(result.text);
        return false;
    }
    abort();
}

// Progress, log, outputs

void longhaul_progress(uint64_t done, uint64_t total, const char *message) {
    guest_string_t words = lent(message ? message : "");
    longhaul_tool_progress_report(done, total ? &total : NULL, message ? &words : NULL);
}

void longhaul_status(const char *message) {
    guest_string_t words = lent(message);
    longhaul_tool_progress_status(&words);
}

void longhaul_log(int level, const char *message) {
    guest_string_t words = lent(message);
    longhaul_tool_log_write((longhaul_tool_log_level_t)level, &words);
}

bool longhaul_output_write(const char *name, const char *mime_type, const void *data, size_t length) {
    guest_string_t called = lent(name), type = lent(mime_type);
    guest_list_u8_t bytes = { (uint8_t *)data, length };
    longhaul_tool_types_error_t error;
    return longhaul_tool_outputs_write(&called, &type, &bytes, &error) || refused(&error);
}

bool longhaul_output_open(const char *name, const char *mime_type) {
    guest_string_t called = lent(name), type = lent(mime_type);
    longhaul_tool_types_error_t error;
    return longhaul_tool_outputs_open(&called, &type, &error) || refused(&error);
}

bool longhaul_output_append(const char *name, const char *text) {
    guest_string_t called = lent(name);
    guest_list_u8_t bytes = { (uint8_t *)text, strlen(text) };
    longhaul_tool_types_error_t error;
    return longhaul_tool_outputs_append(&called, &bytes, &error) || refused(&error);
}

bool longhaul_output_close(const char *name) {
    guest_string_t called = lent(name);
    longhaul_tool_types_error_t error;
    return longhaul_tool_outputs_close(&called, &error) || refused(&error);
}

// Files

static bool write_all(int file, const char *data, size_t length) {
    while (length) {
        ssize_t written = write(file, data, length);
        if (written < 0) return false;
        data += written;
        length -= (size_t)written;
    }
    return fsync(file) == 0;
}

bool longhaul_write_once(const char *path, const void *data, size_t length) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *part = longhaul_format("%.*s.%s.part", (int)(name - path), path, name);
    int file = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool whole = file >= 0 && write_all(file, data, length);
    int why = errno;
    if (file >= 0 && close(file) != 0 && whole) {
        whole = false;
        why = errno;
    }
    if (whole && rename(part, path) == 0) return true;
    return failed(LONGHAUL_FILE, longhaul_format("%s: %s", path, strerror(whole ? errno : why)));
}

// Timers and waits

void longhaul_sleep(uint64_t ms) { longhaul_tool_timers_sleep(ms); }

uint64_t longhaul_timer(uint64_t ms) { return longhaul_tool_timers_start(ms); }

bool longhaul_wait(const uint64_t *tickets, size_t count, uint64_t timeout_ms, uint64_t *ready) {
    longhaul_tool_waits_list_ticket_t list = { (uint64_t *)tickets, count }, found = { NULL, 0 };
    longhaul_tool_types_error_t error;
    uint64_t *timeout = timeout_ms == LONGHAUL_FOREVER ? NULL : &timeout_ms;
    if (!longhaul_tool_waits_wait(&list, timeout, &found, &error)) return refused(&error);
    *ready = found.len ? found.ptr[0] : 0;
    return true;
}

void longhaul_abandon(uint64_t ticket) { longhaul_tool_waits_abandon(ticket); }

// Checkpoints

bool longhaul_checkpoint(const char *state) {
    guest_list_u8_t bytes = { (uint8_t *)state, strlen(state) };
    longhaul_tool_types_error_t error;
    return longhaul_tool_checkpoint_save(&bytes, &error) || refused(&error);
}

const char *longhaul_restored(void) {
    guest_list_u8_t bytes;
    return longhaul_tool_checkpoint_restore(&bytes) ? copied(bytes.ptr, bytes.len) : NULL;
}

// Messages

bool longhaul_receive(const char *name, uint64_t timeout_ms, const char **payload) {
    guest_string_t called = lent(name ? name : "");
    guest_list_string_t names = { &called, name ? 1 : 0 };
    longhaul_tool_messages_message_t message;
    longhaul_tool_types_error_t error;
    uint64_t ticket, ready;
    *payload = NULL;
    if (!longhaul_tool_messages_receive(&names, &ticket, &error)) return refused(&error);
    if (!longhaul_wait(&ticket, 1, timeout_ms, &ready)) return false;
    if (!ready) {
        longhaul_abandon(ticket);
        return true;
    }
    if (!longhaul_tool_messages_take(ticket, &message, &error)) return refused(&error);
    *payload = text_of(message.payload);
    return true;
}

bool longhaul_send(const char *to, const char *name, const char *payload) {
    guest_string_t task = lent(to), called = lent(name), words = lent(payload);
    longhaul_tool_types_error_t error;
    uint64_t number;
    return longhaul_tool_messages_send(&task, &called, &words, &number, &error) || refused(&error);
}

// Shared state

bool longhaul_state_get(const char *namespace_, const char *key, const char **value, uint64_t *version) {
    guest_string_t space = lent(namespace_), called = lent(key);
    longhaul_tool_state_option_entry_t found;
    longhaul_tool_types_error_t error;
    if (!longhaul_tool_state_get(&space, &called, &found, &error)) return refused(&error);
    *value = found.is_some ? text_of(found.val.value) : NULL;
    *version = found.is_some ? found.val.version : 0;
    return true;
}

bool longhaul_state_put(const char *namespace_, const char *key, const char *value, uint64_t if_version, uint64_t *version) {
    guest_string_t space = lent(namespace_);
    longhaul_tool_state_put_request_t request;
    memset(&request, 0, sizeof request);
    request.key = lent(key);
    request.value = lent(value);
    request.if_version = (guest_option_u64_t){ if_version != LONGHAUL_ANY_VERSION, if_version };
    longhaul_tool_state_list_put_request_t requests = { &request, 1 };
    guest_list_u64_t versions = { NULL, 0 };
    longhaul_tool_state_put_error_t error;
    if (!longhaul_tool_state_put(&space, &requests, &versions, &error)) return put_refused(&error);
    if (version && versions.len) *version = versions.ptr[0];
    return true;
}

bool longhaul_state_delete(const char *namespace_, const char *key) {
    guest_string_t space = lent(namespace_), called = lent(key);
    uint64_t version;
    longhaul_tool_state_put_error_t error;
    return longhaul_tool_state_delete(&space, &called, NULL, &version, &error) || put_refused(&error);
}

bool longhaul_state_list(const char *namespace_, const char *prefix, const longhaul_entry **entries, size_t *count) {
    guest_string_t space = lent(namespace_), begins = lent(prefix), cursor;
    longhaul_entry *all = NULL;
    size_t length = 0;
    for (bool more = false;;) {
        longhaul_tool_state_page_t page;
        longhaul_tool_types_error_t error;
        if (!longhaul_tool_state_list(&space, &begins, 0, more ? &cursor : NULL, &page, &error)) return refused(&error);
        all = realloc(all, (length + page.entries.len + 1) * sizeof *all);
        if (!all) abort();
        for (size_t at = 0; at < page.entries.len; at++) {
            const longhaul_tool_state_entry_t *found = &page.entries.ptr[at];
            all[length++] = (longhaul_entry){ text_of(found->key), text_of(found->value), found->version };
        }
        more = page.next_cursor.is_some;
        cursor = page.next_cursor.val;
        if (!more) break;
    }
    *entries = all;
    *count = length;
    return true;
}

bool longhaul_state_watch(const char *namespace_, const char *key, uint64_t version, uint64_t *ticket) {
    guest_string_t space = lent(namespace_), called = lent(key);
    longhaul_tool_types_error_t error;
    return longhaul_tool_state_watch(&space, &called, version, ticket, &error) || refused(&error);
}

bool longhaul_state_update(const char *namespace_, const char *key, longhaul_change change, void *context,
                           const char **written) {
    for (;;) {
        const char *value;
        uint64_t version;
        if (!longhaul_state_get(namespace_, key, &value, &version)) return false;
        *written = change(value, context);
        if (longhaul_state_put(namespace_, key, *written, version, NULL)) return true;
        if (last_kind != LONGHAUL_CONFLICT) return false;
    }
}

// Questions and calls

bool longhaul_ask(const char *key, const char *message, const char *schema, const char **answer) {
    longhaul_tool_elicitation_question_t question;
    memset(&question, 0, sizeof question);
    question.key = lent(key);
    question.message = lent(message);
    question.form.tag = LONGHAUL_TOOL_ELICITATION_FORM_SCHEMA;
    question.form.val.schema = lent(schema);
    question.by = LONGHAUL_TOOL_ELICITATION_BY_PERSON;
    uint64_t ticket, ready;
    longhaul_tool_elicitation_answer_t said;
    longhaul_tool_types_error_t error;
    if (!longhaul_tool_elicitation_ask(&question, &ticket, &error)) return refused(&error);
    if (!longhaul_wait(&ticket, 1, LONGHAUL_FOREVER, &ready)) return false;
    if (!longhaul_tool_elicitation_take(ticket, &said, &error)) return refused(&error);
    *answer = said.tag == LONGHAUL_TOOL_ELICITATION_ANSWER_ACCEPT ? text_of(said.val.accept) : NULL;
    return true;
}

// A request with one message of the user's; it borrows what it is given.
typedef struct {
    longhaul_tool_sampling_part_t part;
    longhaul_tool_sampling_message_t message;
    longhaul_tool_sampling_request_t request;
} prompt_request;

static void fill_prompt(prompt_request *asked, const char *prompt, uint32_t max_tokens) {
    memset(asked, 0, sizeof *asked);
    asked->part.tag = LONGHAUL_TOOL_SAMPLING_PART_CONTENT;
    asked->part.val.content.tag = LONGHAUL_TOOL_TYPES_CONTENT_TEXT;
    asked->part.val.content.val.text = lent(prompt);
    asked->message.role = LONGHAUL_TOOL_SAMPLING_ROLE_USER;
    asked->message.content.ptr = &asked->part;
    asked->message.content.len = 1;
    asked->request.messages.ptr = &asked->message;
    asked->request.messages.len = 1;
    asked->request.max_tokens = max_tokens;
}

// Its texts, one after the other.
static const char *said(const longhaul_tool_sampling_response_t *response) {
    const char *text = "";
    for (size_t at = 0; at < response->content.len; at++) {
        const longhaul_tool_sampling_part_t *part = &response->content.ptr[at];
        if (part->tag != LONGHAUL_TOOL_SAMPLING_PART_CONTENT) continue;
        if (part->val.content.tag != LONGHAUL_TOOL_TYPES_CONTENT_TEXT) continue;
        const char *more = text_of(part->val.content.val.text);
        text = *text ? longhaul_format("%s\n%s", text, more) : more;
    }
    return text;
}

bool longhaul_model(const char *model, const char *prompt, uint32_t max_tokens, const char *output, const char **answer) {
    guest_string_t called = lent(model), into = lent(output ? output : "");
    prompt_request asked;
    fill_prompt(&asked, prompt, max_tokens);
    longhaul_tool_models_answer_t found;
    longhaul_tool_types_error_t error;
    uint64_t ticket;
    if (!longhaul_tool_models_ask(&called, &asked.request, output ? &into : NULL, &ticket, &error)) return refused(&error);
    if (!longhaul_tool_models_take(ticket, &found, &error)) return refused(&error);
    *answer = said(&found.response);
    return true;
}

bool longhaul_sample(const char *prompt, uint32_t max_tokens, const char **answer) {
    prompt_request asked;
    fill_prompt(&asked, prompt, max_tokens);
    longhaul_tool_sampling_response_t found;
    longhaul_tool_types_error_t error;
    uint64_t ticket;
    if (!longhaul_tool_sampling_ask(&asked.request, &ticket, &error)) return refused(&error);
    if (!longhaul_tool_sampling_take(ticket, &found, &error)) return refused(&error);
    *answer = said(&found);
    return true;
}

// A text of its content, or NULL.
static const char *first_text(const longhaul_tool_tools_output_t *output) {
    for (size_t at = 0; at < output->content.len; at++)
        if (output->content.ptr[at].tag == LONGHAUL_TOOL_TYPES_CONTENT_TEXT) return text_of(output->content.ptr[at].val.text);
    return NULL;
}

static bool call_failed(const longhaul_tool_calls_call_error_t *error) {
    if (error->tag == LONGHAUL_TOOL_CALLS_CALL_ERROR_REFUSED) return refused(&error->val.refused);
    if (error->tag != LONGHAUL_TOOL_CALLS_CALL_ERROR_FAILURE) return failed(LONGHAUL_CALL, text_of(error->val.failed));
    const longhaul_tool_tools_failure_t *failure = &error->val.failure;
    if (failure->tag == LONGHAUL_TOOL_TOOLS_FAILURE_PROTOCOL)
        return failed(LONGHAUL_CALL, text_of(failure->val.protocol.message));
    const char *words = first_text(&failure->val.tool);
    return failed(LONGHAUL_CALL, words ? words : "the tool reports an error without words");
}

bool longhaul_spawn(const char *const *tools, const char *const *arguments, size_t count, uint64_t *tickets) {
    longhaul_tool_calls_request_t *wanted = room(count * sizeof *wanted);
    memset(wanted, 0, count * sizeof *wanted);
    for (size_t at = 0; at < count; at++) {
        wanted[at].tool = lent(tools[at]);
        wanted[at].arguments = lent(arguments[at]);
    }
    longhaul_tool_calls_list_request_t requests = { wanted, count };
    longhaul_tool_calls_list_child_t children;
    longhaul_tool_types_error_t error;
    bool started = longhaul_tool_calls_start(&requests, &children, &error);
    free(wanted);
    if (!started) return refused(&error);
    for (size_t at = 0; at < count; at++) tickets[at] = children.ptr[at].ticket;
    return true;
}

bool longhaul_call(const char *tool, const char *arguments, const char **answer) {
    uint64_t ticket;
    return longhaul_spawn(&tool, &arguments, 1, &ticket) && longhaul_join(ticket, answer);
}

bool longhaul_join(uint64_t ticket, const char **answer) {
    longhaul_tool_calls_output_t output;
    longhaul_tool_calls_call_error_t wrong;
    if (!longhaul_tool_calls_take(ticket, &output, &wrong)) return call_failed(&wrong);
    const char *text = output.structured.is_some ? text_of(output.structured.val) : first_text(&output);
    *answer = text ? text : "null";
    return true;
}

// JSON

static const char *past_blank(const char *at) { return at + strspn(at, " \t\r\n"); }

// `at` is an opening quote; what comes after the closing one.
static const char *past_text(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at + 1 : at;
}

static const char *past_value(const char *at) {
    if (*at == '"') return past_text(at);
    if (*at != '{' && *at != '[') return at + strcspn(at, ",]} \t\r\n");
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = past_text(at);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (*at && depth);
    return at;
}

static char *put_utf8(char *to, uint32_t point) {
    // A zero would end the text.
    if (point == 0) point = 0xFFFD;
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xC0 | point >> 6);
        *to++ = (char)(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        *to++ = (char)(0xE0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 0x3F));
        *to++ = (char)(0x80 | (point & 0x3F));
    } else {
        *to++ = (char)(0xF0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 0x3F));
        *to++ = (char)(0x80 | (point >> 6 & 0x3F));
        *to++ = (char)(0x80 | (point & 0x3F));
    }
    return to;
}

// Four hexadecimal digits; what comes after them, or NULL.
static const char *hex4(const char *at, uint32_t *unit) {
    *unit = 0;
    for (int digit = 0; digit < 4; digit++, at++) {
        const char *digits = "0123456789abcdef", *found = *at ? strchr(digits, *at | 0x20) : NULL;
        if (!found) return NULL;
        *unit = *unit << 4 | (uint32_t)(found - digits);
    }
    return at;
}

static const char *unquoted(const char *at) {
    const char *end = past_text(at), *plain = "\"\\/bfnrt", *meant = "\"\\/\b\f\n\r\t";
    // An escape is never shorter than what it stands for, but for a zero.
    char *text = room((size_t)(end - at) + 4), *to = text;
    for (at++; at < end && *at != '"';) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        const char *known = at[1] ? strchr(plain, at[1]) : NULL;
        if (known) {
            *to++ = meant[known - plain];
            at += 2;
            continue;
        }
        uint32_t unit, low;
        const char *next = at[1] == 'u' ? hex4(at + 2, &unit) : NULL;
        if (!next) break;
        at = next;
        if (unit >= 0xD800 && unit < 0xDC00 && at[0] == '\\' && at[1] == 'u') {
            next = hex4(at + 2, &low);
            if (next && low >= 0xDC00 && low < 0xE000) {
                unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                at = next;
            }
        }
        to = put_utf8(to, unit >= 0xD800 && unit < 0xE000 ? 0xFFFD : unit);
    }
    *to = 0;
    return text;
}

const char *longhaul_json_get(const char *object, const char *name) {
    const char *at = past_blank(object);
    if (*at != '{') return NULL;
    for (at = past_blank(at + 1); *at == '"'; at = past_blank(at + 1)) {
        const char *key = at;
        at = past_blank(past_text(at));
        if (*at != ':') return NULL;
        const char *value = past_blank(at + 1);
        at = past_value(value);
        if (strcmp(unquoted(key), name) == 0) return copied(value, (size_t)(at - value));
        at = past_blank(at);
        if (*at != ',') return NULL;
    }
    return NULL;
}

const char *longhaul_json_text(const char *object, const char *name) {
    const char *value = longhaul_json_get(object, name);
    return value && *value == '"' ? unquoted(value) : NULL;
}

bool longhaul_json_number(const char *object, const char *name, double *number) {
    const char *value = longhaul_json_get(object, name);
    if (!value || !strchr("-0123456789", *value)) return false;
    *number = strtod(value, NULL);
    return true;
}

const char *longhaul_json_quote(const char *text) {
    char *made = room(strlen(text) * 6 + 3), *to = made;
    *to++ = '"';
    for (; *text; text++) {
        unsigned char one = (unsigned char)*text;
        if (one < 0x20) {
            to += sprintf(to, "\\u%04x", one);
            continue;
        }
        if (one == '"' || one == '\\') *to++ = '\\';
        *to++ = (char)one;
    }
    *to++ = '"';
    *to = 0;
    return made;
}
