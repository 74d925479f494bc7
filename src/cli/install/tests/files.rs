//! Files as hosts and their owners write them. What an edit puts in stands between ⟦ and ⟧, what it takes out between
//! ⟪ and ⟫: all else is compared to the byte.

use super::*;

/// What stands in the files before and after.
fn before_and_after(marked: &str) -> (String, String) {
    let without = |text: &str, open: char, close: char| {
        let parts = text.split(open);
        parts.map(|part| part.split_once(close).map_or(part, |(_, rest)| rest)).collect::<String>()
    };
    let bare = |text: String| text.replace(['⟦', '⟧', '⟪', '⟫'], "");
    (bare(without(marked, '⟦', '⟧')), bare(without(marked, '⟪', '⟫')))
}

fn job(home: &Home, client: HostClient, text: &str) -> Job {
    let mut job = home.job_on(client, text);
    job.entry = Map::from_iter([
        ("command".to_owned(), json!("/opt/longhaul")),
        ("args".to_owned(), json!(["serve"])),
    ]);
    job.force = true;
    job
}

/// The edit, the copy of what was there, and a second time that has nothing to do.
#[track_caller]
fn edited(client: HostClient, marked: &str) {
    let (before, after) = before_and_after(marked);
    let home = Home::new();
    let job = job(&home, client, &before);
    let (action, backup, there) = done(&job);
    assert_eq!(there, after);
    assert_eq!(action, if marked.contains('⟪') { Action::Replaced } else { Action::Added });
    assert_eq!(fs::read_to_string(backup.expect("a copy")).expect("a file"), before);
    assert_eq!(done(&job), (Action::Unchanged, None, after));
}

#[test]
fn a_file_of_vs_code_with_tabs_comments_and_trailing_commas() {
    edited(
        HostClient::VsCode,
        r#"// Servers of this machine.
{
	/* Asked for once,
	   then kept. */
	"inputs": [
		{ "id": "key", /* no default */ "type": "promptString", "password": true },
	],
	"servers": {
		// é: "longhaul": { "url": "http://not.this/" },
		"github": {
			"url": "https://api.githubcopilot.com/mcp/", // "servers": {
			"headers": { "Authorization": "Bearer ${input:key}" },
		}, // the last one, for now
⟦		"longhaul": {
			"command": "/opt/longhaul",
			"args": [
				"serve"
			]
		},
⟧		/*
		"off": { "command": "x" },
		*/
	},
}
// end
"#,
    );
}

#[test]
fn a_file_of_claude_code_with_servers_of_projects_and_numbers_of_its_own() {
    edited(
        HostClient::ClaudeCode,
        r#"{
    "numStartups": 412,
    "tipsHistory": {"new-user-warmup": 1.0, "shift-enter": 10000000000000000000001},
    "projects": {
        "/home/me/a": {"allowedTools": [], "mcpServers": {"longhaul": {"command": "/other"}}}
    },
    "mcpServers": {
        "a": {"type": "stdio", "command": "a", "args": ["//", "/*", "}"], "env": {}}⟦,
        "longhaul": {
            "command": "/opt/longhaul",
            "args": [
                "serve"
            ]
        }⟧
    },
    "userID": "\u00e9\ud83d\ude00"
}"#,
    );
}

#[test]
fn a_file_of_windows_with_a_byte_order_mark() {
    let marked = "\u{feff}{\n  // nothing yet⟦\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"command\": \"/opt/longhaul\",\n      \
                  \"args\": [\n        \"serve\"\n      ]\n    }\n  }⟧\n}\n";
    edited(HostClient::ClaudeDesktop, &marked.replace('\n', "\r\n"));
    let toml = "\u{feff}model = \"m\" # mine\n\n[[profiles]]\nnotes = \"\"\"\na\n\"\"\"\n\
                ⟦\n[mcp_servers.longhaul]\ncommand = \"/opt/longhaul\"\nargs = [\"serve\"]\n⟧";
    edited(HostClient::Codex, &toml.replace('\n', "\r\n"));
}

#[test]
fn members_on_one_line_and_comments_where_nothing_else_is() {
    let long = "\n  \"mcpServers\": {\n    \"longhaul\": {\n      \"command\": \"/opt/longhaul\",\n      \"args\": [\n        \
                \"serve\"\n      ]\n    }\n  }\n";
    let short = r#""longhaul": {"command":"/opt/longhaul","args":["serve"]}"#;
    for marked in [
        format!("{{\"mcpServers\": {{\"a\": {{}}⟦, {short}⟧}}, \"b\": [1,  2]}}"),
        format!("{{\"mcpServers\": {{\"a\": {{}},⟦ {short},⟧}}}}"),
        format!("{{\"mcpServers\": {{\"a\": {{}}⟦,⟧ /* of a */⟦ {short}⟧ }}}}"),
        format!("// none yet⟦\n{{{long}}}\n⟧"),
        format!("// none yet\n⟦{{{long}}}\n⟧"),
        format!("⟦{{{long}}}\n⟧"),
        format!("{{⟦{long}⟧}}"),
    ] {
        edited(HostClient::Cursor, &marked);
    }
}

#[test]
fn an_entry_that_is_replaced_leaves_what_is_written_about_it() {
    edited(
        HostClient::Cursor,
        r#"{
  "mcpServers": {
    // mine
    "longhaul": ⟪{ "url": "http://old/" /* goes too */ }⟫⟦{
      "command": "/opt/longhaul",
      "args": [
        "serve"
      ]
    }⟧, // still mine

    "b": {},
  },
}
"#,
    );
    // Of two with one name hosts take the last.
    edited(
        HostClient::Cursor,
        r#"{"mcpServers": {"longhaul": 1, "longhaul": ⟪2⟫⟦{
  "command": "/opt/longhaul",
  "args": [
    "serve"
  ]
}⟧}}"#,
    );
    edited(
        HostClient::Codex,
        r#"# mine
[mcp_servers."longhaul"] # still mine
⟪url = "http://old/"
[mcp_servers."longhaul".env]
A = "1"
⟫⟦command = "/opt/longhaul"
args = ["serve"]
⟧
# about the profiles
[[profiles]]
name = 'a'
[mcp_servers.b]
command = "b" # and no line end"#,
    );
}

#[test]
fn tables_of_codex_in_every_form() {
    let table = "\n[mcp_servers.longhaul]\ncommand = \"/opt/longhaul\"\nargs = [\"serve\"]\n";
    let inline = r#"longhaul = { command = "/opt/longhaul", args = ["serve"] }"#;
    for marked in [
        // Behind an array of tables, and behind what is commented out.
        format!(
            "[mcp_servers.a]\ncommand = \"a\"\n\n[[profiles]] # one\nname = \"p\"\n# [mcp_servers.b]\n⟦{table}⟧"
        ),
        format!("[mcp_servers.\"a b\"]\ncommand = \"a\"⟦\n{table}⟧"),
        // Dotted keys, scattered.
        format!("mcp_servers.a.command = \"a\"\nmodel = \"m\"\nmcp_servers.a.args = []\n\n⟦{}⟧", &table[1..]),
        format!("[mcp_servers]\na.command = \"a\"\n⟦{table}⟧"),
        "[mcp_servers]\na.command = \"a\" # a\nlonghaul.⟪url = \"u\"⟫⟦command = \"/opt/longhaul\"\nlonghaul.args = [\"serve\"]⟧\n# b\nb.command = 'b'\n"
            .to_owned(),
        // Inline tables.
        format!("mcp_servers = {{ a = {{ command = \"a\" }}⟦, {inline}⟧ }} # mine\nmodel  =  \"m\"\n"),
        format!("mcp_servers = {{a = {{command = \"a\"}}⟦, {inline}⟧}}"),
        format!("mcp_servers = {{⟦ {inline} ⟧}}\n"),
        format!("mcp_servers = {{\n  # one\n  a = {{}}, # of a\n  # two\n⟦  {inline},\n⟧}}\n"),
        format!("mcp_servers = {{\n  a = {{}}⟦,⟧ # of a\n⟦  {inline}\n⟧}}\n"),
        format!("mcp_servers = {{longhaul = ⟪{{url = \"u\"}}⟫⟦{}⟧, b = {{}}}}\n", &inline[11..]),
        format!("[mcp_servers]\nlonghaul  = ⟪{{ url = \"u\" }}⟫⟦{}⟧ # mine\n", &inline[11..]),
    ] {
        edited(HostClient::Codex, &marked);
        edited(HostClient::Codex, &marked.replace('\n', "\r\n"));
    }
}

#[test]
fn what_no_reader_of_its_language_takes_is_left_alone() {
    for (client, text) in [
        (HostClient::VsCode, "{ servers: {} }"),
        (HostClient::VsCode, "{ 'servers': {} }"),
        (HostClient::VsCode, "{ \"a\": 1 \"servers\": {} }"),
        (HostClient::VsCode, "{ \"servers\": {} /* }"),
        (HostClient::VsCode, "{ \"servers\": {},, }"),
        (HostClient::VsCode, "{}\n{}"),
        (HostClient::VsCode, "[ // a list\n]"),
        (HostClient::Codex, "[mcp_servers]\na = 1\na = 2\n"),
        (HostClient::Codex, "[[mcp_servers]]\nname = \"a\"\n"),
        // It would move the second key to the first.
        (HostClient::Codex, "[mcp_servers]\nlonghaul.url = \"u\"\nb.url = \"u\"\nlonghaul.a = 1\n"),
    ] {
        let home = Home::new();
        let job = job(&home, client, text);
        let refused = job.plan().expect_err("refused");
        assert_eq!(refused.exit, Exit::Refused, "{text}");
        assert!(
            refused.message.contains(".json is left as it is") || refused.message.contains(".toml is left")
        );
        assert!(refused.next.expect("a block").contains("/opt/longhaul"), "{text}");
        assert_eq!(fs::read_to_string(&job.path).expect("a file"), text);
        assert_eq!(home.siblings(&job).len(), 1);
    }
}
