//! The plan: the model's, if there is one and it keeps to the tools that are granted; else the fixed one.

use longhaul_guest::calls::Definition;
use longhaul_guest::sample::{self, Response};
use longhaul_guest::{Failure, HostError, Value, json, log, models, serde_json};
use serde::Deserialize;
use support_common::Request as Ticket;

const ANALYSTS: [&str; 4] = ["sentiment_agent", "category_agent", "priority_agent", "history_agent"];
const SPECIALISTS: [&str; 2] = ["billing", "tech_support"];
const PLAN_TOKENS: u32 = 500;

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Planner {
    #[default]
    Model,
    Fixed,
}

pub struct Plan {
    /// The model, or `fixed`.
    pub made_by: String,
    pub analysts: Vec<String>,
    /// Who gets the ticket, whatever the analysts find.
    pub specialist: Option<String>,
}

/// As a model writes it.
#[derive(Deserialize)]
struct Draft {
    analysts: Vec<String>,
    #[serde(default)]
    specialist: Option<String>,
}

impl Plan {
    pub fn make(planner: Planner, ticket: &Ticket, granted: &[Definition]) -> Result<Self, Failure> {
        if planner == Planner::Fixed {
            return Ok(Self::fixed(granted));
        }
        let prompt = format!(
            "Plan how to handle a support ticket with these tools:\n{}\nThe ticket {}: {}\nAnswer with JSON alone: {}",
            described(granted),
            ticket.ticket_id,
            ticket.message,
            json!({ "analysts": ANALYSTS, "specialist": "billing, tech_support or null: as the analysts find" }),
        );
        let system =
            "You lead a support desk. You plan with the tools that you are given, and with no others.";
        let Some(answer) = ask(["smart", "fast"], &sample::prompt(prompt, PLAN_TOKENS).system(system))?
        else {
            log::info("no model is at hand: the plan is the fixed one");
            return Ok(Self::fixed(granted));
        };
        let text = answer.text();
        Ok(Self::checked(&text, answer.model, granted).unwrap_or_else(|| {
            log::warning(format!("the model's plan is not one that can be followed: {text}"));
            Self::fixed(granted)
        }))
    }

    pub fn is_by_model(&self) -> bool {
        self.made_by != "fixed"
    }

    /// All analysts, granted or not, and those of other servers: what is missing is named in the end.
    fn fixed(granted: &[Definition]) -> Self {
        let elsewhere = granted.iter().map(|tool| &tool.name).filter(|name| is_elsewhere(name));
        let analysts = ANALYSTS.map(str::to_owned).into_iter().chain(elsewhere.cloned()).collect();
        Self { made_by: "fixed".to_owned(), analysts, specialist: None }
    }

    fn checked(text: &str, made_by: String, granted: &[Definition]) -> Option<Self> {
        let json = text.get(text.find('{')?..=text.rfind('}')?)?;
        let draft: Draft = serde_json::from_str(json).ok()?;
        let is_granted = |name: &String| granted.iter().any(|tool| tool.name == *name);
        let is_analyst = |name: &String| ANALYSTS.contains(&name.as_str()) || is_elsewhere(name);
        let fits = !draft.analysts.is_empty()
            && draft.analysts.iter().all(|name| is_analyst(name) && is_granted(name))
            && draft
                .specialist
                .as_ref()
                .is_none_or(|name| SPECIALISTS.contains(&name.as_str()) && is_granted(name));
        let mut analysts = draft.analysts;
        analysts.dedup();
        fits.then_some(Self { made_by, analysts, specialist: draft.specialist })
    }
}

/// Asks the first of these models that is granted and can answer, else the client's; `None` where there is neither.
pub fn ask(names: [&str; 2], request: &sample::Request) -> Result<Option<Response>, HostError> {
    let granted = models::granted();
    for name in names.into_iter().filter(|name| granted.iter().any(|granted| granted == name)) {
        match models::wait(name, request) {
            Ok(answer) => return Ok(Some(answer.response)),
            Err(HostError::Unavailable(why)) => {
                log::warning(format!("the model {name} did not answer: {why}"))
            }
            Err(error) => return Err(error),
        }
    }
    match request.wait() {
        Ok(answer) => Ok(Some(answer)),
        Err(HostError::Unavailable(_) | HostError::NotGranted(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A tool of another server, `SERVER/TOOL`: the operator who grants it means it as one more analyst.
fn is_elsewhere(name: &str) -> bool {
    name.contains('/')
}

fn described(granted: &[Definition]) -> String {
    let tools = granted.iter().map(|tool| json!({ "name": tool.name, "description": tool.description }));
    tools.map(|tool: Value| format!("- {tool}\n")).collect()
}
