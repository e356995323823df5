//! `demo`: plays the acceptance story.

use crate::cli::{
    context::Context,
    failure::{CommandResult, Failure, Kind, Outcome},
    output::visible,
};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Install what the host lacks, and go on, without a question
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// What the host lacks; an attack that got through.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    super::doctor::ensure_tools(args.yes, context)?;
    let report = context.ops.machines().demo(None, &*context.progress())?;
    let through = got_through(&report);
    context.out.data(&report, || scorecard(&report))?;
    if through.is_empty() {
        return Ok(Outcome::Done);
    }
    let message = format!("not blocked, or not proved: {}", through.join(", "));
    Err(Failure::new(Kind::Failed, "attack_succeeded", message))
}

/// What the report does not prove. A member that is missing is a proof that is missing.
fn got_through(report: &serde_json::Value) -> Vec<String> {
    let mut failed = Vec::new();
    let attacks = report["attacks"].as_array().map_or(&[][..], Vec::as_slice);
    if attacks.len() < 4 {
        failed.push("four attacks".to_owned());
    }
    for attack in attacks.iter().filter(|attack| attack["blocked"] != true) {
        failed.push(attack["title"].as_str().unwrap_or("an attack without a title").to_owned());
    }
    if report["allowed_call"]["real_key_arrived"] != true {
        failed.push("the allowed call with the real key".to_owned());
    }
    if report["audit"]["verified"] != true {
        failed.push("the audit trail".to_owned());
    }
    failed
}

fn scorecard(report: &serde_json::Value) -> String {
    let mut text = inventory(&report["inventory"]);
    let mut line = |good: bool, title: &str, evidence: &str| {
        let mark = if good { "blocked" } else { "FAILED " };
        text.push_str(&format!("{mark}  {}  {}\n", visible(title), visible(evidence)));
    };
    for attack in report["attacks"].as_array().map_or(&[][..], Vec::as_slice) {
        let word = |key: &str| attack[key].as_str().unwrap_or("?");
        line(attack["blocked"] == true, word("title"), word("evidence"));
    }
    let works = report["allowed_call"]["real_key_arrived"] == true;
    let status = &report["allowed_call"]["status"];
    text.push_str(&format!(
        "{}   the allowed call: status {status}\n",
        if works { "works  " } else { "FAILED " }
    ));
    let (events, verified) = (&report["audit"]["events"], report["audit"]["verified"] == true);
    let verified = if verified { "verified" } else { "FAILED" };
    text.push_str(&format!("{verified}  audit trail: {events} events\n"));
    text.push_str(&format!("isolation: {}\n", visible(report["isolation"].as_str().unwrap_or("unknown"))));
    text
}

/// What an agent without a sandbox could read and reach on this host.
fn inventory(found: &serde_json::Value) -> String {
    let list = |key: &str| {
        let words = found[key].as_array().map_or(&[][..], Vec::as_slice);
        let words: Vec<String> =
            words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
        if words.is_empty() { "none".to_owned() } else { visible(&words.join(", ")).into_owned() }
    };
    format!(
        "an ungoverned agent on this host could read and reach:\n  credentials      {}\n  variables        {}\n  \
         sockets          {}\n  loopback ports   {}\n  processes        {}\nthe same agent in a sandbox:\n",
        list("credentials"),
        list("variables"),
        list("sockets"),
        list("loopback_ports"),
        found["processes"],
    )
}

#[test]
fn a_proof_that_is_missing_fails() {
    use serde_json::json;
    let attack = json!({"id": "1", "title": "t", "blocked": true, "evidence": "e"});
    let good = json!({
        "attacks": [attack, attack, attack, attack],
        "allowed_call": {"status": 200, "real_key_arrived": true},
        "audit": {"events": 9, "verified": true},
        "isolation": "emulated",
    });
    assert_eq!(got_through(&good), Vec::<String>::new());
    assert_eq!(got_through(&json!({})).len(), 3);
    for pointer in ["/attacks/2/blocked", "/allowed_call/real_key_arrived", "/audit/verified"] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = json!(false);
        assert_eq!(got_through(&bad).len(), 1, "{pointer}");
        assert!(scorecard(&bad).contains("FAILED"), "{pointer}");
    }
}
