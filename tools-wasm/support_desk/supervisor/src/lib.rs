//! `supervisor {ticket_id, message, plan="model"}`: brings a ticket to its end with the tools that it is granted. A
//! model plans, where there is one; the analysts work side by side; what they find decides who gets the ticket; what
//! fails is gone around, and named in the end.

mod plan;

use std::time::Duration;

use longhaul_guest::calls::{self, Answer, Call, Child};
use longhaul_guest::{Output, Tool, ToolResult, Value, export_tools, json, log, progress, sample};
use serde::Deserialize;
use support_common::{Request, request_schema};

use plan::{Plan, Planner, ask};

#[derive(Deserialize)]
struct Arguments {
    #[serde(flatten)]
    request: Request,
    #[serde(default)]
    plan: Planner,
}

/// An analyst that takes longer is gone around.
const ANALYST_TIME: Duration = Duration::from_secs(120);
const SUMMARY_TOKENS: u32 = 300;
const STAGES: u64 = 5;

/// What is known of the ticket so far.
struct Case {
    request: Request,
    /// By analyst.
    analysis: Value,
    failed: Vec<Value>,
}

fn supervise(arguments: Arguments) -> ToolResult {
    let granted = calls::granted()?;
    progress::report(0, STAGES, "planning");
    let plan = Plan::make(arguments.plan, &arguments.request, &granted)?;
    let mut case = Case { request: arguments.request, analysis: json!({}), failed: Vec::new() };

    progress::report(1, STAGES, format!("{} analysts at work", plan.analysts.len()));
    case.analyse(&plan);
    progress::report(2, STAGES, "sorting the ticket in");
    let (category, priority) = case.sort_in();
    let route = plan.specialist.clone().unwrap_or_else(|| case.route(&category, &priority).to_owned());
    progress::report(3, STAGES, format!("with {route}"));
    let (route, outcome) = case.hand_over(&route);
    progress::report(4, STAGES, "summing up");
    let summary = case.sum_up(&plan, &category, &priority, &route, &outcome);
    progress::report(STAGES, STAGES, "done");

    Ok(Output::text(summary.clone()).structured(json!({
        "ticket_id": case.request.ticket_id,
        "planned_by": plan.made_by,
        "analysis": case.analysis,
        "category": category,
        "priority": priority,
        "route": route,
        "outcome": outcome["outcome"],
        "resolution": outcome["resolution"],
        "failed": case.failed,
        "summary": summary,
    })))
}

impl Case {
    /// All analysts at once; each is taken as it comes.
    fn analyse(&mut self, plan: &Plan) {
        let mut at_work: Vec<(String, Child)> = Vec::new();
        for tool in &plan.analysts {
            let mut call = Call::new(tool, &self.request).retries(1).timeout(ANALYST_TIME);
            if tool == "category_agent" {
                // Triage finds the category too.
                call = call.or("triage");
            }
            match calls::spawn(call) {
                Ok(child) => at_work.push((tool.clone(), child)),
                Err(error) => self.fail(tool, &error),
            }
        }
        for (tool, child) in at_work {
            match child.join() {
                Ok(answer) => {
                    let analyst = tool.trim_end_matches("_agent");
                    self.analysis[analyst] = answer.structured.unwrap_or_default();
                }
                Err(error) => self.fail(&tool, &error),
            }
        }
    }

    /// Saves the ticket with what the analysts say of it.
    fn sort_in(&mut self) -> (String, String) {
        let found = |analyst: &str, field: &str| self.analysis[analyst][field].as_str().map(str::to_owned);
        let category = found("category", "category").unwrap_or_else(|| "general".to_owned());
        let priority = found("priority", "priority")
            .or_else(|| found("category", "priority"))
            .unwrap_or_else(|| "normal".to_owned());
        let ticket =
            json!({ "ticket_id": self.request.ticket_id, "category": category, "priority": priority });
        if let Err(error) = calls::call(Call::new("save_ticket", ticket).retries(2)) {
            self.fail("save_ticket", &error);
        }
        (category, priority)
    }

    fn route(&self, category: &str, priority: &str) -> &'static str {
        match category {
            "billing" => "billing",
            "technical" => "tech_support",
            _ if priority == "high" || self.analysis["sentiment"]["sentiment"] == "negative" => "escalate",
            _ => "tech_support",
        }
    }

    /// Gives the ticket to a specialist, or to a person where that fails. Who had it, and what came of it.
    fn hand_over(&mut self, route: &str) -> (String, Value) {
        if route != "escalate" {
            match calls::call(Call::new(route, &self.request).retries(1)) {
                Ok(answer) => return (route.to_owned(), answer.structured.unwrap_or_default()),
                Err(error) => self.fail(route, &error),
            }
        }
        let ticket = json!({ "ticket_id": self.request.ticket_id });
        let outcome = match calls::call(Call::new("escalate", ticket).retries(2)) {
            Ok(Answer { .. }) => json!({ "outcome": "escalated", "resolution": "handed to a person" }),
            Err(error) => {
                self.fail("escalate", &error);
                json!({ "outcome": "failed", "resolution": "nobody could be reached" })
            }
        };
        ("escalate".to_owned(), outcome)
    }

    fn fail(&mut self, tool: &str, why: &dyn std::fmt::Display) {
        log::warning(format!("{tool} failed: {why}"));
        self.failed.push(json!({ "tool": tool, "why": why.to_string() }));
    }

    /// In the model's words where a model planned, else in plain ones. What failed is always named.
    fn sum_up(&self, plan: &Plan, category: &str, priority: &str, route: &str, outcome: &Value) -> String {
        let id = &self.request.ticket_id;
        let facts = format!(
            "Ticket {id} ({category}, {priority}) went to {route}: {}. {}",
            outcome["outcome"].as_str().unwrap_or("failed"),
            outcome["resolution"].as_str().unwrap_or_default(),
        );
        let told = if plan.is_by_model() {
            let prompt = format!(
                "Sum up for the customer's file, in two sentences: {facts} Analysis: {}",
                self.analysis
            );
            let answer = ask(["fast", "smart"], &sample::prompt(prompt, SUMMARY_TOKENS));
            answer.ok().flatten().map_or(facts, |answer| answer.text())
        } else {
            facts
        };
        let failed: Vec<&str> = self.failed.iter().filter_map(|failed| failed["tool"].as_str()).collect();
        if failed.is_empty() { told } else { format!("{told} Went without: {}.", failed.join(", ")) }
    }
}

fn tools() -> Vec<Tool> {
    let mut input = request_schema();
    input["properties"]["plan"] = json!({
        "type": "string", "enum": ["model", "fixed"], "default": "model",
        "description": "Whether a model plans, where there is one, or the plan is fixed",
    });
    let text = || json!({ "type": "string" });
    let output = json!({
        "type": "object",
        "properties": {
            "ticket_id": text(),
            "planned_by": { "type": "string", "description": "The model, or `fixed`" },
            "analysis": { "type": "object", "properties": {}, "description": "What each analyst found" },
            "category": text(),
            "priority": text(),
            "route": { "type": "string", "description": "The tool that had the ticket in the end" },
            "outcome": { "type": "string", "enum": ["resolved", "escalated", "failed"] },
            "resolution": text(),
            "failed": { "type": "array", "items": { "type": "object", "properties": {} }, "description": "What was gone around" },
            "summary": text(),
        },
        "required": ["ticket_id", "planned_by", "analysis", "category", "priority", "route", "outcome", "failed"],
    });
    let description = "Brings a support ticket to its end: analyses it, routes it, and says what was done.";
    vec![Tool::new("supervisor", description, input, supervise).output(output).inline(0)]
}

export_tools!(tools);
