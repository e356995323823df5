//! What is wider than what: examples by hand, and the laws of a partial order over a universe of grants that holds every
//! sort of them in every combination of its parts.

use super::*;

#[test]
fn wider_covers_narrower() {
    for (wide, narrow) in [
        ("net * api.example:443", "net GET api.example:443 /v1/**"),
        ("net * api.example:443", "ask * api.example:443"),
        ("net * *.api.example:443", "net * a.api.example:443"),
        ("net * **.example:443", "net * *.b.example:443"),
        ("net * api.example:20-65535", "net tcp api.example:22"),
        ("net tcp api.example:20-30", "net tcp api.example:22"),
        ("net tcp api.example:22 private", "net tcp api.example:22"),
        ("net tcp 10.0.0.0/8:22 private", "net tcp 10.1.2.3:22 private"),
        ("net GET x.example:443 /a/**", "net GET x.example:443 /a/*/c/**"),
        ("net GET x.example:443 /a*/b", "net GET x.example:443 /a*c/b"),
        ("net GET,HEAD registry:*", "net GET registry:npm (npm.example:443)"),
        ("net GET,HEAD registry:*", "net GET registry:npm (unpinned)"),
        ("net GET,HEAD registry:npm", "net GET registry:npm (npm.example:443) /x"),
        ("net GET npm.example:443", "net GET registry:npm (npm.example:443)"),
        ("net * **.example:443 except a.example", "net * **.example:443 except a.example except b.example"),
        ("net * **.example:443 except a.example", "net * **.b.example:443"),
        ("net * **.example:443 except POST a.example", "net GET **.example:443"),
        ("net preset open", "net preset balanced"),
        ("net preset open", "net * x.example:443"),
        ("net preset open", "net * x.example:443 during setup"),
        ("net * x.example:443", "net * x.example:443 during setup"),
        ("net GET,HEAD registry:*", "net GET registry:apt (apt.example:443) during setup"),
        ("net * x.example:443 during setup", "net GET x.example:443 /v1 during setup"),
        ("net preset open except a.example", "net preset balanced except **.a.example"),
        ("mount ~/a write", "mount ~/a/b read"),
        ("workspace ~/a direct", "workspace ~/a read"),
        ("port 3000 → 8080", "port 3000"),
        ("host-service model 11434 *", "host-service model 11434 GET /v1/**"),
    ] {
        let (wide, narrow) = (grant(wide), grant(narrow));
        assert!(wide.covers(&narrow), "{wide} | {narrow}");
        assert!(!narrow.covers(&wide), "{narrow} | {wide}");
    }
}

#[test]
fn what_widens_is_not_covered() {
    for (own, wanted) in [
        ("net GET api.example:443", "net POST api.example:443"),
        ("net * api.example:443", "net https * api.example:8443"),
        ("net * *.example:443", "net * example:443"),
        ("net * **.example:443", "net * badexample.test:443"),
        ("net * api.example:443", "net tls api.example:443"),
        ("net tcp db.example:22", "net tcp db.example:22 private"),
        ("ask * api.example:443", "net * api.example:443"),
        ("net GET registry:npm (npm.example:443)", "net GET registry:npm (evil.example:443)"),
        ("net GET registry:npm (npm.example:443)", "net GET npm.example:443"),
        ("net GET registry:npm (unpinned)", "net GET registry:npm (npm.example:443)"),
        ("net GET registry:npm (unpinned)", "net GET registry:npm"),
        ("net GET registry:npm (unpinned)", "net GET registry:pypi (unpinned)"),
        ("net GET registry:npm (npm.example:443)", "net GET registry:npm (unpinned)"),
        ("net * **.example:443", "net GET registry:npm (unpinned)"),
        ("net * a.example:443 except registry:npm (unpinned)", "net * a.example:443"),
        ("net GET registry:npm", "net PUT registry:npm+publish (npm.example:443)"),
        ("net GET x.example:443 /a/*", "net GET x.example:443 /a/**"),
        ("net GET x.example:443 /a/**", "net GET x.example:443 /ab"),
        ("net * **.example:443 except a.example", "net * **.example:443"),
        ("net * x.example:443 during setup", "net * x.example:443"),
        ("net * x.example:443 during setup", "ask * x.example:443"),
        ("net tcp x.example:22 during setup", "net tcp x.example:22 private during setup"),
        ("net * **.example:443 except a.example", "net * a.example:443"),
        ("net preset open except a.example", "net preset open"),
        ("net preset balanced", "net preset open"),
        ("net preset open", "net https * x.example:8443"),
        ("net preset open", "net tcp x.example:22"),
        ("secret a → b.example", "secret a → b.example x-key"),
        ("secret a → b.example", "secret a → c.example"),
        ("mount ~/a read", "mount ~/a write"),
        ("mount ~/a read", "mount ~/ab read"),
        ("mount ./a read", "mount ~/a read"),
        ("port 3000", "port 3000 → 8080"),
        ("workspace . direct", "workspace ~/x direct"),
    ] {
        let (own, wanted) = (grant(own), grant(wanted));
        assert!(!own.covers(&wanted), "{own} | {wanted}");
    }
}

#[test]
fn methods_are_judged_one_by_one() {
    let own = set(&["net GET x.example:443", "net POST **.example:443 /a/**"]);
    assert!(own.covers(&grant("net GET,POST x.example:443 /a/b")));
    let missing = own.missing(&set(&["net GET,POST,PUT x.example:443 /a/b"]));
    assert_eq!(missing.to_string(), "net PUT x.example:443 /a/b\n");
    assert_eq!(
        set(&["net GET x.example:443", "net HEAD x.example:443", "net GET x.example:443 /a"]).to_string(),
        "net GET,HEAD x.example:443\n"
    );
}

/// Whether the first covers the second.
type Relation = fn(&Grant, &Grant) -> bool;

/// Every text that these parts make, one of each, and is a grant.
fn combined(parts: &[&[&str]]) -> Vec<Grant> {
    let mut texts = vec![String::new()];
    for choices in parts {
        texts = texts
            .iter()
            .flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}")))
            .collect();
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Grants of every sort. Parts that make no sense together are no grant, and left out.
fn universe() -> Vec<Grant> {
    let hosts = &["a.example", "*.a.example", "**.a.example", "**.example", "b.a.example"];
    let exceptions = &["", " except a.example", " except **.a.example", " except POST a.example"];
    let paths = &["", " /a/**", " /a/b"];
    let mut all = combined(&[&["net ", "ask "], &["* ", "GET "], hosts, &[":443"], paths, exceptions]);
    all.extend(combined(&[&["net "], &["GET,HEAD "], hosts, &[":443"], &["", " /a/*"], &["", " private"]]));
    all.extend(combined(&[
        &["net "],
        &["tcp ", "tls ", "any * "],
        hosts,
        &[":443", ":22", ":20-500"],
        &["", " private"],
    ]));
    all.extend(combined(&[
        &["net tcp "],
        &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"],
        &[":22", ":1-65535"],
        &["", " private"],
    ]));
    let sets = &[
        "registry:*",
        "registry:npm",
        "registry:npm (a.example:443)",
        "registry:npm+publish",
        "registry:npm (unpinned)",
        "bundle:x",
        "bundle:x (a.example:443)",
    ];
    all.extend(combined(&[&["net ", "ask "], &["* ", "GET ", "GET,HEAD "], sets, &["", " /a/**"]]));
    all.extend(combined(&[
        &["net preset "],
        &["balanced", "open"],
        &["", " except a.example", " except **.a.example"],
    ]));
    let places = &[".", "./a", "./a/b", "./c", "~", "~/a", "/srv", "/srv/a"];
    all.extend(combined(&[&["mount "], places, &[" read", " write"]]));
    all.extend(combined(&[&["workspace "], places, &[" read", " direct"]]));
    all.extend(combined(&[&["port "], &["80", "81"], &["", " → 80", " → 81"]]));
    all.extend(combined(&[
        &["secret "],
        &["a", "b"],
        &[" → a.example", " → a.example:8443"],
        &["", " x-key"],
    ]));
    all.extend(combined(&[
        &["host-service "],
        &["m 1", "m 2", "n 1"],
        &[" *", " GET", " GET,POST"],
        &["", " /a/**", " /a/b"],
    ]));
    all.push(Grant::EmulationOk);
    all
}

/// Which of the universe each one covers.
fn covered(all: &[Grant], covers: Relation) -> Vec<Vec<usize>> {
    let below = |one: &Grant| (0..all.len()).filter(|other| covers(one, &all[*other])).collect();
    all.iter().map(below).collect()
}

/// What keeps a relation from being a partial order.
fn flaws(all: &[Grant], covers: Relation) -> Vec<String> {
    let below = covered(all, covers);
    let has = |one: usize, other: usize| below[one].binary_search(&other).is_ok();
    let mut flaws = Vec::new();
    for (one, text) in all.iter().enumerate() {
        if !has(one, one) {
            flaws.push(format!("reflexive: {text}"));
        }
        for two in below[one].iter().copied().filter(|two| *two != one) {
            if has(two, one) && all[one] != all[two] {
                flaws.push(format!("antisymmetric: {text} | {}", all[two]));
            }
            let lost = below[two].iter().find(|three| !has(one, **three));
            flaws.extend(lost.map(|three| format!("transitive: {text} | {} | {}", all[two], all[*three])));
        }
    }
    flaws
}

/// The sort of a grant.
fn sort(grant: &Grant) -> &'static str {
    match grant {
        Grant::Net(_) => "net",
        Grant::Ask(_) => "ask",
        Grant::Preset { .. } => "preset",
        Grant::Secret { .. } => "secret",
        Grant::Mount { .. } => "mount",
        Grant::Workspace { .. } => "workspace",
        Grant::Port { .. } => "port",
        Grant::HostService { .. } => "host-service",
        Grant::EmulationOk => "isolation",
    }
}

#[test]
fn covering_is_a_partial_order() {
    let all = universe();
    let found = flaws(&all, Grant::covers);
    assert!(
        found.is_empty(),
        "{} flaws, the first:\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );
}

/// A universe of grants that have nothing to do with each other would prove nothing.
#[test]
fn the_universe_holds_every_sort_and_much_that_covers_much() {
    let all = universe();
    let below = covered(&all, Grant::covers);
    for (one, least) in [
        ("net", 500),
        ("ask", 200),
        ("preset", 10),
        ("secret", 0),
        ("mount", 10),
        ("workspace", 10),
        ("port", 4),
        ("host-service", 20),
        ("isolation", 0),
    ] {
        let of_sort = all.iter().zip(&below).filter(|(grant, _)| sort(grant) == one);
        let (count, pairs) =
            of_sort.fold((0, 0), |(count, pairs), (_, below)| (count + 1, pairs + below.len() - 1));
        assert!(count > 0 && pairs >= least, "{one}: {count} grants cover {pairs} others");
    }
}

/// The breaks: orders that somebody might write, each with the law that it breaks.
#[test]
fn what_is_no_partial_order_is_found_out() {
    let strict: Relation = |one, two| one.covers(two) && one != two;
    let ask_is_enough: Relation = |one, two| match (one, two) {
        (Grant::Ask(own), Grant::Net(other)) => own == other || one.covers(two),
        _ => one.covers(two),
    };
    let touching: Relation = |one, two| match (one, two) {
        (Grant::Mount { source: own, .. }, Grant::Mount { source: other, .. }) => {
            own.covers(other) || other.covers(own)
        }
        _ => one.covers(two),
    };
    let forgets_exceptions: Relation = |one, two| match (one, two) {
        (Grant::Net(own), Grant::Net(other)) => own.reach.covers(&other.reach),
        _ => one.covers(two),
    };
    for (law, broken) in [
        ("reflexive", strict),
        ("antisymmetric", ask_is_enough),
        ("transitive", touching),
        ("antisymmetric", forgets_exceptions),
    ] {
        assert!(flaws(&universe(), broken).iter().any(|flaw| flaw.starts_with(law)), "{law}");
    }
}
