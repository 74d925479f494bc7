//! Shared state as tools.

use serde_json::{Value, json};

use super::definition::{Definition, READS, any_json, arguments, changes};
use crate::limits;

pub fn definitions() -> Vec<Definition> {
    let namespace = json!({
        "type": "string", "minLength": 1, "maxLength": limits::MAX_STATE_NAMESPACE_BYTES,
        "description": "a-z, 0-9, '.', '_' and '-'.",
    });
    let key = json!({ "type": "string", "minLength": 1, "maxLength": limits::MAX_STATE_KEY_BYTES });
    let if_version = json!({
        "type": "integer", "minimum": 0,
        "description": "Only if this is the entry's version; 0: only if there is no entry.",
    });
    let version =
        json!({ "type": "integer", "description": "Grows with every write; 0: there is no entry." });
    let written = json!({ "type": "object", "properties": { "version": version }, "required": ["version"] });
    let entry = |more: Value| {
        let mut properties = json!({
            "version": version, "updated_at": { "type": "string" }, "by": { "type": "string" },
        });
        if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
            properties.extend(more);
        }
        json!({ "type": "object", "properties": properties, "required": ["version"] })
    };
    vec![
        Definition {
            name: "state_get",
            title: "Read shared state",
            description: "Read an entry of shared state; version 0 says that there is none.".to_owned(),
            input: arguments(json!({ "namespace": namespace, "key": key }), &["namespace", "key"]),
            output: Some(entry(json!({ "value": { "description": "Any JSON." } }))),
            hints: READS,
        },
        Definition {
            name: "state_put",
            title: "Write shared state",
            description:
                "Write an entry of shared state. With if_version it is only written where nobody else \
                 has written meanwhile; a lost race is an error that tells the present version."
                    .to_owned(),
            input: arguments(
                json!({
                    "namespace": namespace,
                    "key": key,
                    "value": any_json("What the entry holds."),
                    "if_version": if_version,
                    "ttl_seconds": {
                        "type": "integer", "minimum": 1, "maximum": limits::MAX_STATE_TTL_SECONDS,
                        "description": "After this it is gone.",
                    },
                }),
                &["namespace", "key", "value"],
            ),
            output: Some(written.clone()),
            hints: changes(true),
        },
        Definition {
            name: "state_list",
            title: "List shared state",
            description: "List the entries of a namespace in the order of their keys, without their values."
                .to_owned(),
            input: arguments(
                json!({
                    "namespace": namespace,
                    "prefix": { "type": "string", "maxLength": limits::MAX_STATE_KEY_BYTES },
                    "limit": { "type": "integer", "minimum": 1, "maximum": limits::MAX_PAGE_ROWS },
                    "cursor": { "type": "string", "description": "next_cursor of the page before." },
                }),
                &["namespace"],
            ),
            output: Some(json!({
                "type": "object",
                "properties": {
                    "entries": { "type": "array", "items": entry(json!({ "key": { "type": "string" } })) },
                    "next_cursor": { "type": "string" },
                },
                "required": ["entries"],
            })),
            hints: READS,
        },
        Definition {
            name: "state_delete",
            title: "Delete shared state",
            description:
                "Delete an entry of shared state. Written anew it goes on from the version that this gives; \
                 0 says that there was none."
                    .to_owned(),
            input: arguments(
                json!({ "namespace": namespace, "key": key, "if_version": if_version }),
                &["namespace", "key"],
            ),
            output: Some(written),
            hints: changes(true),
        },
    ]
}
