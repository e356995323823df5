//! Bundles: curated sets of hosts that come with the program, in `kits/bundles.yaml`.

use std::{collections::BTreeMap, sync::LazyLock};

use super::super::{
    parse,
    tree::{Kind, Node},
};
use crate::model::{
    pattern,
    rule::{HostPattern, Ports},
};

const TEXT: &str = include_str!("../../../kits/bundles.yaml");

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// What its hosts have in common.
    pub(super) why: String,
    pub(super) hosts: Vec<(HostPattern, Option<Ports>)>,
}

/// All of them, by name.
pub(super) fn bundles() -> &'static BTreeMap<String, Bundle> {
    static BUNDLES: LazyLock<BTreeMap<String, Bundle>> =
        LazyLock::new(|| read(TEXT).expect("a test reads the file that is built in"));
    &BUNDLES
}

fn read(text: &str) -> Result<BTreeMap<String, Bundle>, String> {
    let (nodes, findings) = parse::documents("bundles", text.as_bytes());
    if let [first, ..] = findings.into_parts().0.as_slice() {
        return Err(first.to_line());
    }
    let [Node { kind: Kind::Map(entries), .. }] = nodes.as_slice() else {
        return Err("the bundles are one mapping".to_owned());
    };
    entries.iter().map(|(name, node)| Ok((name.text.clone(), bundle(&name.text, node)?))).collect()
}

fn bundle(name: &str, node: &Node) -> Result<Bundle, String> {
    let why = node.get("why").and_then(Node::text).ok_or_else(|| format!("{name} lacks `why`"))?;
    let Some(Node { kind: Kind::List(items), .. }) = node.get("hosts") else {
        return Err(format!("{name} lacks `hosts`"));
    };
    let host = |item: &Node| {
        let text = item.text().ok_or_else(|| format!("{name}: a host is text"))?;
        pattern::parse(text).map_err(|error| format!("{name}: {text}: {error}"))
    };
    Ok(Bundle { why: why.to_owned(), hosts: items.iter().map(host).collect::<Result<_, _>>()? })
}

#[test]
fn the_built_in_bundles_are_sorted_and_say_why() {
    let bundles = read(TEXT).unwrap();
    assert_eq!(bundles.keys().collect::<Vec<_>>(), ["file-drops", "paste-sites", "request-catchers"]);
    for (name, bundle) in &bundles {
        assert!(!bundle.why.is_empty() && bundle.hosts.len() > 9, "{name}");
        for (host, ports) in &bundle.hosts {
            assert!(
                !matches!(host, HostPattern::Any | HostPattern::Net(_)) && ports.is_none(),
                "{name}: {host}"
            );
            assert_eq!(
                bundle.hosts.iter().filter(|(other, _)| other == host).count(),
                1,
                "{name}: {host} twice"
            );
        }
    }
    assert!(read("a: {hosts: [b.example]}").is_err() && read("a: {why: b, hosts: ['*']}").is_err());
}
