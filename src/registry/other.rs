//! Clients that say it themselves and have little to be read: go and gem.

use super::{Here, Said, ask::ask, lines::lines, shown, text};

/// Go: `GOPROXY` of the environment or of the user's `go env -w`, and the check sums' database.
pub(super) fn go(here: &Here<'_>) -> Said {
    let path = here.home.join(".config/go/env");
    let written = text(&path).map(|text| lines(&text)).unwrap_or_default();
    let written = |name: &str| {
        let line = written.iter().find(|line| line.key == name);
        (here.env)(name)
            .map(|value| (value, format!("${name}")))
            .or_else(|| line.map(|line| (line.value.clone(), shown(&path, here))))
    };
    let configured: Vec<(String, String)> = written("GOPROXY")
        .into_iter()
        .flat_map(|(value, source)| proxies(&value).into_iter().map(move |url| (url, source.clone())))
        .collect();
    let by_default = if configured.is_empty() {
        let answer = ask(here, "go", &["env", "GOPROXY", "GOSUMDB"], &[("GOENV", "off")]).unwrap_or_default();
        let (proxy, sums) = answer.split_once('\n').unwrap_or((&answer, ""));
        let sums = sums.split_whitespace().next().filter(|name| name.contains('.'));
        proxies(proxy).into_iter().chain(sums.map(|name| format!("https://{name}/"))).collect()
    } else {
        Vec::new()
    };
    Said { configured, by_default, client: "go", set_with: "`go env -w GOPROXY=URL`" }
}

fn proxies(list: &str) -> Vec<String> {
    list.trim().split([',', '|']).filter(|entry| entry.contains("://")).map(str::to_owned).collect()
}

/// RubyGems: the sources that `gem` has without the user's own file.
pub(super) fn gem(here: &Here<'_>) -> Said {
    let path = here.home.join(".gemrc");
    let item =
        |line: &str| line.trim().strip_prefix("- ").map(str::to_owned).filter(|item| item.contains("://"));
    let own: Vec<_> =
        text(&path).iter().flat_map(|text| text.lines().filter_map(item).collect::<Vec<_>>()).collect();
    let configured: Vec<_> = own.into_iter().map(|url| (url, shown(&path, here))).collect();
    let by_default = if configured.is_empty() {
        let answer = ask(here, "gem", &["--norc", "sources", "--list"], &[]).unwrap_or_default();
        answer.lines().filter(|line| line.starts_with("http")).map(str::to_owned).collect()
    } else {
        Vec::new()
    };
    Said { configured, by_default, client: "gem", set_with: "`gem sources --add URL`" }
}
