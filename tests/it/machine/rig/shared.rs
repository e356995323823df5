//! The sandbox that most stories share: a workspace to write, a folder to read, a key, rules, and servers behind them.

use std::{fs, sync::OnceLock};

use super::{
    home::{Home, Output},
    upstream::{Authority, Certificate, Upstream},
};

/// The real key. Only `api.test` may ever see it.
pub const KEY: &str = "canary-4be1-the-real-key";

/// The sandbox `dev`, running, and its world.
pub struct Shared {
    /// Whose it is.
    pub home: Home,
    /// `api.test:443`, to which the key is bound, and `api.test:80`.
    pub api: Upstream,
    /// The same name without TLS.
    pub api_plain: Upstream,
    /// `other.test:443`: allowed, without a key. Also what rules open and close in the stories.
    pub other: Upstream,
    /// `plain.test:80`.
    pub plain: Upstream,
    /// `db.test:5432`.
    pub database: Upstream,
    /// What no rule allows leads here: nothing may ever arrive.
    pub evil: Upstream,
    /// The same, over TLS.
    pub evil_tls: Upstream,
    /// Servers with bad certificates.
    pub flawed: Vec<(&'static str, Upstream)>,
}

/// Names of the server `other`. The stories about rules take one each.
pub const OTHER: [&str; 7] = [
    "other.test",
    "live.test",
    "narrow.wild.test",
    "wide.wild.test",
    "held.test",
    "counted.test",
    "repository.test",
];

/// What leads to the evil servers, should a check fail.
pub const CLOSED_TLS: [&str; 3] = ["closed.test:443", "closed.wild.test:443", "metadata.google.internal:443"];
/// The same, without TLS.
pub const CLOSED: [&str; 6] = [
    "closed.test:80",
    "closed.test:5432",
    "metadata.google.internal:80",
    "api.test:22",
    "api.test:8080",
    "api.test:65535",
];

/// The explicit proxy, as an option of `curl`.
pub const PROXY: &str = "-x http://gateway.cofferdam.internal:3128";

const FLAWED: [(&str, Certificate); 3] = [
    ("selfsigned.test", Certificate::SelfSigned),
    ("expired.test", Certificate::Expired),
    ("wrongname.test", Certificate::WrongName),
];

const SPEC: &str = r#"
  workspace: {mode: direct}
  mounts: [{source: ../data, target: /data, access: read, why: data to read}]
  network:
    rules:
      - {allow: "api.test:443", why: the key's host}
      - {allow: ["api.test:80", "plain.test:80"], why: without TLS}
      - {allow: ["other.test:443", "held.test:443", "counted.test:443"], why: another host}
      - {allow: ["selfsigned.test:443", "expired.test:443", "wrongname.test:443"], why: bad certificates}
      - {allow: "db.test:5432", protocol: tcp, why: a database}
      - {allow: "*.wild.test:443", why: many hosts}
      - {deny: "closed.wild.test", why: but not this one}
  secrets:
    - name: tickets
      env: TICKETS_TOKEN
      why: tickets
      inject:
        - {host: api.test, header: authorization, format: "Bearer {}"}
        - {host: selfsigned.test, header: authorization, format: "Bearer {}"}
        - {host: expired.test, header: authorization, format: "Bearer {}"}
        - {host: wrongname.test, header: authorization, format: "Bearer {}"}
"#;

/// Boots it at the first call.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let shared = Shared::world();
        let started = shared.home.run(&["apply", "--yes", "--wait"]);
        if started.code == 0 { Ok(shared) } else { Err(format!("{started:#?}")) }
    });
    shared.as_ref().unwrap_or_else(|why| panic!("the shared sandbox does not start: {why}"))
}

impl Shared {
    fn world() -> Self {
        let authority = Authority::new();
        let mut home = Home::new("shared");
        home.export("TICKETS_KEY", KEY);
        let shared = Self {
            api: Upstream::https(&authority, &["api.test"], Certificate::Good),
            api_plain: Upstream::http(),
            other: Upstream::https(&authority, &OTHER, Certificate::Good),
            plain: Upstream::http(),
            database: Upstream::echo(),
            evil: Upstream::http(),
            evil_tls: Upstream::https(&authority, &["closed.test", "closed.wild.test"], Certificate::Good),
            flawed: FLAWED
                .into_iter()
                .map(|(name, flaw)| (name, Upstream::https(&authority, &[name], flaw)))
                .collect(),
            home,
        };
        let home = &shared.home;
        fs::write(home.path("config/authority.pem"), authority.pem()).expect("our own folder");
        home.configure(&shared.configuration());
        fs::create_dir_all(home.path("data")).expect("our own folder");
        fs::write(home.path("data/set.txt"), "forty-two\n").expect("our own folder");
        home.define("ws", "dev", SPEC);
        shared
    }

    fn configuration(&self) -> String {
        let mut lines = String::from("egress:\n  upstreamCa: [./authority.pem]\n  resolve:\n");
        let mut resolve = |place: &str, server: &Upstream| {
            lines.push_str(&format!("    \"{place}\": \"{}\"\n", server.address));
        };
        resolve("api.test:443", &self.api);
        resolve("api.test:80", &self.api_plain);
        resolve("plain.test:80", &self.plain);
        resolve("db.test:5432", &self.database);
        OTHER.iter().for_each(|name| resolve(&format!("{name}:443"), &self.other));
        CLOSED_TLS.iter().for_each(|place| resolve(place, &self.evil_tls));
        CLOSED.iter().for_each(|place| resolve(place, &self.evil));
        self.flawed.iter().for_each(|(name, server)| resolve(&format!("{name}:443"), server));
        lines + "secrets:\n  sources: {tickets: {env: TICKETS_KEY}}\n"
    }

    /// Runs a script in it, as the agent.
    pub fn guest(&self, script: &str) -> Output {
        self.home.guest("dev", script)
    }

    /// `curl` in it; gives the status that it saw and the body, or its own exit code (`curl 56`).
    pub fn curl(&self, arguments: &str) -> String {
        let script = format!("curl -sS -m 20 -w '\\n%{{http_code}}' {arguments}");
        let output = self.guest(&script);
        match output.stdout.trim_end().rsplit_once('\n') {
            Some((body, status)) if output.code == 0 => format!("{status} {body}"),
            _ if output.code == 0 => output.stdout.trim().to_owned(),
            _ => format!("curl {} {}", output.code, output.stderr.trim()),
        }
    }

    /// One `curl` for many URLs, directly or by the explicit proxy; gives each with the status that it got, 0 for none.
    pub fn statuses(&self, by_proxy: bool, urls: &[String]) -> Vec<(String, u16)> {
        let proxy = if by_proxy { PROXY } else { "" };
        let script = format!(
            r"curl -gsS -m 5 {proxy} -w '\n@ %{{url}} %{{http_code}}\n' {} 2>/dev/null",
            urls.join(" ")
        );
        let output = self.guest(&script).stdout;
        let line = |line: &str| {
            let (url, status) = line.strip_prefix("@ ")?.rsplit_once(' ')?;
            Some((url.to_owned(), status.parse().ok()?))
        };
        let answers: Vec<_> = output.lines().filter_map(line).collect();
        assert_eq!(answers.len(), urls.len(), "{output}");
        answers
    }

    /// Holds that nothing has arrived where nothing may.
    #[track_caller]
    pub fn nothing_leaked(&self) {
        assert_eq!((self.evil.connections(), self.evil_tls.connections()), (0, 0));
    }

    /// The last event about a resource that contains `part`.
    #[track_caller]
    pub fn last_event(&self, part: &str) -> serde_json::Value {
        let events = self.home.events(Some("dev"));
        let found = events
            .into_iter()
            .rev()
            .find(|event| event["resource"].as_str().is_some_and(|it| it.contains(part)));
        found.unwrap_or_else(|| panic!("no event about {part}"))
    }
}
