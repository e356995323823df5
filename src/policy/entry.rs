//! One rule of the index, and whether its clauses fit a request.

use std::sync::Arc;

use super::{decide::Http, glob::PathGlob};
use crate::model::rule::{Effect, HttpMatch, NetworkRule, Ports, Protocol};

/// One rule with its path patterns split.
#[derive(Debug)]
pub(super) struct Entry {
    pub rule: Arc<NetworkRule>,
    http: Vec<Matcher>,
    /// Port on the host's loopback, for a rule made of a host service.
    pub service: Option<u16>,
    /// Whether it holds now. One that does not decides nothing and is kept for explanations.
    pub holds: bool,
}

/// Requests, with their path patterns split.
#[derive(Debug)]
pub(super) struct Matcher {
    methods: Vec<String>,
    paths: Vec<PathGlob>,
}

impl Entry {
    pub fn new(rule: NetworkRule, service: Option<u16>, holds: bool) -> Self {
        let ignore_case = rule.effect == Effect::Deny;
        let http = rule.http.iter().map(|http| Matcher::new(http, ignore_case)).collect();
        Self { rule: Arc::new(rule), http, service, holds }
    }

    /// Whether ports and protocol fit.
    pub fn speaks(&self, port: u16, protocol: Protocol) -> bool {
        let NetworkRule { ports, protocol: own, .. } = &*self.rule;
        match self.rule.effect {
            Effect::Deny => ports.contains(port) && own.is_none_or(|own| own == protocol),
            Effect::Allow | Effect::Ask => grant_speaks(*ports, *own, port, protocol),
        }
    }

    /// Whether the request-level clauses fit. Without a request yet, a grant is open to some, and a carve-out
    /// closes only what is never looked into.
    pub fn covers(&self, protocol: Protocol, http: Option<Http<'_>>) -> bool {
        let deny = self.rule.effect == Effect::Deny;
        let inspected = matches!(protocol, Protocol::Http | Protocol::Https);
        match http {
            _ if self.http.is_empty() => true,
            None => inspected != deny,
            Some(http) => self.http.iter().any(|matcher| matcher.matches(http, deny)),
        }
    }

    /// Whether the method alone fits, for explanations.
    pub fn takes_method(&self, method: &str) -> bool {
        self.http.is_empty() || self.http.iter().any(|matcher| matcher.takes_method(method))
    }
}

/// Whether ports and protocol of a grant fit. One whose protocol is not known grants nothing.
pub(super) fn grant_speaks(ports: Ports, own: Option<Protocol>, port: u16, protocol: Protocol) -> bool {
    ports.contains(port) && own.or(Protocol::default_for(port)) == Some(protocol)
}

impl Matcher {
    pub fn new(http: &HttpMatch, ignore_case: bool) -> Self {
        let paths = http.paths.iter().map(|path| PathGlob::new(path, ignore_case)).collect();
        Self { methods: http.methods.clone(), paths }
    }

    fn takes_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own == method)
    }

    pub fn matches(&self, http: Http<'_>, deny: bool) -> bool {
        let path = || match http.path {
            Some(path) => self.paths.iter().any(|glob| glob.matches(path)),
            None => deny,
        };
        self.takes_method(http.method) && (self.paths.is_empty() || path())
    }
}
