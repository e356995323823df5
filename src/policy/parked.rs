//! What stands in a file and is not in force: looked at after a request was denied, to say so in better words. Nothing
//! here is a rule of the index, and no permit can be made of it.

use std::sync::Arc;

use super::{
    decide::Request,
    entry::{Matcher, grant_speaks},
};
use crate::model::{
    parked::ParkedRule,
    rule::{HostPattern, Protocol, Target},
};

/// One parked rule with its path patterns split.
#[derive(Debug)]
pub(super) struct Parked {
    pub rule: Arc<ParkedRule>,
    http: Vec<Matcher>,
    /// Whether it would hold now.
    holds: bool,
}

impl Parked {
    pub fn new(rule: &ParkedRule, setup: bool) -> Self {
        let http = rule.http.iter().map(|http| Matcher::new(http, false)).collect();
        Self { rule: Arc::new(rule.clone()), http, holds: rule.during.is_always() || setup }
    }

    /// Whether it speaks of the target.
    pub fn names(&self, target: &Target) -> bool {
        match (&self.rule.host, target) {
            (HostPattern::Exact(own), Target::Name(name)) => own == name,
            (HostPattern::OneLabel(suffix), Target::Name(name)) => {
                name.split_once('.').is_some_and(|(_, parent)| parent == suffix)
            }
            (HostPattern::AnyDepth(suffix), Target::Name(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (HostPattern::Any, Target::Name(_)) => true,
            (HostPattern::Net(net), Target::Address(address)) => net.contains(address),
            (HostPattern::Net(_), Target::Name(_)) | (_, Target::Address(_)) => false,
        }
    }

    /// Whether the request would pass, or a person be asked, if it were in force.
    pub fn fits(&self, request: &Request<'_>) -> bool {
        let inspected = matches!(request.protocol, Protocol::Http | Protocol::Https);
        let asked = match request.http {
            _ if self.http.is_empty() => true,
            None => inspected,
            Some(http) => self.http.iter().any(|matcher| matcher.matches(http, false)),
        };
        let rule = &self.rule;
        let speaks = grant_speaks(rule.ports, rule.protocol, request.port, request.protocol);
        self.holds && asked && speaks && self.names(request.target)
    }
}

#[cfg(test)]
#[path = "parked_tests.rs"]
mod tests;
