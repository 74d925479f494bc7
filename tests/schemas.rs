//! The schemas of the example tools, as a host is shown them.

#[path = "../src/catalog/testing.rs"]
mod testing;

use serde_json::{Value, json};
use testing::complaints;

use crate::support::{Server, guest};

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
                let of_schema = complaints(&tool[part]).into_iter();
                found.extend(of_schema.map(|what| format!("{} {part}: {what}", tool["name"])));
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
