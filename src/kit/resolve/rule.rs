//! One network rule: its patterns and named sets, each read into a rule of the model.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Here, network::requests, text};
use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        near::similar,
        problem::{Code, Problem, Span, Wanted, quoted},
        sets::{Expansion, Member, Trouble},
        spanned::{OneOrMany, Spanned},
        wire::network as wire,
    },
    model::{
        end::End,
        pattern,
        registry::is_unpinned,
        rule::{Addresses, During, Effect, HostPattern, NetworkRule, Ports, Protocol},
    },
};

/// Names below which the host answers itself.
const RESERVED: [&str; 2] = ["gateway.cofferdam.internal", "host.internal"];

/// One rule while its patterns are read.
pub(super) struct Reading<'a> {
    pub(super) rule: &'a Spanned<wire::Rule>,
    pub(super) id: String,
    pub(super) until: Option<End>,
    pub(super) here: &'a Here<'a>,
    pub(super) findings: &'a mut Findings,
}

impl Reading<'_> {
    pub(super) fn patterns(&mut self, rules: &mut Vec<Placed<NetworkRule>>) {
        let rule = self.rule;
        for (word, effect, patterns) in [
            ("allow", Effect::Allow, &rule.allow),
            ("deny", Effect::Deny, &rule.deny),
            ("ask", Effect::Ask, &rule.ask),
        ] {
            let Some(OneOrMany(patterns)) = patterns else { continue };
            for (index, written) in patterns.iter().enumerate() {
                let id = match patterns.len() {
                    1 => self.id.clone(),
                    _ => format!("{}.{word}[{index}]", self.id),
                };
                let at = self.here.at(written.span, self.findings);
                let read = match pattern::named_set(written) {
                    Some((kind, name)) => self.set(written, kind, name, effect, &id),
                    None => self.pattern(written, effect, id).into_iter().collect(),
                };
                rules.extend(read.into_iter().map(|value| Placed { value, at: at.clone() }));
            }
        }
    }

    fn pattern(&mut self, written: &Spanned<String>, effect: Effect, id: String) -> Option<NetworkRule> {
        let (host, ports) = match pattern::parse(written) {
            Ok(read) => read,
            Err(error) => {
                let span = text::inside(self.findings, written, error.at);
                let message = format!("{} is not a pattern", quoted(written));
                let help = misspelt_set(written).unwrap_or(error.message);
                self.findings.push(self.findings.at(Code::Pattern, span, message).label("here").help(help));
                return None;
            }
        };
        let member = Member { host, ports, protocol: None, http: requests(&self.rule.http) };
        self.rule(written.span, effect, id, member, None)
    }

    /// The rules of a named set, one per host of it.
    fn set(
        &mut self,
        written: &Spanned<String>,
        kind: &str,
        name: &str,
        effect: Effect,
        id: &str,
    ) -> Vec<NetworkRule> {
        let Expansion { members, set, complete, warning } = match self.here.sets.expand(kind, name, effect) {
            Ok(expansion) => expansion,
            Err(trouble) => {
                let problem = self.trouble(written.span, trouble);
                self.findings.push(problem);
                return Vec::new();
            }
        };
        if let Some(warning) = warning {
            let problem = self.trouble(written.span, warning).as_warning();
            self.findings.push(problem);
        }
        let spoken = members.iter().any(|member| member.protocol.is_some());
        let refused = match (complete, spoken) {
            (true, _) if self.rule.protocol.is_some() || !self.rule.http.is_empty() => {
                Some(("and which requests pass", "`protocol:` and `http:`"))
            }
            (false, true) if self.rule.protocol.is_some() => Some(("", "`protocol:`")),
            _ => None,
        };
        if let Some((more, keys)) = refused {
            let message = format!("{} says itself what is spoken {more}", quoted(written));
            let message = message.trim_end();
            let help = format!("remove {keys} from this rule, or write the host itself");
            self.findings.push(self.findings.at(Code::Protocol, written.span, message).help(help));
            return Vec::new();
        }
        let several = members.len() > 1;
        let rules = members.into_iter().enumerate().filter_map(|(index, member)| {
            let http = if complete { member.http } else { requests(&self.rule.http) };
            let id = if several { format!("{id}.set[{index}]") } else { id.to_owned() };
            self.rule(written.span, effect, id, Member { http, ..member }, set.clone())
        });
        rules.collect()
    }

    fn trouble(&self, span: Span, trouble: Trouble) -> Problem {
        let problem = self.findings.at(trouble.code, span, trouble.message).help(trouble.help);
        Problem { wants: trouble.wants.map(Wanted::Registry), ..problem }
    }

    /// The rule about one host, checked.
    fn rule(
        &mut self,
        span: Span,
        effect: Effect,
        id: String,
        member: Member,
        set: Option<String>,
    ) -> Option<NetworkRule> {
        let Member { host, ports, protocol, http } = member;
        let ports = ports.unwrap_or(if effect == Effect::Deny { Ports::ALL } else { Ports::one(443) });
        if effect != Effect::Deny {
            self.check_reach(span, effect, &host)?;
        }
        let protocol = match protocol {
            Some(protocol) => Some(protocol),
            None => self.protocol(span, effect, ports)?,
        };
        self.check_protocol(span, &host, effect, protocol)?;
        Some(NetworkRule {
            until: self.until,
            id,
            effect,
            host,
            ports,
            protocol,
            http,
            addresses: match self.rule.addresses.as_deref() {
                Some(wire::Addresses::Private) => Addresses::Private,
                Some(wire::Addresses::Public) | None => Addresses::Public,
            },
            during: match self.rule.during.as_deref() {
                Some(wire::During::Setup) => During::Setup,
                None => During::Always,
            },
            set,
            why: self.rule.why.as_ref().map(|why| why.0.clone()).unwrap_or_default(),
            origin: self.here.origin(span),
        })
    }

    fn refuse<T>(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.findings.push(self.findings.at(code, span, message).help(help));
        None
    }

    /// What no allow and no ask may name, and what they could name in vain.
    fn check_reach(&mut self, span: Span, effect: Effect, host: &HostPattern) -> Option<()> {
        let private = self.rule.addresses.as_deref() == Some(&wire::Addresses::Private);
        match host {
            // To be asked about every name is a way of working.
            HostPattern::Any if effect == Effect::Ask => Some(()),
            HostPattern::Any => {
                let message = "an allow of every name is no rule";
                self.refuse(
                    Code::Pattern,
                    span,
                    message,
                    "write `preset: open` if that is meant, or name the hosts",
                )
            }
            HostPattern::OneLabel(suffix) | HostPattern::AnyDepth(suffix) if !suffix.contains('.') => {
                let message = format!("this allows names that anybody can register below `{suffix}`");
                self.refuse(Code::Pattern, span, message, "name the hosts, or a domain of one owner")
            }
            HostPattern::Exact(name) if is_unpinned(name) => Some(()),
            HostPattern::Exact(name) if !name.contains('.') => {
                let message =
                    format!("{} is a single label, which has no address in a sandbox", quoted(name));
                self.refuse(Code::Pattern, span, message, "write the full name: host.example.com")
            }
            HostPattern::Exact(name) if RESERVED.iter().any(|reserved| is_at_or_below(name, reserved)) => {
                let message = format!("{} is one of Cofferdam's own names", quoted(name));
                self.refuse(Code::Pattern, span, message, "declare services of the host under `hostServices`")
            }
            HostPattern::Net(net) if is_never_reachable(net) => {
                let message = "link-local, loopback and unspecified addresses are never reachable";
                self.refuse(Code::Pattern, span, message, "declare services of the host under `hostServices`")
            }
            HostPattern::Net(net) if is_private(net) && !private => {
                let message = "these addresses are private, and the rule does not say so";
                self.refuse(Code::Pattern, span, message, "add `addresses: private`")
            }
            HostPattern::OneLabel(_) | HostPattern::AnyDepth(_) if private => {
                let message = "`addresses: private` needs one exact host";
                let help = "write one rule for each host: any name of the wildcard could lead into the private network";
                self.refuse(Code::Pattern, span, message, help)
            }
            _ => Some(()),
        }
    }

    /// The protocol: written, else that of the port. A deny without one covers every protocol.
    fn protocol(&mut self, span: Span, effect: Effect, ports: Ports) -> Option<Option<Protocol>> {
        let written = self.rule.protocol.as_deref().map(|protocol| match protocol {
            wire::Protocol::Http => Protocol::Http,
            wire::Protocol::Https => Protocol::Https,
            wire::Protocol::Tls => Protocol::Tls,
            wire::Protocol::Tcp => Protocol::Tcp,
        });
        if written.is_some() || effect == Effect::Deny {
            return Some(written);
        }
        let usual = (ports.first == ports.last).then(|| Protocol::default_for(ports.first)).flatten();
        if usual.is_none() {
            let message = format!("no protocol is usual on port {ports}, so it must be written");
            return self.refuse(Code::Protocol, span, message, "add `protocol:` http, https, tls or tcp");
        }
        Some(usual)
    }

    fn check_protocol(
        &mut self,
        span: Span,
        host: &HostPattern,
        effect: Effect,
        protocol: Option<Protocol>,
    ) -> Option<()> {
        let opaque = matches!(protocol, Some(Protocol::Tls | Protocol::Tcp));
        if opaque && !self.rule.http.is_empty() {
            let message = "`http:` needs requests to look at, and this protocol is passed through unopened";
            return self.refuse(
                Code::Protocol,
                span,
                message,
                "remove `http:`, or write protocol http or https",
            );
        }
        let by_address = matches!(host, HostPattern::Net(_)) && effect != Effect::Deny;
        if by_address && protocol != Some(Protocol::Tcp) {
            let message = "an address is reachable by `protocol: tcp` only";
            return self.refuse(
                Code::Protocol,
                span,
                message,
                "add `protocol: tcp`, or write the host's name",
            );
        }
        Some(())
    }
}

fn is_at_or_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_never_reachable(net: &IpNet) -> bool {
    match net.addr() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

pub fn is_private(net: &IpNet) -> bool {
    match net.addr() {
        // RFC 1918 and RFC 6598.
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// The named set that a text means which is neither one nor a host with a port.
fn misspelt_set(written: &str) -> Option<String> {
    let (kind, name) = written.split_once(':')?;
    let near = similar(kind, pattern::NAMED_SETS.into_iter()).filter(|_| !kind.contains('.'))?;
    Some(format!("did you mean `{near}:{name}`?"))
}
