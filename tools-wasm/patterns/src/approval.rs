use std::time::Duration;

use longhaul_guest::elicit::{self, Answer};
use longhaul_guest::{Output, ToolResult};

use crate::Text;

const A_DAY: Duration = Duration::from_secs(86_400);

pub fn publish(args: Text) -> ToolResult {
    let question = elicit::confirm("publish", format!("Publish this? {}", args.text)).within(A_DAY);
    let verdict = match question.wait()? {
        Answer::Accept(form) if form["confirm"] == true => "published",
        Answer::Accept(_) | Answer::Decline => "not published: somebody said no",
        Answer::Cancel | Answer::Timeout => "not published: nobody said yes",
    };
    Ok(Output::text(verdict))
}
