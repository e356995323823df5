//! Hosts that a spec allows and denies.

use serde_json::{Map, Value, json};

use super::spec::{Spec, append};
use crate::{
    kit::{
        problem::{Code, quoted},
        resolve::is_private,
        tree::Node,
    },
    model::{
        pattern,
        rule::{HostPattern, Ports, Protocol},
    },
};

pub(super) fn permissions(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    for (key, value) in spec.entries(node, "permissions").to_vec() {
        if key.text != "network" {
            spec.lost_key(&key, &format!("permissions.{}", key.text));
            continue;
        }
        for (key, value) in spec.entries(&value, "permissions.network").to_vec() {
            match key.text.as_str() {
                "allow" | "deny" => {
                    for item in spec.items(&value, "a list of hosts").to_vec() {
                        rule(&item, key.text == "allow", body, spec);
                    }
                }
                other => spec.lost_key(&key, &format!("permissions.network.{other}")),
            }
        }
    }
}

fn rule(item: &Node, allow: bool, body: &mut Map<String, Value>, spec: &mut Spec) {
    let Some(text) = spec.text(item) else { return };
    let why = spec.why(item);
    if text.contains("${{") {
        // What the argument holds decides; it is checked when it is known.
        let rule =
            if allow { json!({ "allow": text, "why": why }) } else { json!({ "deny": text, "why": why }) };
        return append(body, &["network", "rules"], rule);
    }
    let (host, ports) = match pattern::parse(&text) {
        Ok(read) => read,
        Err(error) => {
            return spec.wrong(
                item,
                Code::Pattern,
                format!("{} is not a pattern", quoted(&text)),
                error.to_string(),
            );
        }
    };
    if !allow {
        return append(body, &["network", "rules"], json!({ "deny": text, "why": why }));
    }
    if host == HostPattern::Any {
        return spec.lost(
            item,
            "an allow of every name is no rule here",
            "`preset: open` of the sandbox says so, or name the hosts",
        );
    }
    // A port that was implied is written out.
    let implied = Ports::one(443);
    let ports = ports.unwrap_or(implied);
    let pattern = match &host {
        HostPattern::Net(net) if net.addr().is_ipv6() => format!("[{host}]:{ports}"),
        host => format!("{host}:{ports}"),
    };
    let usual = (ports.first == ports.last).then(|| Protocol::default_for(ports.first)).flatten();
    let usual = usual.filter(|_| !matches!(host, HostPattern::Net(_)));
    let private = matches!(&host, HostPattern::Net(net) if is_private(net));
    let mut rule = match usual {
        Some(_) => json!({ "allow": pattern, "why": why }),
        None if spec.takes_a_key(&text) => json!({ "allow": pattern, "protocol": "https", "why": why }),
        None => {
            let message =
                format!("what is spoken at {} is not said; `protocol: tcp` is written out", quoted(&pattern));
            spec.lost(
                item,
                message,
                "write http or https where that is spoken, so that each request is judged",
            );
            json!({ "allow": pattern, "protocol": "tcp", "why": why })
        }
    };
    // A network that is written out is meant; ours wants it said.
    if let (true, Some(rule)) = (private, rule.as_object_mut()) {
        rule.insert("addresses".to_owned(), json!("private"));
    }
    append(body, &["network", "rules"], rule);
}
