//! Credentials of a spec: the name under which the operator keeps it, the variable, and the places that take it.

use serde_json::{Map, Value, json};

use super::spec::{Spec, append};
use crate::kit::{
    problem::{Code, quoted},
    sets::is_name,
    tree::Node,
};

pub(super) fn credentials(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    for item in spec.items(node, "credentials").to_vec() {
        if let Some(secret) = credential(&item, spec) {
            append(body, &["secrets"], secret);
        }
    }
}

fn credential(node: &Node, spec: &mut Spec) -> Option<Value> {
    let written = node.get("service").or_else(|| node.get("name"));
    let Some(name) = written.and_then(Node::text).filter(|name| is_name(name)) else {
        let help = "a name has 1 to 63 lower-case letters, digits and inner hyphens";
        spec.wrong(written.unwrap_or(node), Code::MissingKey, "a credential needs `service`", help);
        return None;
    };
    let mut secret = Map::from_iter([("name".to_owned(), json!(name))]);
    // There a missing value is a warning; unless the kit insists, the variable is left unset here.
    let mut required = false;
    let mut why = spec.why(node);
    for (key, value) in spec.entries(node, "a credential").to_vec() {
        match key.text.as_str() {
            "service" | "name" => {}
            "description" => {
                if let Some(text) = spec.text(&value).filter(|text| !text.contains('\n') && text.len() < 300)
                {
                    why = format!("{} ({why})", text.trim());
                }
            }
            "required" => required = spec.text(&value).is_some_and(|text| text == "true"),
            "apiKey" => api_key(&value, &mut secret, spec),
            "oauth" => spec.lost_key(&key, "oauth"),
            other => spec.lost_key(&key, &format!("credentials[].{other}")),
        }
    }
    if !secret.contains_key("inject") {
        let message = format!("nothing says where {} goes: it is left out", quoted(name));
        spec.lost(node, message, "write the secret with `inject: [{host: …, header: …}]`");
        return None;
    }
    secret.insert("required".to_owned(), json!(required));
    secret.insert("why".to_owned(), json!(why));
    Some(secret.into())
}

fn api_key(node: &Node, secret: &mut Map<String, Value>, spec: &mut Spec) {
    for (key, value) in spec.entries(node, "apiKey").to_vec() {
        match key.text.as_str() {
            "name" => secret.extend(spec.text(&value).map(|text| ("env".to_owned(), text.into()))),
            "proxyManaged" => {
                if spec.text(&value).is_some_and(|text| text == "false") {
                    let message = "the variable holds a placeholder here, never the key";
                    spec.lost(&value, message, "a program that needs the real value asks for `reveal`");
                }
            }
            "inject" => {
                for item in spec.items(&value, "inject").to_vec() {
                    if let Some(place) = place(&item, spec) {
                        append(secret, &["inject"], place);
                    }
                }
            }
            other => spec.lost_key(&key, &format!("credentials[].apiKey.{other}")),
        }
    }
}

fn place(node: &Node, spec: &mut Spec) -> Option<Value> {
    let (mut host, mut header, mut format, mut scheme) = (None, None, None, None);
    for (key, value) in spec.entries(node, "inject").to_vec() {
        match key.text.as_str() {
            "domain" => host = spec.text(&value),
            "header" => header = spec.text(&value),
            "format" => format = spec.text(&value),
            "scheme" => scheme = spec.text(&value),
            "username" => {}
            other => spec.lost_key(&key, &format!("inject[].{other}")),
        }
    }
    if scheme.as_deref() == Some("basic") {
        spec.lost(node, "a key inside of basic credentials cannot be injected yet", "the place is left out");
        return None;
    }
    let Some(host) = host else {
        spec.wrong(node, Code::MissingKey, "an `inject` needs `domain`", "name the host that takes the key");
        return None;
    };
    let bearer = scheme.as_deref() == Some("bearer");
    let header = header.unwrap_or_else(|| "authorization".to_owned()).to_ascii_lowercase();
    // The key's place is `%s` there and `{}` here; without a format it is all of the value.
    let format = match format {
        Some(format) if format.matches("%s").count() == 1 && !format.contains("{}") => {
            Some(format.replace("%s", "{}"))
        }
        Some(format) => {
            spec.lost(
                node,
                format!("the format {} has not one `%s`", quoted(&format)),
                "the place is left out",
            );
            return None;
        }
        None if bearer => Some("Bearer {}".to_owned()),
        None => None,
    };
    let mut place = Map::from_iter([("host".to_owned(), json!(host)), ("header".to_owned(), json!(header))]);
    place.extend(format.filter(|format| format != "{}").map(|format| ("format".to_owned(), json!(format))));
    Some(place.into())
}
