//! The schemas of the example tools, as a host is shown them.

use serde_json::{Value, json};

use crate::support::{Server, guest};

/// Where a schema has what some framework refuses, drops, or builds no agent with.
fn complaints(schema: &Value, at: &str) -> Vec<String> {
    let Value::Object(fields) = schema else { return Vec::new() };
    let names_texts = |all: &Value| all.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    let mut found = Vec::new();
    let mut complain = |is_so: bool, what: &str| found.extend(is_so.then(|| format!("{at}: {what}")));
    complain(schema["type"].is_array(), "a list of types");
    complain(schema["type"] == "object" && !schema["properties"].is_object(), "an object without properties");
    complain(names_texts(&schema["enum"]) && schema["type"] != "string", "an enumeration without a type");
    for (key, value) in fields {
        let at = format!("{at}/{key}");
        match (key.as_str(), value) {
            ("const" | "enum" | "default" | "examples" | "required" | "type", _) => {}
            ("properties" | "$defs", Value::Object(named)) => {
                found.extend(
                    named.iter().flat_map(|(name, below)| complaints(below, &format!("{at}/{name}"))),
                );
            }
            (_, Value::Array(below)) => found.extend(below.iter().flat_map(|below| complaints(below, &at))),
            (_, below) => found.extend(complaints(below, &at)),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_framework_chokes_on_an_example_tool() {
    let data = tempfile::tempdir().expect("a folder");
    let names = [
        "research_agent",
        "travel_agent",
        "text_stats",
        "support_desk",
        "support_team",
        "category_agent",
        "supervisor",
    ];
    let server = Server::start(data.path(), &names.map(guest));
    let (mut cursor, mut listed, mut found) = (Value::Null, 0, Vec::new());
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let mut page = server.client().request("tools/list", None, params).await.expect("a page");
        for tool in page["tools"].as_array().expect("tools") {
            listed += 1;
            for part in ["inputSchema", "outputSchema"] {
                let at = format!("{} {part}", tool["name"]);
                found.extend(complaints(&tool[part], &at));
            }
            assert!(tool["inputSchema"]["properties"].is_object(), "{tool}");
        }
        cursor = page["nextCursor"].take();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(listed > names.len(), "{listed} tools");
}
