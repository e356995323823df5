//! The host's own package sources, reduced to those that a base of the same release is built from.
//!
//! Third-party sources stay out (a base holds the distribution and nothing else), and so do credentials: a
//! mirror's `user:password@` is used on the host and never written into an image.

use std::{fs, path::Path};

use super::host::{Distribution, Host, read_bounded};

/// Suites of a release that a base takes packages from.
const POCKETS: [&str; 3] = ["", "-updates", "-security"];
/// Components whose packages a base holds, in Debian's and in Ubuntu's words.
const COMPONENTS: [&str; 2] = ["main", "universe"];
/// Keyrings that the distribution's own packages bring, so that they exist inside too.
const PACKAGED_KEYRINGS: &str = "/usr/share/keyrings/";
const FILE_LIMIT: u64 = 256 * 1024;

/// One suite of one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// Package sources in apt's one-line form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// For tools on the host. May hold a mirror's credentials: goes to no log and no image.
    pub for_host: String,
    /// For the image.
    pub for_image: String,
}

/// The host's sources of its own release; `None` where it has none.
#[must_use]
pub fn of_release(host: &Host, distribution: &Distribution) -> Option<Sources> {
    let mut found: Vec<Source> = Vec::new();
    for (text, deb822) in files(host) {
        let parsed = if deb822 { parse_deb822(&text) } else { parse_lines(&text) };
        for source in parsed.into_iter().filter_map(|source| narrow(source, &distribution.codename)) {
            if !found.contains(&source) {
                found.push(source);
            }
        }
    }
    let render = |line: fn(&Source) -> String| found.iter().map(line).collect::<String>();
    (!found.is_empty()).then(|| Sources { for_host: render(host_line), for_image: render(image_line) })
}

fn files(host: &Host) -> Vec<(String, bool)> {
    let text = |path: &Path| {
        let bytes = read_bounded(path, FILE_LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let mut found: Vec<_> =
        text(&host.path("/etc/apt/sources.list")).map(|text| (text, false)).into_iter().collect();
    let parts = fs::read_dir(host.path("/etc/apt/sources.list.d")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(|entry| entry.path()).collect();
    parts.sort();
    for path in parts {
        let deb822 = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => false,
            Some("sources") => true,
            _ => continue,
        };
        found.extend(text(&path).map(|text| (text, deb822)));
    }
    found
}

/// The part of a source that a base needs.
fn narrow(mut source: Source, codename: &str) -> Option<Source> {
    let pocket = source.suite.strip_prefix(codename).filter(|_| !codename.is_empty())?;
    source.components.retain(|component| COMPONENTS.contains(&component.as_str()));
    // Every release has `main`: a source of this suite without it is somebody else's.
    let usable = POCKETS.contains(&pocket)
        && source.components.iter().any(|component| component == "main")
        && !source.uri.starts_with("cdrom:")
        && [&source.uri, &source.suite]
            .iter()
            .all(|word| !word.contains(|c: char| c.is_whitespace() || c.is_control()));
    usable.then_some(source)
}

fn parse_lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

/// `deb [signed-by=… arch=…] URI SUITE COMPONENT…`
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uri, suite, components: words.collect(), signed_by: key_file(signed_by) })
}

/// Paragraphs of `Key: value` with continuation lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            found.extend(paragraph(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

fn paragraph(fields: &[(String, String)]) -> Vec<Source> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let words = |name: &str| {
        field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let enabled = !field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if !enabled || !words("types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let (suites, components) = (words("suites"), words("components"));
    let signed_by = key_file(field("signed-by"));
    let of_uri = |uri: &String| {
        let one = |suite: &String| Source {
            uri: uri.clone(),
            suite: suite.clone(),
            components: components.clone(),
            signed_by: signed_by.clone(),
        };
        suites.iter().map(one).collect::<Vec<_>>()
    };
    words("uris").iter().flat_map(of_uri).collect()
}

/// A keyring by path. A key written into the sources themselves is left out: the release's own keys, which the
/// host trusts anyway, then decide.
fn key_file(value: Option<&str>) -> Option<String> {
    value.filter(|path| path.starts_with('/') && !path.contains(char::is_whitespace)).map(str::to_owned)
}

fn host_line(source: &Source) -> String {
    line(source, &source.uri, source.signed_by.as_deref())
}

fn image_line(source: &Source) -> String {
    let packaged = source.signed_by.as_deref().filter(|path| path.starts_with(PACKAGED_KEYRINGS));
    line(source, &without_credentials(&source.uri), packaged)
}

fn line(source: &Source, uri: &str, signed_by: Option<&str>) -> String {
    let option = signed_by.map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
    format!("deb {option}{uri} {} {}\n", source.suite, source.components.join(" "))
}

/// `http://user:password@mirror.test/debian` → `http://mirror.test/debian`.
fn without_credentials(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::fake::FakeHost;

    fn bookworm() -> Distribution {
        Distribution { id: "debian".into(), codename: "bookworm".into(), ..Distribution::default() }
    }

    #[test]
    fn deb822_and_one_line_sources_are_read_and_narrowed() {
        let fake = FakeHost::new();
        fake.file(
            "/etc/apt/sources.list",
            "# deb http://off.test/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.test/debian bookworm main contrib # x\n\
             deb-src http://one.test/debian bookworm main\n\
             deb cdrom:[Debian]/ bookworm main\n",
        );
        fake.file(
            "/etc/apt/sources.list.d/debian.sources",
            "Types: deb deb-src\nURIs: http://two.test/debian\nSuites: bookworm bookworm-updates\n bookworm-backports\n\
             Components: main non-free\nSigned-By: /etc/apt/keyrings/corp.gpg\n\n\
             Types: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n",
        );
        fake.file(
            "/etc/apt/sources.list.d/engine.list",
            "deb http://third.test/linux/debian bookworm stable\n",
        );
        fake.file("/etc/apt/sources.list.d/sdk.list", "deb http://third.test/apt sdk-bookworm main\n");
        fake.file("/etc/apt/sources.list.d/old.list.save", "deb http://off.test/debian bookworm main\n");
        let sources = of_release(&fake.host, &bookworm()).unwrap();
        assert_eq!(
            sources.for_host,
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.test/debian bookworm main\n\
             deb [signed-by=/etc/apt/keyrings/corp.gpg] http://two.test/debian bookworm main\n\
             deb [signed-by=/etc/apt/keyrings/corp.gpg] http://two.test/debian bookworm-updates main\n"
        );
        assert_eq!(
            sources.for_image.lines().nth(1),
            Some("deb http://two.test/debian bookworm main"),
            "a keyring that only the host has cannot be named inside"
        );
    }

    #[test]
    fn a_mirrors_credentials_stay_out_of_the_image() {
        let fake = FakeHost::new();
        fake.file("/etc/apt/sources.list", "deb https://ada:s3cret@mirror.test:8443/debian bookworm main\n");
        let sources = of_release(&fake.host, &bookworm()).unwrap();
        assert!(sources.for_host.contains("ada:s3cret@"));
        assert_eq!(sources.for_image, "deb https://mirror.test:8443/debian bookworm main\n");
        for odd in ["http://a@b@c.test", "http://u:p/w@x.test/", "file:/srv/mirror"] {
            assert!(!without_credentials(odd).starts_with("http://a@"), "{odd}");
        }
    }

    #[test]
    fn a_host_without_sources_of_its_release_has_none() {
        let fake = FakeHost::new();
        assert_eq!(of_release(&fake.host, &bookworm()), None);
        fake.file("/etc/apt/sources.list", "deb http://mirror.test/debian trixie main\n");
        assert_eq!(of_release(&fake.host, &bookworm()), None);
        assert_eq!(of_release(&fake.host, &Distribution::default()), None);
    }
}
